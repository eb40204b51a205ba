/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * One life of the library in a process, as a C program that makes mistakes sees it.
 *
 * Usage: abi <life> <empty directory>
 */

#define _GNU_SOURCE
#include "common.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define OK HAPROXY_EMAIL_ALERT_OK
#define ERR_QUEUE_FULL HAPROXY_EMAIL_ALERT_ERR_QUEUE_FULL
#define ERR_NOT_RUNNING HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING
#define ERR_INVALID HAPROXY_EMAIL_ALERT_ERR_INVALID
#define ERR_CONFIG HAPROXY_EMAIL_ALERT_ERR_CONFIG
#define ERR_EMPTY HAPROXY_EMAIL_ALERT_ERR_EMPTY
#define ERR_PENDING HAPROXY_EMAIL_ALERT_ERR_PENDING
#define ERR_SYSTEM HAPROXY_EMAIL_ALERT_ERR_SYSTEM
#define ERR_PANIC HAPROXY_EMAIL_ALERT_ERR_PANIC

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* The texts of an event, as offsets. */
static const size_t texts[] = {
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

static struct haproxy_email_alert_text *text_of(struct haproxy_email_alert_event *event, size_t which)
{
	return (struct haproxy_email_alert_text *)(void *)((char *)event + texts[which]);
}

/* A copy of <length> bytes that no pointer to its type may have. */
static void *misaligned(const void *bytes, size_t length)
{
	static char room[1024];

	return memcpy(room + 1, bytes, length);
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
	EXPECT(haproxy_email_alert_pending(), 0);
	EXPECT(haproxy_email_alert_stop(0), ERR_NOT_RUNNING);
}

/* Every function at every time. */
static void order(const char *directory)
{
	struct haproxy_email_alert_process self = process();
	struct haproxy_email_alert_event event = down();
	struct haproxy_email_alert_counters counters;
	char line[1024];
	int level;

	EXPECT(strcmp(haproxy_email_alert_version(), HAPROXY_EMAIL_ALERT_VERSION), 0);
	EXPECT(haproxy_email_alert_abi(), HAPROXY_EMAIL_ALERT_ABI);

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

/* NULL, sizes, alignment, numbers and lengths that cannot be. */
static void pointers(const char *directory)
{
	struct haproxy_email_alert_process self = process();
	struct haproxy_email_alert_event event = down(), *older_event;
	struct haproxy_email_alert_counters counters;
	struct { struct haproxy_email_alert_event known; char newer[64]; } newer_event;
	struct { struct haproxy_email_alert_counters known; char newer[64]; } newer_counters;
	struct { struct haproxy_email_alert_process known; char newer[64]; } newer_process;
	struct haproxy_email_alert_process *older_process;
	const char *words[] = { "email_alert", NULL };
	/* a struct that is no longer than its size says: a byte more that is read shows under valgrind */
	size_t *lone_size = malloc(sizeof(*lone_size));
	size_t sizes[3], n, accepted = 0;
	char line[1024], dots[64], server[16];
	int level[2];

	memset(dots, '.', sizeof(dots));
	if (!lone_size)
		abort();

	/* before the start: words and process */
	EXPECT(haproxy_email_alert_parse(NULL, 1, line, sizeof(line)), ERR_INVALID);
	EXPECT(haproxy_email_alert_parse(words, 2, line, sizeof(line)), ERR_INVALID);
	EXPECT(haproxy_email_alert_parse(words, SIZE_MAX, line, sizeof(line)), ERR_INVALID);
	EXPECT(haproxy_email_alert_parse(words, SIZE_MAX / sizeof(*words) + 1, line, sizeof(line)), ERR_INVALID);
	EXPECT(haproxy_email_alert_parse(misaligned(words, sizeof(words)), 1, line, sizeof(line)), ERR_INVALID);
	EXPECT(haproxy_email_alert_configured(), false);
	EXPECT(haproxy_email_alert_check(NULL, line, sizeof(line)), ERR_INVALID);
	EXPECT(haproxy_email_alert_prepare(NULL, line, sizeof(line)), ERR_INVALID);
	EXPECT(haproxy_email_alert_check(misaligned(&self, sizeof(self)), line, sizeof(line)), ERR_INVALID);
	EXPECT(haproxy_email_alert_prepare(misaligned(&self, sizeof(self)), line, sizeof(line)), ERR_INVALID);
	sizes[0] = 0;
	sizes[1] = 1;
	sizes[2] = offsetof(struct haproxy_email_alert_process, stats_url) - 1;
	for (n = 0; n < COUNT(sizes); n++) {
		*lone_size = sizes[n];
		EXPECT(haproxy_email_alert_check((void *)lone_size, line, sizeof(line)), ERR_INVALID);
		EXPECT(haproxy_email_alert_prepare((void *)lone_size, line, sizeof(line)), ERR_INVALID);
	}

	snprintf(line, sizeof(line), "email_alert.relay files file %s", directory);
	EXPECT(parse(line, NULL, 0), OK);
	EXPECT(parse("email_alert ops@example.com lb1@example.com events down,up,maint", NULL, 0), OK);
	EXPECT(parse("email_alert.digest off", NULL, 0), OK);
	EXPECT(parse("email_alert.flap off", NULL, 0), OK);
	EXPECT(parse("email_alert.host-name lb1.example.com", NULL, 0), OK);
	memset(&newer_process, 0xa5, sizeof(newer_process));
	newer_process.known = self;
	newer_process.known.size = sizeof(newer_process);
	newer_process.known.haproxy_version = NULL;
	newer_process.known.stats_url = NULL;
	EXPECT(haproxy_email_alert_check(&newer_process.known, NULL, 0), OK);
	/* an older caller's: a byte behind its end that is read shows under valgrind */
	older_process = malloc(offsetof(struct haproxy_email_alert_process, stats_url));
	if (!older_process)
		abort();
	memcpy(older_process, &self, offsetof(struct haproxy_email_alert_process, stats_url));
	older_process->size = offsetof(struct haproxy_email_alert_process, stats_url);
	EXPECT(haproxy_email_alert_prepare(older_process, NULL, 0), OK);
	free(older_process);
	EXPECT(haproxy_email_alert_start(), OK);

	/* events */
	EXPECT(haproxy_email_alert(NULL), ERR_INVALID);
	EXPECT(haproxy_email_alert(misaligned(&event, sizeof(event))), ERR_INVALID);
	sizes[2] = offsetof(struct haproxy_email_alert_event, address) - 1;
	for (n = 0; n < COUNT(sizes); n++) {
		*lone_size = sizes[n];
		EXPECT(haproxy_email_alert((void *)lone_size), ERR_INVALID);
	}
	/* an older caller's: a byte behind its end that is read or written shows under valgrind */
	older_event = malloc(offsetof(struct haproxy_email_alert_event, address));
	if (!older_event)
		abort();
	memcpy(older_event, &event, offsetof(struct haproxy_email_alert_event, address));
	older_event->size = offsetof(struct haproxy_email_alert_event, address);
	older_event->server = text("older");
	EXPECT(haproxy_email_alert(older_event), OK);
	free(older_event);
	accepted++;
	memset(&newer_event, 0xa5, sizeof(newer_event));
	newer_event.known = event;
	newer_event.known.size = sizeof(newer_event);
	EXPECT(haproxy_email_alert(&newer_event.known), OK);
	newer_event.known.size = SIZE_MAX;
	newer_event.known.server = text("newer");
	EXPECT(haproxy_email_alert(&newer_event.known), OK);
	accepted += 2;

	/* states */
	for (n = 0; n < 2; n++) {
		uint32_t *state = n ? &event.new_state : &event.old_state, before = *state;

		*state = HAPROXY_EMAIL_ALERT_ST_STOPPING + 1;
		EXPECT(haproxy_email_alert(&event), ERR_INVALID);
		*state = UINT32_MAX;
		EXPECT(haproxy_email_alert(&event), ERR_INVALID);
		*state = before;
	}

	/* other numbers may be anything */
	event.proxy_id = event.server_id = event.sessions = event.queued = UINT32_MAX;
	event.usable_before = event.active = event.backup = event.flags = UINT32_MAX;
	/* but for what asks for something else */
	event.flags &= ~(HAPROXY_EMAIL_ALERT_EVF_STATE_REPORT | HAPROXY_EMAIL_ALERT_EVF_REMOVED);
	event.server = text("numbers");
	event.old_admin = 0;
	event.new_admin = UINT32_MAX;
	event.requeued = event.check_code = INT32_MAX;
	event.check_duration_ms = INT64_MAX;
	EXPECT(haproxy_email_alert(&event), OK);
	event.requeued = event.check_code = INT32_MIN;
	event.check_duration_ms = INT64_MIN;
	event.flags &= ~HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL;
	EXPECT(haproxy_email_alert(&event), OK);
	accepted += 2;

	/* texts */
	for (n = 0; n < COUNT(texts); n++) {
		struct haproxy_email_alert_text *text;

		event = down();
		/* what is down does not go down: another server each time, which comes back */
		event.server.data = server;
		event.server.length = snprintf(server, sizeof(server), "s%u", (unsigned int)n);
		text = text_of(&event, n);
		text->data = NULL;
		text->length = 1;
		EXPECT(haproxy_email_alert(&event), ERR_INVALID);
		text->length = 0;
		EXPECT(haproxy_email_alert(&event), OK);
		text->data = "";
		event.new_state = HAPROXY_EMAIL_ALERT_ST_RUNNING;
		event.old_state = HAPROXY_EMAIL_ALERT_ST_STOPPED;
		EXPECT(haproxy_email_alert(&event), OK);
		text->length = SIZE_MAX;
		EXPECT(haproxy_email_alert(&event), ERR_INVALID);
		text->length = SIZE_MAX / 2 + 1;
		EXPECT(haproxy_email_alert(&event), ERR_INVALID);
		accepted += 2;
	}

	/* counters */
	EXPECT(haproxy_email_alert_get_counters(NULL), ERR_INVALID);
	counters.size = sizeof(counters);
	EXPECT(haproxy_email_alert_get_counters(misaligned(&counters, sizeof(counters))), ERR_INVALID);
	sizes[2] = sizeof(counters) - 1;
	for (n = 0; n < COUNT(sizes); n++) {
		*lone_size = sizes[n];
		EXPECT(haproxy_email_alert_get_counters((void *)lone_size), ERR_INVALID);
	}
	memcpy(newer_counters.newer, dots, sizeof(dots));
	newer_counters.known.size = sizeof(newer_counters);
	EXPECT(haproxy_email_alert_get_counters(&newer_counters.known), OK);
	EXPECT(newer_counters.known.size, sizeof(newer_counters));
	EXPECT(memcmp(newer_counters.newer, dots, sizeof(dots)), 0);

	/* log */
	EXPECT(haproxy_email_alert_next_log(NULL, line, sizeof(line)), ERR_INVALID);
	EXPECT(haproxy_email_alert_next_log(level, NULL, sizeof(line)), ERR_INVALID);
	EXPECT(haproxy_email_alert_next_log(level, line, 0), ERR_INVALID);
	EXPECT(haproxy_email_alert_next_log((void *)((char *)level + 1), line, sizeof(line)), ERR_INVALID);

	EXPECT(haproxy_email_alert_stop(20000), OK);
	EXPECT(haproxy_email_alert_get_counters(&counters), OK);
	EXPECT(counters.accepted, accepted);
	EXPECT(counters.delivered, accepted);
	EXPECT(counters.dropped, 0);
	free(lone_size);
}

/* A buffer of <size> bytes between bytes that nobody may touch. */
static char *fenced(char *room, size_t size)
{
	memset(room, '#', size + 32);
	return room + 16;
}

/* The buffer ends in NUL, holds the beginning of <whole>, as much as fits but for a cut character, and the fence stands. */
static int intact(const char *room, size_t size, const char *whole)
{
	const char *end, *begin = room + 16;
	size_t n, length;

	for (n = 0; n < 16; n++)
		if (room[n] != '#' || begin[size + n] != '#')
			return 0;
	if (!size)
		return 1;
	end = memchr(begin, '\0', size);
	if (!end)
		return 0;
	length = (size_t)(end - begin);
	return strncmp(begin, whole, length) == 0 && (length == strlen(whole) || length + 4 >= size);
}

/* Messages and log lines in buffers of every size. */
static void buffers(const char *directory)
{
	struct haproxy_email_alert_process self = process();
	struct haproxy_email_alert_event event = down();
	char whole[1024], room[2048], line[1024], *exact;
	size_t size;
	int level;

	/* the check's message: there is a relay, and nobody who gets mails */
	snprintf(line, sizeof(line), "email_alert.relay files file %s", directory);
	EXPECT(parse(line, NULL, 0), OK);
	EXPECT(haproxy_email_alert_check(&self, whole, sizeof(whole)), ERR_CONFIG);
	for (size = 0; size < strlen(whole) + 3; size++) {
		EXPECT(haproxy_email_alert_check(&self, fenced(room, size), size), ERR_CONFIG);
		EXPECT(intact(room, size, whole), true);
	}
	EXPECT(parse("email_alert ops@example.com lb1@example.com", NULL, 0), OK);
	EXPECT(parse("email_alert.host-name lb1.example.com", NULL, 0), OK);
	EXPECT(haproxy_email_alert_check(&self, fenced(room, 1), 1), OK);
	EXPECT(intact(room, 1, ""), true);

	/* prepare's: the directory is gone */
	EXPECT(rmdir(directory), 0);
	EXPECT(haproxy_email_alert_prepare(&self, whole, sizeof(whole)), ERR_SYSTEM);
	for (size = 0; size < strlen(whole) + 3; size++) {
		EXPECT(haproxy_email_alert_prepare(&self, fenced(room, size), size), ERR_SYSTEM);
		EXPECT(intact(room, size, whole), true);
	}
	EXPECT(haproxy_email_alert_prepare(&self, NULL, 1000), ERR_SYSTEM);
	EXPECT(mkdir(directory, 0700), 0);
	EXPECT(haproxy_email_alert_prepare(&self, fenced(room, 5), 5), OK);
	EXPECT(intact(room, 5, ""), true);

	/* the log's: the directory is gone again, which is told once, and then that the mail is not delivered */
	EXPECT(haproxy_email_alert_start(), OK);
	EXPECT(rmdir(directory), 0);
	EXPECT(haproxy_email_alert(&event), OK);
	EXPECT(haproxy_email_alert_stop(3000), ERR_PENDING);
	exact = malloc(5);
	if (!exact)
		abort();
	EXPECT(haproxy_email_alert_next_log(&level, exact, 5), OK);
	EXPECT(strcmp(exact, "rela"), 0);
	EXPECT(level, 4);
	EXPECT(haproxy_email_alert_next_log(&level, fenced(room, 1), 1), OK);
	EXPECT(intact(room, 1, ""), true);
	EXPECT(level, 3);
	EXPECT(haproxy_email_alert_next_log(&level, fenced(room, 1), 1), ERR_EMPTY);
	free(exact);
	EXPECT(mkdir(directory, 0700), 0);
}

/* The parser's messages, with characters of two bytes, which are not cut in halves. */
static void messages(const char *directory)
{
	static const char wrong[] = "email_alert.relay r localhost:25 \xc3\xa4\xc3\xb6\xc3\xbc";
	char whole[1024], room[2048], *exact;
	size_t size, n;

	(void)directory;
	EXPECT(parse(wrong, whole, sizeof(whole)), ERR_CONFIG);
	EXPECT(strstr(whole, "\xc3\xa4\xc3\xb6\xc3\xbc") != NULL, true);
	for (size = 0; size < strlen(whole) + 3; size++) {
		EXPECT(parse(wrong, fenced(room, size), size), ERR_CONFIG);
		EXPECT(intact(room, size, whole), true);
		for (n = 0; size && room[16 + n]; n++)
			EXPECT((unsigned char)room[16 + n] == 0xc3 && !room[16 + n + 1], false);

		/* a byte too many in a buffer of its own shows under the sanitizer and valgrind */
		exact = malloc(size);
		EXPECT(parse(wrong, exact, size), ERR_CONFIG);
		free(exact);
	}
	EXPECT(parse(wrong, NULL, 0), ERR_CONFIG);
	EXPECT(parse(wrong, NULL, SIZE_MAX), ERR_CONFIG);
}

/* Texts that would like to be more than texts. */
#define HOSTILE(bytes) { bytes, sizeof(bytes) - 1 }
static const struct haproxy_email_alert_text hostile[] = {
	HOSTILE("be\r\nBcc: evil@example.com\r\n\r\nbody"),
	HOSTILE("\r\n.\r\nQUIT\r\n"),
	HOSTILE("a\nX-Injected: yes"),
	HOSTILE("a\rX-Injected: yes"),
	HOSTILE("before\0after"),
	HOSTILE("\x1b]0;title\x07\x1b[2J\x9b" "31m"),
	HOSTILE("\xff\xfe\xc3\x28\xf0\x28\x8c\xbc\xed\xa0\x80"),
	HOSTILE("<script>alert(1)</script>\" onload='x' &lt;"),
	HOSTILE("=?utf-8?q?x?="),
	HOSTILE("=?utf-8?q?=0D=0ABcc:_evil@example.com?= =?utf-8?b?eA==?="),
	HOSTILE("\xe2\x80\xaemoc.live\xe2\x80\xa8line\xc2\x85next\xef\xbb\xbf"),
	HOSTILE("{{ 7 * 7 }} {% raw %} %s%n%x ${HOME} `id`"),
	HOSTILE("\r\n--boundary--\r\nContent-Type: text/html"),
	HOSTILE(" "),
	HOSTILE("\t\t"),
	HOSTILE("Z\xc3\xbcrich \xe6\x97\xa5\xe6\x9c\xac"),
};

/* And the same, longer than any HAProxy would have them. */
static const char *const repeated[] = { "A", "\r\n", "\xc3\xbc", " ", "=?", "<", "\xf0", "a ", "\xe2\x80\xae", "." };
#define LONG 12000

static char *repeat(const char *piece)
{
	size_t n, length = strlen(piece);
	char *room = malloc(LONG);

	if (!room)
		abort();
	for (n = 0; n < LONG; n++)
		room[n] = piece[n % length];
	return room;
}

/* One event with <text> in the place of each text, then one with it everywhere, which also empties the backend. */
static size_t push_everywhere(struct haproxy_email_alert_text text)
{
	static unsigned int servers;
	struct haproxy_email_alert_event event;
	char server[16];
	size_t n;

	for (n = 0; n < COUNT(texts); n++) {
		event = down();
		/* what is down does not go down */
		event.server.data = server;
		event.server.length = snprintf(server, sizeof(server), "s%u", servers++);
		if (texts[n] >= offsetof(struct haproxy_email_alert_event, via_proxy) &&
		    texts[n] <= offsetof(struct haproxy_email_alert_event, cause))
			event.flags &= ~HAPROXY_EMAIL_ALERT_EVF_CHECK;
		if (texts[n] == offsetof(struct haproxy_email_alert_event, hostname)) {
			/* said only of names that are resolved */
			event.flags = 0;
			event.old_admin = HAPROXY_EMAIL_ALERT_ADM_RMAINT;
			event.new_state = HAPROXY_EMAIL_ALERT_ST_RUNNING;
		}
		event.via_server = event.via_proxy = (struct haproxy_email_alert_text){ "tracked", 7 };
		*text_of(&event, n) = text;
		EXPECT(haproxy_email_alert(&event), OK);
	}
	event = down();
	event.active = event.backup = 0;
	for (n = 0; n < COUNT(texts); n++)
		*text_of(&event, n) = text;
	EXPECT(haproxy_email_alert(&event), OK);
	return COUNT(texts) + 2;
}

static void life(const char *directory)
{
	struct haproxy_email_alert_counters counters;
	size_t n, mails = 0;

	start(directory, "down,ready,backend-down");
	for (n = 0; n < COUNT(hostile); n++)
		mails += push_everywhere(hostile[n]);
	for (n = 0; n < COUNT(repeated); n++) {
		struct haproxy_email_alert_text text;
		char *bytes = repeat(repeated[n]);

		/* given back at once: the texts were borrowed for the call only */
		text.data = bytes;
		text.length = LONG;
		mails += push_everywhere(text);
		memset(bytes, '!', LONG);
		free(bytes);
	}
	EXPECT(haproxy_email_alert_stop(120000), OK);
	counters.size = sizeof(counters);
	EXPECT(haproxy_email_alert_get_counters(&counters), OK);
	EXPECT(counters.accepted, (COUNT(hostile) + COUNT(repeated)) * (COUNT(texts) + 1));
	EXPECT(counters.delivered, mails);
	EXPECT(counters.waiting + counters.failed + counters.dropped, 0);
	printf("mails %lu\n", (unsigned long)mails);
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
