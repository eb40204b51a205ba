/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: describes servers and backends in the library's terms.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 */

#ifndef _EMAIL_ALERT_EVENT_H
#define _EMAIL_ALERT_EVENT_H

#include <string.h>

#include <haproxy/check-t.h>
#include <haproxy/proxy-t.h>
#include <haproxy/server-t.h>

#include <haproxy_email_alert.h>

/* Returns the NUL-terminated <string>, or none if it is NULL, as the library
 * wants it.
 */
static inline struct haproxy_email_alert_text email_alert_text(const char *string)
{
	struct haproxy_email_alert_text text = { string, string ? strlen(string) : 0 };

	return text;
}

/* Sets the result of <check> in <event>.
 *
 * Must be called with the server lock held.
 */
void email_alert_set_check(struct haproxy_email_alert_event *event, const struct check *check);

/* Returns the administrative flags <admin> in the library's terms */
uint32_t email_alert_admin(enum srv_admin admin);

/* Returns the operational state <state> in the library's terms */
uint32_t email_alert_state(enum srv_state state);

/* Sets in <event> what is known of the proxy <px>, and clears the rest */
void email_alert_describe_proxy(struct haproxy_email_alert_event *event, const struct proxy *px);

/* Sets in <event> what server <s> is now. <address> of <size> bytes has to stay
 * as long as <event>.
 *
 * Must be called with the server lock held.
 */
void email_alert_describe_server(struct haproxy_email_alert_event *event, const struct server *s,
                                 char *address, int size);

#endif /* _EMAIL_ALERT_EVENT_H */
