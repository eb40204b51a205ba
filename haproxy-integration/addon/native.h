/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: HAProxy's own "email-alert" lines.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 */

#ifndef _EMAIL_ALERT_NATIVE_H
#define _EMAIL_ALERT_NATIVE_H

/* Has the library serve the proxies that use HAProxy's own "email-alert" lines,
 * if the configuration says so, and has HAProxy's mailers send nothing for them.
 * Returns a combination of ERR_* flags; what is wrong has been reported.
 *
 * To be called when all sections are parsed and their references resolved.
 */
int email_alert_take_over_native(void);

#endif /* _EMAIL_ALERT_NATIVE_H */
