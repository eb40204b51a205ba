/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: describes servers and backends to the library, and reports their changes.
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
#include <haproxy/global.h>
#include <haproxy/proxy-t.h>
#include <haproxy/server.h>
#include <haproxy/tinfo.h>
#include <haproxy/tools.h>

#include "event.h"
#include "version.h"

int email_alert_wants_checks;

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
static uint32_t email_alert_admin(enum srv_admin admin)
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
static uint32_t email_alert_state(enum srv_state state)
{
	switch (state) {
	case SRV_ST_STARTING: return HAPROXY_EMAIL_ALERT_ST_STARTING;
	case SRV_ST_RUNNING:  return HAPROXY_EMAIL_ALERT_ST_RUNNING;
	case SRV_ST_STOPPING: return HAPROXY_EMAIL_ALERT_ST_STOPPING;
	default:              return HAPROXY_EMAIL_ALERT_ST_STOPPED;
	}
}

/* Writes the address of server <s> to <text>: "10.0.0.7:8080", "[::1]:80", or an
 * empty string if the server has no IP address, or none yet. Returns <text>.
 */
static const char *email_alert_address(const struct server *s, char text[EMAIL_ALERT_ADDRESS_SIZE])
{
	char addr[INET6_ADDRSTRLEN];
	int family = addr_to_str(&s->addr, addr, sizeof(addr));

	*text = '\0';
	if (family == AF_INET || family == AF_INET6) {
		snprintf(text, EMAIL_ALERT_ADDRESS_SIZE, family == AF_INET6 ? "[%s]" : "%s", addr);
		if (!(s->flags & SRV_F_MAPPORTS))
			snprintf(text + strlen(text), EMAIL_ALERT_ADDRESS_SIZE - strlen(text), ":%u", s->svc_port);
	}
	return text;
}

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

void email_alert_describe_server(struct haproxy_email_alert_event *event, const struct server *s,
                                 char address[EMAIL_ALERT_ADDRESS_SIZE])
{
	event->server_id = s->puid;
	event->new_state = email_alert_state(s->next_state);
	event->new_admin = email_alert_admin(s->next_admin);
	event->sessions  = s->cur_sess;
	event->queued    = email_alert_queue_length(s);
	event->server    = email_alert_text(s->id);
	event->hostname  = email_alert_text(s->hostname);
	event->address   = email_alert_text(email_alert_address(s, address));
	if (s->track) {
		event->via_proxy  = email_alert_text(s->track->proxy->id);
		event->via_server = email_alert_text(s->track->id);
	}
	event->flags |= EMAIL_ALERT_WORDING;
	if (s->flags & SRV_F_BACKUP)
		event->flags |= HAPROXY_EMAIL_ALERT_EVF_BACKUP;
}

/* Relies on these functions of HAProxy, which are the same from 2.6 to 3.5:
 * process_chk_conn() and process_chk_proc() apply a check's result from within the
 * check's own task, through check_notify_failure(), check_notify_stopping() and
 * check_notify_success(). __health_adjust(), for "observe", sets HCHK_STATUS_HANA
 * and calls check_notify_failure() from within any stream's task.
 */
const struct check *email_alert_current_check(const struct server *s)
{
	const struct task *current = th_ctx->current;

	if (current && current == s->check.task)
		return &s->check;
	if (current && current == s->agent.task)
		return &s->agent;
	if (s->check.status == HCHK_STATUS_HANA)
		return &s->check;
	return NULL;
}

/* Relies on check_notify_cause() from 2.8 on, and in 2.6 on the check that the
 * three check_notify_*() functions pass to srv_set_stopped(), srv_set_stopping() and
 * srv_set_running(): none if the result was logged, or if the server tracks another.
 */
const struct check *email_alert_logged_check(const struct server *s)
{
	if (s->track || !(s->proxy->options2 & PR_O2_LOGHCHKS))
		return NULL;
	return email_alert_current_check(s);
}

/* Returns non-zero if this process reports nothing any more: after a reload, the
 * new process reports what both of them see.
 */
static inline int email_alert_is_mute(void)
{
	return stopping;
}

void email_alert_report_server(struct server *s, const struct email_alert_change *change)
{
	struct haproxy_email_alert_event event;
	char address[EMAIL_ALERT_ADDRESS_SIZE];

	if (email_alert_is_mute())
		return;

	email_alert_describe_proxy(&event, s->proxy);
	email_alert_describe_server(&event, s, address);
	event.old_state = email_alert_state(change->old_state);
	event.old_admin = email_alert_admin(change->old_admin);
	event.usable_before = change->usable_before;
	event.requeued  = change->requeued;
	event.cause     = email_alert_text(change->cause);
	if (change->operational)
		event.flags |= HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL;
	if (change->check)
		email_alert_set_check(&event, change->check);

	haproxy_email_alert(&event);
}

/* Has the library open a session with the relay if the next result of <check> may
 * change the server's status. The library ignores all but the first of many hints.
 */
static inline void email_alert_prewarm(const struct check *check)
{
	int failed = check->result < CHK_RES_PASSED;

	/* one more failure, or one more success, decides */
	if (check->health && check->health == (failed ? check->rise : check->rise - 1))
		haproxy_email_alert_prewarm(srv_getinter(check) + check->inter);
}

void email_alert_report_check(struct server *s, const struct check *check)
{
	struct haproxy_email_alert_event event;
	char address[EMAIL_ALERT_ADDRESS_SIZE];

	if (email_alert_is_mute())
		return;

	email_alert_prewarm(check);
	if (!email_alert_wants_checks || !(s->proxy->options2 & PR_O2_LOGHCHKS))
		return;

	email_alert_describe_proxy(&event, s->proxy);
	email_alert_describe_server(&event, s, address);
	email_alert_set_check(&event, check);
	event.check_result = check->result < CHK_RES_PASSED ? HAPROXY_EMAIL_ALERT_CHK_FAILED :
	                     check->result == CHK_RES_CONDPASS ? HAPROXY_EMAIL_ALERT_CHK_CONDITIONAL :
	                                                         HAPROXY_EMAIL_ALERT_CHK_PASSED;
	event.check_health = check->health;
	event.check_rise   = check->rise;
	event.check_fall   = check->fall;
	if (!s->uweight)
		event.flags |= HAPROXY_EMAIL_ALERT_EVF_ZERO_WEIGHT;

	haproxy_email_alert(&event);
}

void email_alert_report_backend(const struct proxy *px, int usable_before)
{
	struct haproxy_email_alert_event event;

	email_alert_describe_proxy(&event, px);
	event.usable_before = usable_before;
	haproxy_email_alert(&event);
}
