/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: all that is not the same in each HAProxy from 2.6 on.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 *
 * From 2.8 on, servers' changes come from HAProxy's event API. It says nothing
 * of backends, so those are watched here. 2.6 has no such API; the patch
 * "server-status-observers" adds to it what is needed.
 *
 * To be included after HAProxy's own headers, by email_alert.c alone.
 */

#ifndef _EMAIL_ALERT_COMPAT_H
#define _EMAIL_ALERT_COMPAT_H

#include "version.h"

/* A server's state before its status changed, and the reason of the change */
struct email_alert_change {
	enum srv_state old_state;
	enum srv_admin old_admin;
	int usable_before;           /* non-zero if the backend could use any server before */
	int requeued;                /* number of streams moved to or from the server's queue, or -1 */
	int operational;             /* non-zero if a check or alike decided, zero for an administrator */
	const struct check *check;   /* the check that decided, if any */
	const char *cause;           /* HAProxy's words if it was something else, maybe none */
};

/* Tells the library of a <change> of server <s>. Must be called with the server
 * lock held.
 */
static void email_alert_report_server(struct server *s, const struct email_alert_change *change);

/* Tells the library of a result of <check>, one of server <s>. Must be called with
 * the server lock held.
 */
static void email_alert_report_check(struct server *s, const struct check *check);

/* Tells the library that backend <px> has changed although no server's status
 * did. <usable_before> is non-zero if it could use any server before.
 */
static void email_alert_report_backend(const struct proxy *px, int usable_before);

/* Returns the check whose result is just being applied to server <s>, or NULL
 * if its status changes for another reason.
 *
 * Must be called with the server lock held.
 */
static const struct check *email_alert_current_check(const struct server *s)
{
	const struct task *current = th_ctx->current;

	if (current && current == s->check.task)
		return &s->check;
	if (current && current == s->agent.task)
		return &s->agent;
	/* "observe" reports a failed check from within any stream's task */
	if (s->check.status == HCHK_STATUS_HANA)
		return &s->check;
	return NULL;
}

/* Returns the check that decided on server <s> although HAProxy names none, or
 * NULL. HAProxy does not if it has just logged the check's result. A server that
 * follows another one has no reason of its own.
 *
 * Must be called with the server lock held.
 */
static inline const struct check *email_alert_logged_check(const struct server *s)
{
	if (s->track || !(s->proxy->options2 & PR_O2_LOGHCHKS))
		return NULL;
	return email_alert_current_check(s);
}

#if EMAIL_ALERT_HAPROXY < 208

static void email_alert_notify(struct server *s, const struct srv_status_snapshot *old, int requeued)
{
	struct email_alert_change change = {
		.old_state     = old->cur_state,
		.old_admin     = old->cur_admin,
		.usable_before = old->srv_count,
		.requeued      = requeued,
		.operational   = !(old->cur_admin & SRV_ADMF_MAINT) && old->cur_state != old->next_state,
		.cause         = old->adm_st_chg_cause,
	};

	if (old->cur_state == s->next_state && old->cur_admin == s->next_admin &&
	    !old->srv_count == !(s->proxy->srv_act + s->proxy->srv_bck))
		return;

	if (change.operational) {
		const struct check *current = email_alert_current_check(s);

		/* what is in <reason> then is the check's, which has it still */
		if (old->op_st_chg.status != -1)
			change.check = current ? current : &s->check;
		else if (!*old->op_st_chg.reason)
			change.check = email_alert_logged_check(s);
		change.cause = change.check ? "" : old->op_st_chg.reason;
	}

	email_alert_report_server(s, &change);
}

/* Has servers' changes and checks' results reported from now on. Returns zero if
 * memory is lacking.
 */
static int email_alert_observe_servers()
{
	static struct srv_status_observer observer = {
		.notify       = email_alert_notify,
		.notify_check = email_alert_report_check,
	};

	srv_register_status_observer(&observer);
	return 1;
}

/* The observer sees the backends too */
static int email_alert_start_watching_backends() { return 1; }
static void email_alert_watch_backends() { }

#else /* 2.8 or later */

#include <import/eb32tree.h>
#include <haproxy/event_hdl.h>

/* The state of a backend that was last reported to the library */
struct email_alert_backend {
	struct eb32_node node;       /* by the proxy's uuid; nodes stay until the process ends */
	int usable;                  /* non-zero if it can use any server; changed by any thread */
	int differs;                 /* non-zero if that was wrong at the last look; for thread 0 only */
};

/* changed under thread isolation only */
static struct eb_root email_alert_backends = EB_ROOT_UNIQUE;

/* Returns non-zero if backend <px> could use any server when the library was
 * last told, and takes for granted that it is told now. Like HAProxy's own
 * message, this may be wrong if two servers change at once;
 * email_alert_watch_backends() then puts it right.
 */
static int email_alert_backend_was_usable(const struct proxy *px)
{
	int usable = px->srv_act + px->srv_bck > 0;
	struct eb32_node *node = eb32_lookup(&email_alert_backends, px->uuid);

	return node ? HA_ATOMIC_XCHG(&container_of(node, struct email_alert_backend, node)->usable, usable) : usable;
}

/* Handles a server's events. For a change by an administrator, HAProxy publishes
 * ADMIN and then, if the state has changed as well, STATE, at once and on the
 * same thread: these become one change.
 */
