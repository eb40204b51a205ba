/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: observes state changes of servers and backends.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.

 * observe_hdl.c does it from HAProxy 2.8 on, observe_patch.c in 2.6;
 * Makefile.mk selects one of them.
 */

#ifndef _EMAIL_ALERT_OBSERVE_H
#define _EMAIL_ALERT_OBSERVE_H

/* Reports state changes of servers and results of checks from now on. To be
 * called once, before the threads are started. Returns zero if memory is
 * lacking, otherwise non-zero.
 */
int email_alert_observe_servers(void);

/* Records which backends can use a server now. To be called once, on one thread,
 * before the first event. Returns zero if memory is lacking, otherwise non-zero.
 */
int email_alert_start_watching_backends(void);

/* Reports the backends that lost or regained all their servers without any event
 * of a server. To be called periodically, always on the same thread.
 */
void email_alert_watch_backends(void);

#endif /* _EMAIL_ALERT_OBSERVE_H */
