/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * A silence, and the process that goes on with it.
 *
 * Usage: silence begins|goes-on <spool> <directory for mails>
 *
 * begins: one backend is silenced, and two have a server that goes down; when one of them was mailed, the process is killed.
 * goes-on: the silence gets an end, and nothing else happens.
 */

#include "common.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Carries out "add email-alert silence <pattern> <time> <reason>". */
static enum haproxy_email_alert_result silence(const char *pattern, const char *time, const char *reason, char *message, size_t size)
{
	const char *words[] = { "add", "email-alert", "silence", pattern, time, reason };
	struct haproxy_email_alert_answer *answer;
	enum haproxy_email_alert_result result = haproxy_email_alert_command(words, 6, &answer, message, size);
	char byte;

	EXPECT(answer != NULL, result == HAPROXY_EMAIL_ALERT_OK);
	EXPECT(haproxy_email_alert_answer_copy(answer, 0, &byte, 1), 0);
	haproxy_email_alert_answer_free(answer);
	return result;
}

/* Reads the whole answer to "show email-alert" in pieces, and expects its first line. */
static void show_status(void)
{
	const char *words[] = { "show", "email-alert", "no such word" };
	struct haproxy_email_alert_answer *answer;
	char text[1024], message[256];
	size_t cursor = 0, length;

	while (1) {
		EXPECT(haproxy_email_alert_command(words, 2, &answer, NULL, 0), HAPROXY_EMAIL_ALERT_OK);
		length = haproxy_email_alert_answer_copy(answer, cursor, text + cursor, 7);
		haproxy_email_alert_answer_free(answer);
		if (!length)
			break;
		cursor += length;
	}
	text[cursor] = 0;
	EXPECT(strncmp(text, "accepted: ", 10), 0);
	EXPECT(strstr(text, "\nretried: 0\n") != NULL, 1);

	EXPECT(haproxy_email_alert_command(words, 2, NULL, NULL, 0), HAPROXY_EMAIL_ALERT_ERR_INVALID);
	EXPECT(haproxy_email_alert_command(NULL, 2, &answer, NULL, 0), HAPROXY_EMAIL_ALERT_ERR_INVALID);
	EXPECT(answer == NULL, 1);
	EXPECT(haproxy_email_alert_command(words, 3, &answer, message, sizeof(message)), HAPROXY_EMAIL_ALERT_ERR_CONFIG);
	EXPECT(strncmp(message, "unknown command; expected one of: show email-alert", 50), 0);
	EXPECT(haproxy_email_alert_answer_copy(NULL, 0, text, sizeof(text)), 0);
	haproxy_email_alert_answer_free(NULL);
}

static void wait_for_mails(unsigned long count)
{
	const struct timespec moment = { 0, 1000000 };
	struct haproxy_email_alert_counters counters;

	counters.size = sizeof(counters);
	while (haproxy_email_alert_get_counters(&counters) == HAPROXY_EMAIL_ALERT_OK && counters.delivered < count)
		nanosleep(&moment, NULL);
}

int main(int argc, char **argv)
{
	struct haproxy_email_alert_event event = down();
	char line[1024], message[256] = "";

	limit_time();
	if (argc != 4)
		return 2;
	EXPECT(silence("a/b", "1", "", NULL, 0), HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING);
	snprintf(line, sizeof(line), "email_alert.spool %s", argv[2]);
	EXPECT(parse(line, NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	start(argv[3], "down,up");
	show_status();
	if (strcmp(argv[1], "begins") == 0) {
		EXPECT(silence(NULL, "1", "", NULL, 0), HAPROXY_EMAIL_ALERT_ERR_INVALID);
		EXPECT(silence("a/b/c", "1", "", message, sizeof(message)), HAPROXY_EMAIL_ALERT_ERR_CONFIG);
		EXPECT(strncmp(message, "'a/b/c' is not", 14), 0);
		EXPECT(silence("application-*", "1h", "release 1.2", NULL, 0),
		       HAPROXY_EMAIL_ALERT_OK);
		/* who asks for a silence and then does what it is for must be heard in that order */
		EXPECT(haproxy_email_alert(&event), HAPROXY_EMAIL_ALERT_OK);
		event.proxy = text("other");
		EXPECT(haproxy_email_alert(&event), HAPROXY_EMAIL_ALERT_OK);
		wait_for_mails(1);
		raise(SIGKILL);
	}
	EXPECT(silence("application-*", "1s", "it is out", NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	wait_for_mails(1);
	EXPECT(haproxy_email_alert_stop(60000), HAPROXY_EMAIL_ALERT_OK);
	return finish();
}
