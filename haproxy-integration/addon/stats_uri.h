/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: the statistics page that mails link to.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 */

#ifndef _EMAIL_ALERT_STATS_URI_H
#define _EMAIL_ALERT_STATS_URI_H

/* Returns the URL of the first statistics page that is served where a browser on
 * another machine may reach it, without host if that is any address of this one.
 * NULL if there is none. To be called by one thread.
 */
const char *email_alert_stats_url(void);

#endif /* _EMAIL_ALERT_STATS_URI_H */
