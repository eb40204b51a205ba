/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Messages and log lines in the caller's buffers.
 */

#define _GNU_SOURCE
#include "abi.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A buffer of <size> bytes between guard bytes that must stay unchanged. */
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
void buffers(const char *directory)
{
	struct haproxy_email_alert_process self = process();
	struct haproxy_email_alert_event event = down();
	char whole[1024], room[2048], line[1024], *exact;
	size_t size;
	int level;

	/* the check's message: there is a relay, but no recipient */
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
void messages(const char *directory)
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
