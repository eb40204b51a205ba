/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: which HAProxy this is, and how its proxies, servers and listeners
 * are looked at.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 */

#ifndef _EMAIL_ALERT_VERSION_H
#define _EMAIL_ALERT_VERSION_H

/* such as 206 for 2.6; see Makefile.mk. A name that is no number counts as 0. */
#define EMAIL_ALERT_HAPROXY (EMAIL_ALERT_HAPROXY_MAJOR * 100 + EMAIL_ALERT_HAPROXY_MINOR)

#if EMAIL_ALERT_HAPROXY < 206 || EMAIL_ALERT_HAPROXY == 207
#error "the e-mail alerts need HAProxy 2.6, or 2.8 or later; make's variable VERSION says which one this is"
#endif

#if EMAIL_ALERT_HAPROXY >= 305
#define email_alert_first_server(px)  proxy_first_server(px)
#define email_alert_next_server(s)    proxy_next_server(s)
#define email_alert_first_proxy()     main_proxies_first()
#define email_alert_next_proxy(px)    main_proxies_next(px)
#else
#define email_alert_first_server(px)  ((px)->srv)
#define email_alert_next_server(s)    ((s)->next)
#define email_alert_first_proxy()     (proxies_list)
#define email_alert_next_proxy(px)    ((px)->next)
#endif

/* non-zero if listener <l> only takes connections with a header from a proxy before it */
#if EMAIL_ALERT_HAPROXY < 208
#define email_alert_expects_proxy(l)  ((l)->options & (LI_O_ACC_PROXY|LI_O_ACC_CIP))
#else
#define email_alert_expects_proxy(l)  ((l)->bind_conf->options & (BC_O_ACC_PROXY|BC_O_ACC_CIP))
#endif

/* SRV_ADMF_HMAINT, which is SRV_ADMF_FQDN_CHANGED since some minor release of 3.0 */
#define EMAIL_ALERT_ADMF_HMAINT       0x40

#if EMAIL_ALERT_HAPROXY >= 302
#define email_alert_queue_length(s)   ((s)->queueslength)
#else
#define email_alert_queue_length(s)   ((s)->queue.length)
#endif

/* what a server's event is marked with */
#if EMAIL_ALERT_HAPROXY < 208
#define EMAIL_ALERT_WORDING           0
#else
#define EMAIL_ALERT_WORDING           HAPROXY_EMAIL_ALERT_EVF_SINCE_2_8
#endif

#endif /* _EMAIL_ALERT_VERSION_H */
