/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: answers what the library asks about servers at start.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 */

#ifndef _EMAIL_ALERT_RECONCILE_H
#define _EMAIL_ALERT_RECONCILE_H

/* Answers some of the library's questions, others at the next call. Must run on
 * one thread at a time.
 */
void email_alert_answer_questions();

#endif /* _EMAIL_ALERT_RECONCILE_H */
