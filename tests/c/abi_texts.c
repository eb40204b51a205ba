/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Hostile and long texts in the place of each text of an event.
 */

#define _GNU_SOURCE
#include "abi.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void life(const char *directory)
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
