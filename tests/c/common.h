/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What the C programs of this folder have in common. They use the library as any C program would: through its header,
 * pkg-config and the dynamic linker. What they print, one "<word> <value>" a line, is for the Rust tests that run them.
 */

#ifndef COMMON_H
#define COMMON_H

#include <sys/types.h>

#include <haproxy_email_alert.h>

/* Tells of <call> on standard error, and makes finish() return 1, unless it gives <wanted>. */
#define EXPECT(call, wanted) expect(__FILE__, __LINE__, #call, (long)(call), (long)(wanted))

void expect(const char *file, int line, const char *call, long got, long wanted);

/* A text without its final NUL. */
struct haproxy_email_alert_text text(const char *string);

/* A typical event: an active server that fails its check and goes down, while others stay. */
struct haproxy_email_alert_event down(void);

/* This process, which stays who it is. */
struct haproxy_email_alert_process process(void);

/* Parses one line of words that are separated by one space each. <message> may be NULL. */
enum haproxy_email_alert_result parse(const char *line, char *message, size_t size);

/* From the directives to the threads. Mails for <kinds> go to files in <directory>. */
void start(const char *directory, const char *kinds);

/* The library's thread that takes events from the queue. Waits until it is there. */
pid_t find_collector(void);

/* Waits until nothing is pending. */
void settle(void);

/* Prints the counters and what is left of the log; returns the exit status of the program. */
int finish(void);

/* Does not let a test hang for ever: valgrind is slow, but not that slow. */
void limit_time(void);

#endif
