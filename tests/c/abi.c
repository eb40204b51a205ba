/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * One life of the library in a process, as a C program that makes mistakes sees it.
 *
 * Usage: abi <life> <empty directory>
 */

#define _GNU_SOURCE
#include "abi.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The texts of an event, as offsets. */
const size_t texts[TEXTS] = {
	offsetof(struct haproxy_email_alert_event, proxy),
	offsetof(struct haproxy_email_alert_event, server),
	offsetof(struct haproxy_email_alert_event, via_proxy),
	offsetof(struct haproxy_email_alert_event, via_server),
	offsetof(struct haproxy_email_alert_event, hostname),
	offsetof(struct haproxy_email_alert_event, cause),
	offsetof(struct haproxy_email_alert_event, check_status),
	offsetof(struct haproxy_email_alert_event, check_reason),
	offsetof(struct haproxy_email_alert_event, check_info),
	offsetof(struct haproxy_email_alert_event, address),
};

struct haproxy_email_alert_text *text_of(struct haproxy_email_alert_event *event, size_t which)
{
	return (struct haproxy_email_alert_text *)(void *)((char *)event + texts[which]);
}

/* What the threads would have to answer, while there are none. */
static void expect_no_threads(void)
{
	struct haproxy_email_alert_event event = down();
	struct haproxy_email_alert_counters counters;

	counters.size = sizeof(counters);
	EXPECT(haproxy_email_alert(&event), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert(NULL), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_prewarm(1000), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_get_counters(&counters), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_drain(), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_terminate(), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_pending(), 0);
	EXPECT(haproxy_email_alert_stop(0), ERR_NOT_RUNNING);
}

/* Every function at every time. */
static void order(const char *directory)
{
	struct haproxy_email_alert_process self = process();
	struct haproxy_email_alert_event event = down();
	struct haproxy_email_alert_counters counters;
	const char *keyword;
	char line[1024];
	size_t count;
	int level;

	EXPECT(strcmp(haproxy_email_alert_version(), HAPROXY_EMAIL_ALERT_VERSION), 0);
	EXPECT(haproxy_email_alert_abi(), HAPROXY_EMAIL_ALERT_ABI);
	for (count = 0; (keyword = haproxy_email_alert_keyword(count)); count++)
		EXPECT(strncmp(keyword, "email_alert", strlen("email_alert")), 0);
	EXPECT(count > 10, true);
	EXPECT(haproxy_email_alert_keyword(count + 1) == NULL, true);
	EXPECT(haproxy_email_alert_keyword(SIZE_MAX) == NULL, true);

	/* nothing was parsed: nothing to check, to prepare, to start */
	EXPECT(haproxy_email_alert_configured(), false);
	EXPECT(haproxy_email_alert_check(&self, NULL, 0), OK);
	EXPECT(haproxy_email_alert_prepare(&self, NULL, 0), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_descriptors(), 0);
	EXPECT(haproxy_email_alert_start(), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_next_log(&level, line, sizeof(line)), ERR_EMPTY);
	expect_no_threads();

	/* parsed */
	EXPECT(parse("email_alert ops@example.com", NULL, 0), OK);
	EXPECT(haproxy_email_alert_configured(), true);
	snprintf(line, sizeof(line), "email_alert.relay files file %s", directory);
	EXPECT(parse(line, NULL, 0), OK);
	EXPECT(parse("email_alert.host-name lb1.example.com", NULL, 0), OK);
	EXPECT(haproxy_email_alert_prepare(&self, NULL, 0), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_start(), ERR_NOT_RUNNING);
	expect_no_threads();

	/* checked, twice */
	EXPECT(haproxy_email_alert_check(&self, NULL, 0), OK);
	EXPECT(haproxy_email_alert_check(&self, NULL, 0), OK);
	EXPECT(parse("email_alert too-late@example.com", NULL, 0), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_start(), ERR_NOT_RUNNING);
	expect_no_threads();

	/* the directory is gone, and comes back */
	EXPECT(rmdir(directory), 0);
	EXPECT(haproxy_email_alert_prepare(&self, line, sizeof(line)), ERR_SYSTEM);
	EXPECT(strstr(line, directory) != NULL, true);
	EXPECT(haproxy_email_alert_start(), ERR_NOT_RUNNING);
	EXPECT(mkdir(directory, 0700), 0);

	/* prepared */
	EXPECT(haproxy_email_alert_prepare(&self, line, sizeof(line)), OK);
	EXPECT(*line, '\0');
	EXPECT(haproxy_email_alert_prepare(&self, NULL, 0), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_descriptors() > 0, true);
	EXPECT(parse("email_alert too-late@example.com", NULL, 0), ERR_NOT_RUNNING);
	expect_no_threads();

	/* started */
	EXPECT(haproxy_email_alert_start(), OK);
	EXPECT(haproxy_email_alert_start(), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_prepare(&self, NULL, 0), ERR_NOT_RUNNING);
	EXPECT(parse("email_alert too-late@example.com", NULL, 0), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_configured(), true);
	EXPECT(haproxy_email_alert_prewarm(0), OK);
	EXPECT(haproxy_email_alert_prewarm(1000), OK);
	EXPECT(haproxy_email_alert_prewarm(UINT32_MAX), OK);
	EXPECT(haproxy_email_alert(&event), OK);

	/* draining: events are still taken */
	EXPECT(haproxy_email_alert_drain(), OK);
	EXPECT(haproxy_email_alert_drain(), OK);
	event.server = text("another");
	EXPECT(haproxy_email_alert(&event), OK);

	/* stopped, twice */
	EXPECT(haproxy_email_alert_stop(20000), OK);
	EXPECT(haproxy_email_alert_stop(20000), OK);
	EXPECT(haproxy_email_alert(&event), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_prewarm(1000), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_drain(), OK);
	EXPECT(haproxy_email_alert_terminate(), OK);
	EXPECT(haproxy_email_alert_pending(), 0);
	EXPECT(haproxy_email_alert_start(), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_prepare(&self, NULL, 0), ERR_NOT_RUNNING);
	EXPECT(parse("email_alert too-late@example.com", NULL, 0), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_configured(), true);
	counters.size = sizeof(counters);
	EXPECT(haproxy_email_alert_get_counters(&counters), OK);
	EXPECT(counters.accepted, 2);
	EXPECT(counters.delivered, 2);
	EXPECT(haproxy_email_alert_next_log(&level, line, sizeof(line)), ERR_EMPTY);
}

