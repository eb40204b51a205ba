/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: confirms states that an earlier process has reported.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 */

#ifndef _EMAIL_ALERT_RECONCILE_H
#define _EMAIL_ALERT_RECONCILE_H

/* Reports the present state of some of the servers and backends whose state the
 * library does not know, and of others at the next call. Must run on one thread at a
 * time.
 */
void email_alert_confirm_states(void);

#endif /* _EMAIL_ALERT_RECONCILE_H */
