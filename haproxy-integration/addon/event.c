/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: describes servers and backends in the library's terms.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 */

#include <stdio.h>
#include <string.h>

#include <haproxy/api.h>
#include <haproxy/check.h>
#include <haproxy/proxy-t.h>
#include <haproxy/server.h>
#include <haproxy/tools.h>

#include "event.h"
#include "version.h"

/* Sets the result of <check> in <event>.
 *
 * Must be called with the server lock held.
 */
void email_alert_set_check(struct haproxy_email_alert_event *event, const struct check *check)
{
	event->flags |= HAPROXY_EMAIL_ALERT_EVF_CHECK;
	if (check->state & CHK_ST_AGENT)
		event->flags |= HAPROXY_EMAIL_ALERT_EVF_AGENT;
	event->check_status = email_alert_text(get_check_status_info(check->status));
	event->check_reason = email_alert_text(get_check_status_description(check->status));
	event->check_info   = email_alert_text(check->desc);
	event->check_duration_ms = check->duration;
	if (check->status >= HCHK_STATUS_L57DATA)
		event->check_code = check->code;
}

/* Returns the administrative flags <admin> in the library's terms */
uint32_t email_alert_admin(enum srv_admin admin)
{
	return ((admin & SRV_ADMF_FMAINT) ? HAPROXY_EMAIL_ALERT_ADM_FMAINT : 0) |
	       ((admin & SRV_ADMF_IMAINT) ? HAPROXY_EMAIL_ALERT_ADM_IMAINT : 0) |
	       ((admin & SRV_ADMF_CMAINT) ? HAPROXY_EMAIL_ALERT_ADM_CMAINT : 0) |
	       ((admin & SRV_ADMF_FDRAIN) ? HAPROXY_EMAIL_ALERT_ADM_FDRAIN : 0) |
	       ((admin & SRV_ADMF_IDRAIN) ? HAPROXY_EMAIL_ALERT_ADM_IDRAIN : 0) |
	       ((admin & SRV_ADMF_RMAINT) ? HAPROXY_EMAIL_ALERT_ADM_RMAINT : 0) |
	       ((admin & EMAIL_ALERT_ADMF_HMAINT) ? HAPROXY_EMAIL_ALERT_ADM_HMAINT : 0);
}

/* Returns the operational state <state> in the library's terms */
uint32_t email_alert_state(enum srv_state state)
{
	switch (state) {
	case SRV_ST_STARTING: return HAPROXY_EMAIL_ALERT_ST_STARTING;
	case SRV_ST_RUNNING:  return HAPROXY_EMAIL_ALERT_ST_RUNNING;
	case SRV_ST_STOPPING: return HAPROXY_EMAIL_ALERT_ST_STOPPING;
	default:              return HAPROXY_EMAIL_ALERT_ST_STOPPED;
	}
}

/* Writes to <text> of <size> bytes where server <s> is: "10.0.0.7:8080", "[::1]:80".
 * Nothing is written for one that has no network address yet, or none at all.
 * Returns <text>.
 */
static const char *email_alert_address(const struct server *s, char *text, int size)
{
	char addr[INET6_ADDRSTRLEN];
	int family = addr_to_str(&s->addr, addr, sizeof(addr));

	*text = '\0';
	if (family == AF_INET || family == AF_INET6) {
		snprintf(text, size, family == AF_INET6 ? "[%s]" : "%s", addr);
		if (!(s->flags & SRV_F_MAPPORTS))
			snprintf(text + strlen(text), size - strlen(text), ":%u", s->svc_port);
	}
	return text;
}

/* Sets in <event> what is known of the proxy <px>, and clears the rest */
void email_alert_describe_proxy(struct haproxy_email_alert_event *event, const struct proxy *px)
{
	memset(event, 0, sizeof(*event));
	event->size      = sizeof(*event);
	event->proxy_id  = px->uuid;
	event->proxy     = email_alert_text(px->id);
	event->active    = px->srv_act;
	event->backup    = px->srv_bck;
	event->requeued  = -1;
	event->check_code        = -1;
	event->check_duration_ms = -1;
	if ((px->cap & PR_CAP_LISTEN) == PR_CAP_LISTEN)
		event->flags |= HAPROXY_EMAIL_ALERT_EVF_LISTEN;
}

/* Sets in <event> what server <s> is now. <address> of <size> bytes has to stay
 * as long as <event>.
 *
 * Must be called with the server lock held.
 */
void email_alert_describe_server(struct haproxy_email_alert_event *event, const struct server *s,
                                 char *address, int size)
{
	event->server_id = s->puid;
	event->new_state = email_alert_state(s->next_state);
	event->new_admin = email_alert_admin(s->next_admin);
	event->sessions  = s->cur_sess;
	event->queued    = email_alert_queue_length(s);
	event->server    = email_alert_text(s->id);
	event->hostname  = email_alert_text(s->hostname);
	event->address   = email_alert_text(email_alert_address(s, address, size));
	if (s->track) {
		event->via_proxy  = email_alert_text(s->track->proxy->id);
		event->via_server = email_alert_text(s->track->id);
	}
	event->flags |= EMAIL_ALERT_WORDING;
	if (s->flags & SRV_F_BACKUP)
		event->flags |= HAPROXY_EMAIL_ALERT_EVF_BACKUP;
}
