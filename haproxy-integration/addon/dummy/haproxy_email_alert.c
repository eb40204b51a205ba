/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: a dummy library, to compile and link the add-on without the real
 * one. It refuses every directive, so nothing else of it is ever used.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 */

#include <stdio.h>

#include "haproxy_email_alert.h"

const char *haproxy_email_alert_version(void)
{
	return HAPROXY_EMAIL_ALERT_VERSION "-dummy";
}

uint32_t haproxy_email_alert_abi(void)
{
	return HAPROXY_EMAIL_ALERT_ABI;
}

const char *haproxy_email_alert_keyword(size_t index)
{
	return index == 0 ? "email_alert" : NULL;
}

enum haproxy_email_alert_result haproxy_email_alert_parse(const char *const *words, size_t count,
                                                          char *message, size_t size)
{
	snprintf(message, size, "'%s' : this HAProxy was built with the dummy library of the e-mail alerts,"
	         " which sends no mails; rebuild it with haproxy-email-alert.", count ? words[0] : "");
	return HAPROXY_EMAIL_ALERT_ERR_CONFIG;
}

bool haproxy_email_alert_configured(void)
{
	return false;
}

bool haproxy_email_alert_wants_checks(void)
{
	return false;
}

uint32_t haproxy_email_alert_native_mode(void)
{
	return 0;
}

enum haproxy_email_alert_result haproxy_email_alert_check(const struct haproxy_email_alert_process *process,
                                                          char *message, size_t size)
{
	return HAPROXY_EMAIL_ALERT_OK;
}

enum haproxy_email_alert_result haproxy_email_alert_prepare(const struct haproxy_email_alert_process *process,
                                                            char *message, size_t size)
{
	return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
}

uint32_t haproxy_email_alert_descriptors(void)
{
	return 0;
}

enum haproxy_email_alert_result haproxy_email_alert_start(void)
{
	return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
}

enum haproxy_email_alert_result haproxy_email_alert(const struct haproxy_email_alert_event *event)
{
	return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
}

enum haproxy_email_alert_result haproxy_email_alert_prewarm(uint32_t within_ms)
{
	return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
}

enum haproxy_email_alert_result haproxy_email_alert_next_unconfirmed(size_t n, char *proxy, char *server,
                                                                     size_t size)
{
	return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
}

enum haproxy_email_alert_result haproxy_email_alert_next_log(int *level, char *line, size_t size)
{
	return HAPROXY_EMAIL_ALERT_ERR_EMPTY;
}

enum haproxy_email_alert_result haproxy_email_alert_drain(void)
{
	return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
}

enum haproxy_email_alert_result haproxy_email_alert_terminate(void)
{
	return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
}

uint64_t haproxy_email_alert_pending(void)
{
	return 0;
}

enum haproxy_email_alert_result haproxy_email_alert_stop(uint32_t bound_ms)
{
	return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
}

int haproxy_email_alert_helper(void)
{
	return 1;
}

enum haproxy_email_alert_result haproxy_email_alert_command(const char *const *words, size_t count,
                                                            struct haproxy_email_alert_answer **answer,
                                                            char *message, size_t size)
{
	return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
}

size_t haproxy_email_alert_answer_copy(const struct haproxy_email_alert_answer *answer, size_t cursor,
                                       char *buffer, size_t size)
{
	return 0;
}

void haproxy_email_alert_answer_free(struct haproxy_email_alert_answer *answer)
{
}
