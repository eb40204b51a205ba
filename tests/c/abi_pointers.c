/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Arguments that cannot be: NULL, sizes, alignment, numbers and lengths.
 */

#define _GNU_SOURCE
#include "abi.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copy of <length> bytes that no pointer to its type may have. */
static void *misaligned(const void *bytes, size_t length)
{
	static char room[1024];

	return memcpy(room + 1, bytes, length);
}

/* NULL, sizes, alignment, numbers and lengths that cannot be. */
void pointers(const char *directory)
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