/* Directives that are wrong, as a whole or in their words. */
static void directives(const char *directory)
{
	struct haproxy_email_alert_process self = process();
	const char *words[] = { "email_alert", "caf\xe9@example.com", NULL };
	char message[512];

	(void)directory;
	EXPECT(haproxy_email_alert_parse(NULL, 0, message, sizeof(message)), ERR_CONFIG);
	EXPECT(haproxy_email_alert_parse(words, 0, message, sizeof(message)), ERR_CONFIG);
	EXPECT(haproxy_email_alert_parse(words, 2, message, sizeof(message)), ERR_CONFIG);
	EXPECT(strstr(message, "is not UTF-8") != NULL, true);
	EXPECT(haproxy_email_alert_parse(words, 3, message, sizeof(message)), ERR_INVALID);
	EXPECT(parse("", message, sizeof(message)), ERR_CONFIG);
	EXPECT(parse("email_alert \x1b[2J\r\n", message, sizeof(message)), ERR_CONFIG);
	EXPECT(strpbrk(message, "\x1b\r\n") == NULL, true);

	/* its own error was enough: the check says nothing, and nothing is started */
	EXPECT(parse("email_alert ops@example.com", NULL, 0), OK);
	EXPECT(haproxy_email_alert_configured(), true);
	EXPECT(haproxy_email_alert_check(&self, message, sizeof(message)), OK);
	EXPECT(haproxy_email_alert_prepare(&self, NULL, 0), ERR_NOT_RUNNING);
	EXPECT(haproxy_email_alert_start(), ERR_NOT_RUNNING);
	expect_no_threads();
}

