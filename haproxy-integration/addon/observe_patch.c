/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: observes servers and backends of HAProxy 2.6.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.

 * HAProxy 2.6 has no event API. The patch "server-status-observers" adds observers
 * that srv_update_status() and set_server_check_status() call.
 */

#include <haproxy/api.h>
#include <haproxy/check-t.h>
#include <haproxy/proxy-t.h>
#include <haproxy/server.h>

#include "event.h"
#include "observe.h"

/* Reports the change of server <s> from the status <old>, if anything changed.
 * <requeued> is the number of streams moved to or from the server's queue, or -1.
 *
 * Must be called with the server lock held.
 */
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

		/* <reason> is then a copy of the check's text */
		if (old->op_st_chg.status != -1)
			change.check = current ? current : &s->check;
		else if (!*old->op_st_chg.reason)
			change.check = email_alert_logged_check(s);
		change.cause = change.check ? "" : old->op_st_chg.reason;
	}

	email_alert_report_server(s, &change);
}

int email_alert_observe_servers(void)
{
	static struct srv_status_observer observer = {
		.notify       = email_alert_notify,
		.notify_check = email_alert_report_check,
	};

	srv_register_status_observer(&observer);
	return 1;
}

/* srv_update_status() also runs when a weight takes a backend's last server
 * away, so the observer misses no change of a backend.
 */
int email_alert_start_watching_backends(void)
{
	return 1;
}

void email_alert_watch_backends(void)
{
}
