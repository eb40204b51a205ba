/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: observes servers and backends of HAProxy 2.8 and later.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.

 * Changes of servers come from the event API, as synchronous events. It has no
 * events of backends: a periodic comparison finds what no event tells.
 */

#include <stdlib.h>

#include <import/eb32tree.h>
#include <haproxy/api.h>
#include <haproxy/event_hdl.h>
#include <haproxy/proxy.h>
#include <haproxy/server.h>
#include <haproxy/thread.h>

#include "event.h"
#include "observe.h"
#include "version.h"

/* The state of a backend that was last reported to the library */
struct email_alert_backend {
	struct eb32_node node;       /* by the proxy's uuid; nodes stay until the process ends */
	int usable;                  /* non-zero if the backend can use any server; changed by any thread */
	int differs;                 /* non-zero if <usable> was wrong at the last comparison; thread 0 only */
};

/* changed under thread isolation only */
static struct eb_root email_alert_backends = EB_ROOT_UNIQUE;

/* Returns what is recorded of backend <px>, or NULL */
static struct email_alert_backend *email_alert_find_backend(const struct proxy *px)
{
	struct eb32_node *node = eb32_lookup(&email_alert_backends, px->uuid);

	return node ? container_of(node, struct email_alert_backend, node) : NULL;
}

/* Returns non-zero if backend <px> can use any server */
static inline int email_alert_is_usable(const struct proxy *px)
{
	return px->srv_act + px->srv_bck > 0;
}

/* Returns non-zero if backend <px> could use any server at the last report, and
 * records its present state: the caller reports it. Like HAProxy's own message,
 * this may be wrong if two servers change at once; email_alert_watch_backends()
 * then corrects it.
 */
static int email_alert_backend_was_usable(const struct proxy *px)
{
	struct email_alert_backend *backend = email_alert_find_backend(px);
	int usable = email_alert_is_usable(px);

	return backend ? HA_ATOMIC_XCHG(&backend->usable, usable) : usable;
}

/* Handles an event of a server. For a change by an administrator, HAProxy publishes
 * ADMIN and then, if the state has changed as well, STATE, at once and on the
 * same thread (_srv_update_status_adm() and srv_update_status()): the two become one
 * report.
 */
static void email_alert_handle(const struct event_hdl_cb *cb, void *private)
{
	/* the ADMIN event whose STATE event is still to come */
	static THREAD_LOCAL struct {
		const struct server *server;
		enum srv_admin old_admin;
	} pending;
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
		 * A server in maintenance was stopped; otherwise its state only
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
			pending.server    = s;
			pending.old_admin = old;
			return;
		}
		change.old_admin = old;
		change.requeued  = data->safe.requeued;
		change.cause     = srv_adm_st_chg_cause(data->safe.cause);
	}
	else {
		const struct event_hdl_cb_data_server_state *data = cb->e_data;

		change.old_state = data->safe.old_state;
		change.old_admin = s->next_admin;
		change.requeued  = data->safe.requeued;
		if (data->safe.type) {
			if (pending.server == s)
				change.old_admin = pending.old_admin;
			change.cause = srv_adm_st_chg_cause(data->safe.adm_st_chg.cause);
		}
		else {
			change.operational = 1;
			switch (data->safe.op_st_chg.cause) {
			case SRV_OP_STCHGC_HEALTH: change.check = &s->check; break;
			case SRV_OP_STCHGC_AGENT:  change.check = &s->agent; break;
			case SRV_OP_STCHGC_NONE:   change.check = email_alert_logged_check(s); break;
			default:                   change.cause = srv_op_st_chg_cause(data->safe.op_st_chg.cause);
			}
		}
		pending.server = NULL;
	}

	change.usable_before = email_alert_backend_was_usable(s->proxy);
	email_alert_report_server(s, &change);
}

/* HAProxy itself ends the subscription when a soft stop begins */
int email_alert_observe_servers(void)
{
	/* UP and DOWN only repeat STATE */
	struct event_hdl_sub_type types = event_hdl_sub_type_add(EVENT_HDL_SUB_SERVER_STATE, EVENT_HDL_SUB_SERVER_ADMIN);

	types = event_hdl_sub_type_add(types, EVENT_HDL_SUB_SERVER_CHECK);
	return event_hdl_subscribe(NULL, types, EVENT_HDL_SYNC(email_alert_handle, NULL, NULL));
}

/* Adds the backends that are not recorded yet. To be called while no other thread
 * runs. Returns zero if memory is lacking, otherwise non-zero.
 */
static int email_alert_add_backends(void)
{
	struct email_alert_backend *backend;
	const struct proxy *px;

	for (px = email_alert_first_proxy(); px; px = email_alert_next_proxy(px)) {
		if (!(px->cap & PR_CAP_BE) || email_alert_find_backend(px))
			continue;
		backend = calloc(1, sizeof(*backend));
		if (!backend)
			return 0;
		backend->node.key = px->uuid;
		backend->usable   = email_alert_is_usable(px);
		eb32_insert(&email_alert_backends, &backend->node);
	}
	return 1;
}

int email_alert_start_watching_backends(void)
{
	return email_alert_add_backends();
}

/* A weight takes a backend's last server away, or gives it back, without any event.
 * A difference that one call finds may be a change whose event is under way; one
 * that the next call finds again is not.
 */
void email_alert_watch_backends(void)
{
	struct email_alert_backend *backend;
	const struct proxy *px;
	int unknown = 0;
	int usable;

	for (px = email_alert_first_proxy(); px; px = email_alert_next_proxy(px)) {
		if (!(px->cap & PR_CAP_BE) || (px->flags & (PR_FL_DISABLED|PR_FL_STOPPED)))
			continue;

		backend = email_alert_find_backend(px);
		if (!backend) {
			unknown = 1;
			continue;
		}

		usable = email_alert_is_usable(px);
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

	if (unknown) {
		/* "add backend"; if memory is lacking, the next call tries again */
		thread_isolate();
		email_alert_add_backends();
		thread_release();
	}
}