/* A configuration that is right in every line and wrong as a whole, then completed. */
static void whole(const char *directory)
{
	struct haproxy_email_alert_process self = process();
	char message[512], line[1024];

	snprintf(line, sizeof(line), "email_alert.relay files file %s", directory);
	EXPECT(parse(line, NULL, 0), OK);
	EXPECT(haproxy_email_alert_check(&self, message, sizeof(message)), ERR_CONFIG);
	EXPECT(strstr(message, "email_alert") != NULL, true);
	EXPECT(haproxy_email_alert_prepare(&self, NULL, 0), ERR_NOT_RUNNING);
	EXPECT(parse("email_alert ops@example.com", NULL, 0), OK);
	EXPECT(parse("email_alert.host-name lb1.example.com", NULL, 0), OK);
	EXPECT(haproxy_email_alert_check(&self, message, sizeof(message)), OK);
	EXPECT(*message, '\0');
}

/* A stop while the collector is at work ends as soon as the mails are delivered, not when the time is over. */
static void stop_at_once(const char *directory)
{
	struct haproxy_email_alert_event event = down();
	char server[16];
	int n;

	start(directory, "down");
	event.server.data = server;
	for (n = 0; n < 500; n++) {
		event.server.length = snprintf(server, sizeof(server), "s%d", n);
		EXPECT(haproxy_email_alert(&event), OK);
	}
	EXPECT(haproxy_email_alert_stop(20000), OK);
}

/* A relay that takes the connection and says nothing: the stop is bounded, and says what was not delivered. */
static void hanging_relay(const char *directory)
{
	struct haproxy_email_alert_process self = process();
	struct haproxy_email_alert_event event = down();
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char line[256];

	(void)directory;
	memset(&address, 0, sizeof(address));
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	EXPECT(listen(listener, 5), 0);
	EXPECT(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	snprintf(line, sizeof(line), "email_alert.relay silent 127.0.0.1:%d", ntohs(address.sin_port));
	EXPECT(parse(line, NULL, 0), OK);
	EXPECT(parse("email_alert ops@example.com lb1@example.com", NULL, 0), OK);
	EXPECT(haproxy_email_alert_check(&self, NULL, 0), OK);
	EXPECT(haproxy_email_alert_prepare(&self, NULL, 0), OK);
	EXPECT(haproxy_email_alert_start(), OK);
	EXPECT(haproxy_email_alert(&event), OK);
	EXPECT(haproxy_email_alert_stop(200), ERR_PENDING);
	EXPECT(haproxy_email_alert_pending(), 1);
}

/* The same bug in the three threads that can have one: one event is lost, the next is mailed, the process lives on. */
static void panic(const char *directory)
{
	struct haproxy_email_alert_event event = down();

	start(directory, "down");
	event.server = text("panic-in-the-call");
	EXPECT(haproxy_email_alert(&event), ERR_PANIC);
	event.server = text("after-the-call");
	EXPECT(haproxy_email_alert(&event), OK);
	event.server = text("panic-in-the-collector");
	EXPECT(haproxy_email_alert(&event), OK);
	event.server = text("after-the-collector");
	EXPECT(haproxy_email_alert(&event), OK);
	event.server = text("panic-in-the-dispatcher");
	EXPECT(haproxy_email_alert(&event), OK);
	event.server = text("after-the-mailer");
	EXPECT(haproxy_email_alert(&event), OK);
	settle();
	EXPECT(haproxy_email_alert_stop(20000), OK);
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(const char *directory); } lives[] = {
		{ "order", order },
		{ "directives", directives },
		{ "whole", whole },
		{ "pointers", pointers },
		{ "buffers", buffers },
		{ "messages", messages },
		{ "life", life },
		{ "stop-at-once", stop_at_once },
		{ "hanging-relay", hanging_relay },
		{ "panic", panic },
	};
	size_t n;

	limit_time();
	for (n = 0; argc == 3 && n < COUNT(lives); n++) {
		if (strcmp(lives[n].name, argv[1]) == 0) {
			lives[n].run(argv[2]);
			return finish();
		}
	}
	fprintf(stderr, "usage: abi <life> <empty directory>\n");
	return 2;
}
