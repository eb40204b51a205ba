/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: the statistics page that mails link to.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include <haproxy/api.h>
#include <haproxy/global.h>
#include <haproxy/listener-t.h>
#include <haproxy/proxy.h>
#include <haproxy/tools.h>
#include <haproxy/uri_auth-t.h>

#include "stats_uri.h"
#include "version.h"

#define EMAIL_ALERT_URL_SIZE  768  /* more than the library takes */

/* Returns non-zero if a browser on another machine may reach listener <l> */
static int email_alert_is_public(const struct listener *l)
{
	const struct sockaddr_storage *addr = &l->rx.addr;
	const struct in6_addr *in6 = &((const struct sockaddr_in6 *)addr)->sin6_addr;

	/* QUIC alone is no way to find a page */
	if (email_alert_expects_proxy(l) || l->rx.proto->proto_type != PROTO_TYPE_STREAM)
		return 0;

	switch (addr->ss_family) {
	case AF_INET:
		return ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
	case AF_INET6:
		return !IN6_IS_ADDR_LOOPBACK(in6) && !IN6_IS_ADDR_LINKLOCAL(in6) &&
		       !(IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == IN_LOOPBACKNET);
	default:
		return 0;
	}
}

/* Returns the first listener of frontend <px> that a browser on another machine
 * may reach, or NULL.
 */
static const struct listener *email_alert_public_listener(const struct proxy *px)
{
	const struct bind_conf *bind_conf;
	const struct listener *l;

	list_for_each_entry(bind_conf, &px->conf.bind, by_fe)
		list_for_each_entry(l, &bind_conf->listeners, by_bind)
			if (email_alert_is_public(l))
				return l;
	return NULL;
}

const char *email_alert_stats_url(void)
{
	static char url[EMAIL_ALERT_URL_SIZE];
	char addr[INET6_ADDRSTRLEN] = "";
	const struct listener *l = NULL;
	const struct proxy *px;
	int is_ipv6;

	for (px = email_alert_first_proxy(); px; px = email_alert_next_proxy(px)) {
		/* HAProxy has dropped those that are not in HTTP mode, and a backend has no listener */
		if (!px->uri_auth || (px->flags & PR_FL_DISABLED))
			continue;
		l = email_alert_public_listener(px);
		if (l)
			break;
	}
	if (!l)
		return NULL;

	if (is_inet_addr(&l->rx.addr))
		addr_to_str(&l->rx.addr, addr, sizeof(addr));
	is_ipv6 = *addr && l->rx.addr.ss_family == AF_INET6;
	snprintf(url, sizeof(url), "%s://%s%s%s:%d%s",
	         (l->bind_conf->options & BC_O_USE_SSL) ? "https" : "http",
	         is_ipv6 ? "[" : "", addr, is_ipv6 ? "]" : "",
	         get_host_port(&l->rx.addr), px->uri_auth->uri_prefix);
	return url;
}
