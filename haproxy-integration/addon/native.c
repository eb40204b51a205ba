/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: HAProxy's own "email-alert" lines.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 *
 * Up to 3.2, HAProxy has mailers of its own; from 3.3 on, only a Lua script
 * may use the lines that are left of them. Here each proxy's lines become an
 * "email_alert" directive, and each "mailer" line an "email_alert.relay", which
 * the library judges like the administrator's.
 */

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include <haproxy/api.h>
#include <haproxy/check.h>
#include <haproxy/errors.h>
#include <haproxy/global.h>
#include <haproxy/mailers.h>
#include <haproxy/proxy.h>
#include <haproxy/tools.h>

#include <haproxy_email_alert.h>

#include "native.h"
#include "version.h"

#define EMAIL_ALERT_MESSAGE_SIZE  1024
#define EMAIL_ALERT_MIN_TIMEOUT    100  /* ms, what the library accepts */
#define EMAIL_ALERT_MAX_TIMEOUT 3600000

/* By HAProxy's log levels */
static const char *email_alert_levels[] = {
	"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"
};

/* Returns the "mailers" section of proxy <px>, or NULL if it uses none. Until a
 * proxy has been checked, the section's name is in the pointer's place.
 */
static struct mailers *email_alert_mailers(const struct proxy *px)
{
	struct mailers *section;

	for (section = mailers; section; section = section->next)
		if (section == px->email_alert.mailers.m)
			break;
	return section;
}

/* Parses a directive of <count> <words>, made of what <origin> says. Returns a
 * combination of ERR_* flags.
 */
static int email_alert_add(const char **words, size_t count, const char *origin)
{
	char message[EMAIL_ALERT_MESSAGE_SIZE] = "";

	if (haproxy_email_alert_parse(words, count, message, sizeof(message)) == HAPROXY_EMAIL_ALERT_OK)
		return ERR_NONE;

	ha_alert("email_alert.native: %s: %s\n", origin, message);
	return ERR_ALERT | ERR_FATAL;
}

/* Makes a route of the lines of proxy <px>. Returns a combination of ERR_* flags. */
static int email_alert_add_route(const struct proxy *px)
{
	const char *words[] = {
		"email_alert", px->email_alert.to, px->email_alert.from,
		"for", px->id, "level", email_alert_levels[px->email_alert.level & 7],
		"events", "down,up,drain,backend-down,backend-up,check",
	};
	size_t count = sizeof(words) / sizeof(*words);
	char *origin = NULL;
	int err_code;

	/* HAProxy mails single checks where it logs them, at level "info" */
	if (!(px->options2 & PR_O2_LOGHCHKS) || px->email_alert.level < LOG_INFO)
		count -= 2;

	memprintf(&origin, "proxy '%s'", px->id);
	err_code = email_alert_add(words, count, origin);
	free(origin);
	return err_code;
}

/* Returns non-zero if what is sent to <addr> stays on this machine */
static int email_alert_is_loopback(const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr) >> 24) == 127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)addr)->sin6_addr);
}

/* Makes a relay of <mailer>. Returns a combination of ERR_* flags. */
static int email_alert_add_relay(const struct mailer *mailer)
{
	const char *words[7] = { "email_alert.relay" };
	char addr[INET6_ADDRSTRLEN];
	char *origin = NULL, *name = NULL, *place = NULL, *timeout = NULL;
	int count = 1, err_code = ERR_ALERT | ERR_FATAL;
	int family = addr_to_str(&mailer->addr, addr, sizeof(addr));

	memprintf(&origin, "mailer '%s' of 'mailers %s'", mailer->id, mailer->mailers->id);
	memprintf(&name, "%s:%s", mailer->mailers->id, mailer->id);
	memprintf(&place, family == AF_INET6 ? "[%s]:%d" : "%s:%d", addr, get_host_port(&mailer->addr));
	memprintf(&timeout, "%dms", MAX(EMAIL_ALERT_MIN_TIMEOUT, MIN(EMAIL_ALERT_MAX_TIMEOUT, mailer->mailers->timeout.mail)));
	if (!origin || !name || !place || !timeout) {
		ha_alert("email_alert: out of memory.\n");
		goto out;
	}

	if (family != AF_INET && family != AF_INET6) {
		ha_alert("email_alert.native: %s has no IPv4 or IPv6 address; add an email_alert.relay line.\n", origin);
		goto out;
	}

	words[count++] = name;
	words[count++] = place;
	words[count++] = "timeout";
	words[count++] = timeout;
	if (!email_alert_is_loopback(&mailer->addr)) {
		words[count++] = "insecure-plaintext";
		ha_warning("email_alert.native: %s is reached without TLS, as HAProxy's own mailers do;"
		           " an email_alert.relay line with 'starttls' would protect the mails.\n", origin);
	}
	err_code = email_alert_add(words, count, origin);

  out:
	free(origin);
	free(name);
	free(place);
	free(timeout);
	return err_code;
}

/* Makes relays of <mailer> and of those behind it: HAProxy links them backwards.
 * Returns a combination of ERR_* flags.
 */
static int email_alert_add_relays(const struct mailer *mailer)
{
	return mailer ? email_alert_add_relays(mailer->next) | email_alert_add_relay(mailer) : ERR_NONE;
}

/* Returns non-zero if a proxy that comes before <px> uses the mailers <section> */
static int email_alert_seen_before(const struct mailers *section, const struct proxy *px)
{
	const struct proxy *other;

	for (other = email_alert_first_proxy(); other != px; other = email_alert_next_proxy(other))
		if ((other->cap & PR_CAP_BE) && email_alert_mailers(other) == section)
			return 1;
	return 0;
}

int email_alert_take_over_native(void)
{
	uint32_t wanted = haproxy_email_alert_native_mode();
	struct mailers *section;
	struct proxy *px;
	int err_code = ERR_NONE;

	/* relays first, while all the proxies still have their sections */
	for (px = email_alert_first_proxy(); px; px = email_alert_next_proxy(px)) {
		section = email_alert_mailers(px);
		if (!section || !(px->cap & PR_CAP_BE))
			continue;

		if (!(wanted & HAPROXY_EMAIL_ALERT_NATIVE_SAID)) {
#if EMAIL_ALERT_HAPROXY < 303
			ha_warning("proxy '%s' also has 'email-alert' lines: HAProxy's own mailers send their mails, too."
			           " With 'email_alert.native on' in the global section they do not, and these lines"
			           " are served as well; 'email_alert.native off' keeps both.\n", px->id);
#endif
			return ERR_NONE;
		}

		if ((wanted & HAPROXY_EMAIL_ALERT_NATIVE_RELAYS) && !email_alert_seen_before(section, px))
			err_code |= email_alert_add_relays(section->mailer_list);
	}

	if (!(wanted & HAPROXY_EMAIL_ALERT_NATIVE_ROUTES))
		return err_code;

	for (px = email_alert_first_proxy(); px; px = email_alert_next_proxy(px)) {
		section = email_alert_mailers(px);
		if (!section)
			continue;

		if (px->cap & PR_CAP_BE)
			err_code |= email_alert_add_route(px);

		/* neither HAProxy nor a Lua script sends anything then */
		px->email_alert.mailers.m = NULL;
		section->users--;
	}
	return err_code;
}
