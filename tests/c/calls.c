/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Calls of haproxy_email_alert() to be counted: their allocations and page faults by this program, their instructions and system
 * calls by the tools that it runs under.
 *
 * Usage: calls idle|busy <calls> <typical|longest> <empty directory>
 *
 * idle: before each call the collector has gone to sleep, so each call wakes it. busy: another thread keeps it at work.
 */

#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The allocator's functions, for the whole process: the C library's, with a count for each thread.
 */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *old);

/* initial-exec: the first access of a thread must not allocate */
static __thread unsigned long allocations __attribute__((tls_model("initial-exec")));

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	allocations++;
	return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	allocations++;
	return __libc_realloc(old, size);
}

int posix_memalign(void **made, size_t alignment, size_t size)
{
	allocations++;
	*made = __libc_memalign(alignment, size);
	return *made ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	allocations++;
	return __libc_memalign(alignment, size);
}

void free(void *old)
{
	if (old)
		allocations++;
	__libc_free(old);
}

/* Pages that the system had to bring for this thread so far. */
static long page_faults(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage) != 0)
		abort();
	return usage.ru_minflt;
}

/* The system says that this thread waits. */
static int is_asleep(pid_t thread)
{
	char path[64], stat[512], *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	file = fopen(path, "r");
	if (!file || !fgets(stat, sizeof(stat), file))
		abort();
	fclose(file);
	state = strrchr(stat, ')');
	return state && state[2] == 'S';
}

/* Waits until nothing is pending and the collector sleeps. */
static void let_sleep(pid_t collector)
{
	settle();
	while (!is_asleep(collector))
		;
}

/* Keeps some events in the queue. */
static int fed_up;
static unsigned long fed;

static void *feed(void *argument)
{
	struct haproxy_email_alert_event *event = argument;

	while (!__atomic_load_n(&fed_up, __ATOMIC_RELAXED)) {
		if (haproxy_email_alert_pending() > 1000)
			sched_yield();
		else if (haproxy_email_alert(event) == HAPROXY_EMAIL_ALERT_OK)
			__atomic_fetch_add(&fed, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Waits until the collector has something to do. */
static void let_work(void)
{
	while (haproxy_email_alert_pending() < 100)
		sched_yield();
}

int main(int argc, char **argv)
{
	static char bytes[512];
	struct haproxy_email_alert_event event = down();
	unsigned long n, calls, before, during = 0, refused = 0;
	pthread_t feeder;
	pid_t collector;
	long faults = 0;
	int idle;

	limit_time();
	if (argc != 5)
		return 2;
	idle = strcmp(argv[1], "idle") == 0;
	calls = strtoul(argv[2], NULL, 10);
	if (strcmp(argv[3], "longest") == 0) {
		memset(bytes, 'x', sizeof(bytes));
		event.proxy.data = event.server.data = event.via_proxy.data = event.via_server.data = bytes;
		event.hostname.data = event.cause.data = event.check_status.data = bytes;
		event.check_reason.data = event.check_info.data = bytes;
		event.proxy.length = event.server.length = event.via_proxy.length = sizeof(bytes);
		event.via_server.length = event.hostname.length = event.cause.length = sizeof(bytes);
		event.check_status.length = event.check_reason.length = event.check_info.length = sizeof(bytes);
	}
	/* what is counted is the call: the events are not of the kind that is mailed */
	start(argv[4], "maint");
	printf("allocations-of-the-start %lu\n", allocations);
	collector = find_collector();
	let_sleep(collector);

	printf("thread %d\n", (int)syscall(SYS_gettid));
	if (!idle)
		EXPECT(pthread_create(&feeder, NULL, feed, &event), 0);
	for (n = 0; n < calls; n++) {
		if (idle)
			let_sleep(collector);
		else
			let_work();
		faults -= page_faults();
		/* these two mark the call in a trace of system calls */
		getppid();
		before = allocations;
		if (haproxy_email_alert(&event) != HAPROXY_EMAIL_ALERT_OK)
			refused++;
		during += allocations - before;
		getppid();
		faults += page_faults();
	}
	if (!idle) {
		__atomic_store_n(&fed_up, 1, __ATOMIC_RELAXED);
		EXPECT(pthread_join(feeder, NULL), 0);
	}
	/* all: what a tool counts that does not tell threads apart */
	printf("calls %lu\nall-calls %lu\nrefused %lu\nallocations %lu\n", calls, calls + fed, refused, during);
	printf("faults %ld\n", faults);
	EXPECT(haproxy_email_alert_stop(60000), HAPROXY_EMAIL_ALERT_OK);
	return finish();
}
