/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: describes servers and backends to the library, and reports their changes.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 */

#ifndef _EMAIL_ALERT_EVENT_H
#define _EMAIL_ALERT_EVENT_H

#include <netinet/in.h>
#include <string.h>

#include <haproxy/check-t.h>
#include <haproxy/proxy-t.h>
#include <haproxy/server-t.h>

#include <haproxy_email_alert.h>

/* bytes of a server's address: "[<IPv6 address>]:65535" */
#define EMAIL_ALERT_ADDRESS_SIZE  (INET6_ADDRSTRLEN + sizeof("[]:65535"))

/* A server's state before its status changed, and the reason of the change */
struct email_alert_change {
	enum srv_state old_state;
	enum srv_admin old_admin;
	int usable_before;           /* non-zero if the backend could use any server before */
	int requeued;                /* number of streams moved to or from the server's queue, or -1 */
	int operational;             /* non-zero if a check or alike decided, zero for an administrator */
	const struct check *check;   /* the check that decided, if any */
	const char *cause;           /* HAProxy's words if it was something else, maybe empty */
};

/* non-zero if a route has mails about the results of checks; set before the first event */
extern int email_alert_wants_checks;

/* Returns the NUL-terminated <string>, or no text if it is NULL, as the library
 * takes it.
 */
static inline struct haproxy_email_alert_text email_alert_text(const char *string)
{
	struct haproxy_email_alert_text text = { string, string ? strlen(string) : 0 };

	return text;
}

/* Reports a <change> of server <s>. The library counts an event that it cannot
 * take.
 *
 * May run on any thread. Must be called with the server lock held, and maybe with
 * those of the servers it tracks, so it never blocks.
 */
void email_alert_report_server(struct server *s, const struct email_alert_change *change);

/* Reports a result of <check>, one of server <s>, if HAProxy logs it. Announces
 * that the next result may change the server's status.
 *
 * As for email_alert_report_server().
 */
void email_alert_report_check(struct server *s, const struct check *check);

/* Reports that backend <px>, which could use a server before if <usable_before> is
 * not zero, has changed although no server's status did.
 */
void email_alert_report_backend(const struct proxy *px, int usable_before);

/* Returns the check whose result is being applied to server <s>, or NULL if its
 * status changes for another reason.
 *
 * Must be called with the server lock held.
 */
const struct check *email_alert_current_check(const struct server *s);

/* Returns the check that decided on server <s> although HAProxy names none, or
 * NULL. HAProxy names none if it has just logged the check's result. A server that
 * tracks another one has no reason of its own.
 *
 * Must be called with the server lock held.
 */
const struct check *email_alert_logged_check(const struct server *s);

/* Sets the result of <check> in <event>.
 *
 * Must be called with the server lock held.
 */
void email_alert_set_check(struct haproxy_email_alert_event *event, const struct check *check);

/* Sets in <event> what is known of the proxy <px>, and clears the other fields */
void email_alert_describe_proxy(struct haproxy_email_alert_event *event, const struct proxy *px);

/* Sets in <event> the present state of server <s>. <address> must remain valid as
 * long as <event>.
 *
 * Must be called with the server lock held.
 */
void email_alert_describe_server(struct haproxy_email_alert_event *event, const struct server *s,
                                 char address[EMAIL_ALERT_ADDRESS_SIZE]);

#endif /* _EMAIL_ALERT_EVENT_H */
