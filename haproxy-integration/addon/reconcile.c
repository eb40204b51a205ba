/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: confirms states that an earlier process has reported.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 *
 * HAProxy reports nothing of a server that is up from the start, and an earlier
 * process may have mailed that it is down. The library names such servers and backends;
 * this file reports their present state once HAProxy knows it.
 */

#include <string.h>

#include <haproxy/api.h>
#include <haproxy/check.h>
#include <haproxy/proxy.h>
#include <haproxy/server.h>
#include <haproxy/thread.h>
#include <haproxy/tools.h>

#include <haproxy_email_alert.h>

#include "event.h"
#include "reconcile.h"
#include "version.h"

#define EMAIL_ALERT_NAME_SIZE       512
#define EMAIL_ALERT_BATCH            64  /* names per call: a backend's servers are searched one by one */

/* Returns non-zero if <check> has had a result, or is disabled */
static inline int email_alert_has_result(const struct check *check)
{
	return !(check->state & CHK_ST_ENABLED) || check->status > HCHK_STATUS_START;
}

/* Returns non-zero if the state of server <s> is known: until its first check,
 * HAProxy assumes that a server is up.
 */
static int email_alert_is_known(const struct server *s)
{
	if (s->next_admin & SRV_ADMF_MAINT)
		return 1;
	while (s->track)
		s = s->track;
	return email_alert_has_result(&s->check) && email_alert_has_result(&s->agent);
}

/* Reports the present state of server <server_name> of proxy <proxy_name>, or of the
 * backend as a whole if <server_name> is empty. Does nothing if it is not known yet.
 */
static void email_alert_confirm(const char *proxy_name, const char *server_name)
{
	struct haproxy_email_alert_event event;
	char address[EMAIL_ALERT_ADDRESS_SIZE];
	struct proxy *px = proxy_be_by_name(proxy_name);
	struct server *s = NULL;

	if (px && !(px->flags & (PR_FL_DISABLED|PR_FL_STOPPED)))
		s = *server_name ? server_find_by_name(px, server_name) : email_alert_first_server(px);

	if (!s) {
		memset(&event, 0, sizeof(event));
		event.size   = sizeof(event);
		event.flags  = HAPROXY_EMAIL_ALERT_EVF_REMOVED;
		event.proxy  = email_alert_text(proxy_name);
		event.server = email_alert_text(server_name);
		haproxy_email_alert(&event);
		return;
	}

	email_alert_describe_proxy(&event, px);
	event.flags |= HAPROXY_EMAIL_ALERT_EVF_STATE_REPORT;

	if (!*server_name) {
		for (; s; s = email_alert_next_server(s))
			if (!email_alert_is_known(s))
				return;
		haproxy_email_alert(&event);
		return;
	}

	/* locked until the library has the report, so that no change overtakes it */
	HA_SPIN_LOCK(SERVER_LOCK, &s->lock);
	if (email_alert_is_known(s)) {
		email_alert_describe_server(&event, s, address);
		event.old_state = event.new_state;
		event.old_admin = event.new_admin;
		if (!s->track && (s->check.state & CHK_ST_ENABLED))
			email_alert_set_check(&event, &s->check);
		haproxy_email_alert(&event);
	}
	HA_SPIN_UNLOCK(SERVER_LOCK, &s->lock);
}

void email_alert_confirm_states(void)
{
	static size_t next;
	char proxy[EMAIL_ALERT_NAME_SIZE];
	char server[EMAIL_ALERT_NAME_SIZE];
	int count;

	for (count = 0; count < EMAIL_ALERT_BATCH; count++) {
		if (haproxy_email_alert_next_unconfirmed(next, proxy, server, sizeof(proxy)) != HAPROXY_EMAIL_ALERT_OK) {
			next = 0;
			return;
		}
		next++;
		email_alert_confirm(proxy, server);
	}
}
