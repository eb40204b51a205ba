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
	EXPECT(haproxy_email_alert_silence("a/b", 1, "", NULL, 0), HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING);
	snprintf(line, sizeof(line), "email_alert.spool %s", argv[2]);
	EXPECT(parse(line, NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	start(argv[3], "down,up");
	if (strcmp(argv[1], "begins") == 0) {
		EXPECT(haproxy_email_alert_silence(NULL, 1, "", NULL, 0), HAPROXY_EMAIL_ALERT_ERR_INVALID);
		EXPECT(haproxy_email_alert_silence("a/b/c", 1, "", message, sizeof(message)), HAPROXY_EMAIL_ALERT_ERR_CONFIG);
		EXPECT(strncmp(message, "'a/b/c' is not", 14), 0);
		EXPECT(haproxy_email_alert_silence("application-*", 3600000, "release 1.2", NULL, 0),
		       HAPROXY_EMAIL_ALERT_OK);
		/* who asks for a silence and then does what it is for must be heard in that order */
		EXPECT(haproxy_email_alert(&event), HAPROXY_EMAIL_ALERT_OK);
		event.proxy = text("other");
		EXPECT(haproxy_email_alert(&event), HAPROXY_EMAIL_ALERT_OK);
		wait_for_mails(1);
		raise(SIGKILL);
	}
	EXPECT(haproxy_email_alert_silence("application-*", 1000, "it is out", NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	wait_for_mails(1);
	EXPECT(haproxy_email_alert_stop(60000), HAPROXY_EMAIL_ALERT_OK);
	return finish();
}