static void email_alert_handle(const struct event_hdl_cb *cb, void *private)
{
	static THREAD_LOCAL enum srv_admin pending_admin;
	const struct event_hdl_cb_data_server *common = cb->e_data;
	struct server *s = common->unsafe.ptr;
	struct email_alert_change change = { .cause = "" };

	if (event_hdl_sub_type_equal(cb->e_type, EVENT_HDL_SUB_SERVER_CHECK)) {
		const struct event_hdl_cb_data_server_check *data = cb->e_data;

		email_alert_report_check(s, data->unsafe.ptr);
		return;
	}

	if (event_hdl_sub_type_equal(cb->e_type, EVENT_HDL_SUB_SERVER_ADMIN)) {
		const struct event_hdl_cb_data_server_admin *data = cb->e_data;
		enum srv_admin old = data->safe.old_admin, new = data->safe.new_admin;

		/* The load balancing algorithm may have committed the new state.
		 * A server in maintenance was stopped; else its state only
		 * changes if it enters maintenance.
		 */
		if (s->cur_admin == old)
			change.old_state = s->cur_state;
		else if (old & SRV_ADMF_MAINT)
			change.old_state = SRV_ST_STOPPED;
		else if (new & SRV_ADMF_MAINT)
			change.old_state = SRV_ST_RUNNING;
		else
			change.old_state = s->next_state;

		if (change.old_state != s->next_state) {
			pending_admin = old;
			return;
		}
		change.old_admin = old;
		change.requeued  = data->safe.requeued;
		change.cause     = srv_adm_st_chg_cause(data->safe.cause);
	}
	else {
		const struct event_hdl_cb_data_server_state *data = cb->e_data;

		change.old_state = data->safe.old_state;
		change.requeued  = data->safe.requeued;
		if (data->safe.type) {
			change.old_admin = pending_admin;
			change.cause     = srv_adm_st_chg_cause(data->safe.adm_st_chg.cause);
		}
		else {
			change.operational = 1;
			change.old_admin   = s->next_admin;
			switch (data->safe.op_st_chg.cause) {
			case SRV_OP_STCHGC_HEALTH: change.check = &s->check; break;
			case SRV_OP_STCHGC_AGENT:  change.check = &s->agent; break;
			case SRV_OP_STCHGC_NONE:   change.check = email_alert_logged_check(s); break;
			default:                   change.cause = srv_op_st_chg_cause(data->safe.op_st_chg.cause);
			}
		}
	}

	change.usable_before = email_alert_backend_was_usable(s->proxy);
	email_alert_report_server(s, &change);
}

/* Has servers' changes and checks' results reported from now on. HAProxy itself
 * ends that when a soft stop begins. Returns zero if memory is lacking.
 */
static int email_alert_observe_servers()
{
	/* UP and DOWN only repeat what STATE says */
	struct event_hdl_sub_type types = event_hdl_sub_type_add(EVENT_HDL_SUB_SERVER_STATE, EVENT_HDL_SUB_SERVER_ADMIN);

	types = event_hdl_sub_type_add(types, EVENT_HDL_SUB_SERVER_CHECK);
	return event_hdl_subscribe(NULL, types, EVENT_HDL_SYNC(email_alert_handle, NULL, NULL));
}

/* Looks after <px> from now on. To be called while no other thread runs.
 * Returns zero if memory is lacking.
 */
static int email_alert_add_backend(const struct proxy *px)
{
	struct email_alert_backend *backend = calloc(1, sizeof(*backend));

	if (!backend)
		return 0;

	backend->node.key = px->uuid;
	backend->usable = px->srv_act + px->srv_bck > 0;
	eb32_insert(&email_alert_backends, &backend->node);
	return 1;
}

/* To be called before the first event. Returns zero if memory is lacking. */
static int email_alert_start_watching_backends()
{
	const struct proxy *px;

	for (px = email_alert_first_proxy(); px; px = email_alert_next_proxy(px))
		if ((px->cap & PR_CAP_BE) && !email_alert_add_backend(px))
			return 0;
	return 1;
}

/* Reports the backends that lost or regained their servers without any event: by
 * a weight. What one look finds may be a change on its way; what the next one
 * finds still, is not. Must run on one thread at a time.
 */
static void email_alert_watch_backends()
{
	struct email_alert_backend *backend;
	const struct proxy *px;
	struct eb32_node *node;
	int usable;

	for (px = email_alert_first_proxy(); px; px = email_alert_next_proxy(px)) {
		if (!(px->cap & PR_CAP_BE) || (px->flags & (PR_FL_DISABLED|PR_FL_STOPPED)))
			continue;

		node = eb32_lookup(&email_alert_backends, px->uuid);
		if (!node) {
			/* "add backend"; without memory, the next look tries again */
			thread_isolate();
			email_alert_add_backend(px);
			thread_release();
			continue;
		}

		backend = container_of(node, struct email_alert_backend, node);
		usable = px->srv_act + px->srv_bck > 0;
		if (usable == HA_ATOMIC_LOAD(&backend->usable))
			backend->differs = 0;
		else if (!backend->differs)
			backend->differs = 1;
		else {
			backend->differs = 0;
			if (HA_ATOMIC_XCHG(&backend->usable, usable) != usable)
				email_alert_report_backend(px, !usable);
		}
	}
}

#endif /* 2.8 or later */

#endif /* _EMAIL_ALERT_COMPAT_H */
