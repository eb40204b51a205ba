/* SPDX-License-Identifier: MIT OR Apache-2.0 */

#define _GNU_SOURCE
#include "common.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int failures;

void expect(const char *file, int line, const char *call, long got, long wanted)
{
	if (got == wanted)
		return;
	fprintf(stderr, "%s:%d: %s gave %ld instead of %ld\n", file, line, call, got, wanted);
	failures++;
}

struct haproxy_email_alert_text text(const char *string)
{
	struct haproxy_email_alert_text text;

	text.data = string;
	text.length = strlen(string);
	return text;
}

struct haproxy_email_alert_event down(void)
{
	struct haproxy_email_alert_event event;

	memset(&event, 0, sizeof(event));
	event.size = sizeof(event);
	event.proxy_id = 3;
	event.server_id = 2;
	event.old_state = HAPROXY_EMAIL_ALERT_ST_RUNNING;
	event.new_state = HAPROXY_EMAIL_ALERT_ST_STOPPED;
	event.flags = HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL | HAPROXY_EMAIL_ALERT_EVF_CHECK;
	event.usable_before = 4;
	event.active = 2;
	event.backup = 1;
	event.sessions = 17;
	event.requeued = 0;
	event.check_code = 503;
	event.check_duration_ms = 12;
	event.proxy = text("application-servers");
	event.server = text("app-server-02");
	event.check_status = text("L7STS");
	event.check_reason = text("Layer7 wrong status");
	event.check_info = text("Service Unavailable");
	return event;
}

struct haproxy_email_alert_process process(void)
{
	struct haproxy_email_alert_process process;

	process.size = sizeof(process);
	process.uid = getuid();
	process.gid = getgid();
	process.haproxy_version = "2.6.12";
	process.stats_url = "http://:8404/stats";
	return process;
}

enum haproxy_email_alert_result parse(const char *line, char *message, size_t size)
{
	char copy[1024];
	const char *words[64];
	size_t count = 0;
	char *word, *rest = copy;

	strncpy(copy, line, sizeof(copy) - 1);
	copy[sizeof(copy) - 1] = '\0';
	while ((word = strsep(&rest, " ")) != NULL)
		words[count++] = word;
	return haproxy_email_alert_parse(words, count, message, size);
}

void start(const char *directory, const char *kinds)
{
	struct haproxy_email_alert_process self = process();
	char line[1024];

	snprintf(line, sizeof(line), "email_alert ops@example.com lb1@example.com events %s", kinds);
	EXPECT(parse(line, NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	snprintf(line, sizeof(line), "email_alert.relay files file %s", directory);
	EXPECT(parse(line, NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	EXPECT(parse("email_alert.host-name lb1.example.com", NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	/* a mail for each change */
	EXPECT(parse("email_alert.digest off", NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	EXPECT(parse("email_alert.flap off", NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	EXPECT(haproxy_email_alert_check(&self, NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	EXPECT(haproxy_email_alert_prepare(&self, NULL, 0), HAPROXY_EMAIL_ALERT_OK);
	EXPECT(haproxy_email_alert_start(), HAPROXY_EMAIL_ALERT_OK);
}

static pid_t thread_named(const char *name)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	pid_t found = 0;

	while (tasks && !found && (task = readdir(tasks)) != NULL) {
		char path[300], comm[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fgets(comm, sizeof(comm), file) && strcspn(comm, "\n") == strlen(name) &&
		    strncmp(comm, name, strlen(name)) == 0)
			found = atoi(task->d_name);
		fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return found;
}

pid_t find_collector(void)
{
	pid_t collector;

	while (!(collector = thread_named("email-alert-col")))
		sched_yield();
	return collector;
}

void settle(void)
{
	const struct timespec moment = { 0, 1000000 };

	while (haproxy_email_alert_pending())
		nanosleep(&moment, NULL);
}

int finish(void)
{
	struct haproxy_email_alert_counters counters;
	char line[1024];
	int level;

	counters.size = sizeof(counters);
	if (haproxy_email_alert_get_counters(&counters) == HAPROXY_EMAIL_ALERT_OK)
		printf("accepted %lu\ndropped %lu\nwaiting %lu\ndelivered %lu\nfailed %lu\nretried %lu\n",
		       (unsigned long)counters.accepted, (unsigned long)counters.dropped,
		       (unsigned long)counters.waiting, (unsigned long)counters.delivered,
		       (unsigned long)counters.failed, (unsigned long)counters.retried);
	while (haproxy_email_alert_next_log(&level, line, sizeof(line)) == HAPROXY_EMAIL_ALERT_OK)
		printf("log %d %s\n", level, line);
	return failures != 0;
}

void limit_time(void)
{
	alarm(240);
}
