/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Threads that push as fast as they can.
 *
 * Usage: storm flood <empty directory>     four threads, a million events, while the collector works
 *        storm frozen <empty directory>    one thread, while the collector cannot work: the queue gets full
 *
 * The pushing threads use no futex themselves, so that a trace of the process shows those of the library alone.
 */

#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define EVENTS 1000000
/* Every so many events is one that is mailed. */
#define MAILED 10000
/* Of the library; see its settings. */
#define QUEUE 4096

struct pusher {
	pthread_t thread;
	pid_t tid;
	unsigned long accepted, dropped, mails;
};

static int go;

static void *push(void *argument)
{
	struct pusher *pusher = argument;
	struct haproxy_email_alert_event down_event = down(), maint_event = down(), *event;
	unsigned long n;

	maint_event.flags = 0;
	maint_event.new_admin = HAPROXY_EMAIL_ALERT_ADM_FMAINT;

	__atomic_store_n(&pusher->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
		;
	for (n = 0; n < EVENTS / THREADS; n++) {
		event = n % MAILED ? &down_event : &maint_event;
		switch (haproxy_email_alert(event)) {
		case HAPROXY_EMAIL_ALERT_OK:
			pusher->accepted++;
			pusher->mails += event == &maint_event;
			break;
		case HAPROXY_EMAIL_ALERT_ERR_QUEUE_FULL:
			pusher->dropped++;
			/* on few processors the collector would hardly get one */
			sched_yield();
			break;
		default:
			EXPECT(false, true);
		}
	}
	return NULL;
}

static void flood(const char *directory)
{
	struct haproxy_email_alert_counters counters;
	struct pusher pushers[THREADS];
	unsigned long accepted = 0, dropped = 0, mails = 0;
	int n;

	memset(pushers, 0, sizeof(pushers));
	start(directory, "maint");
	for (n = 0; n < THREADS; n++)
		EXPECT(pthread_create(&pushers[n].thread, NULL, push, &pushers[n]), 0);
	for (n = 0; n < THREADS; n++)
		while (!__atomic_load_n(&pushers[n].tid, __ATOMIC_ACQUIRE))
			sched_yield();
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	for (n = 0; n < THREADS; n++) {
		EXPECT(pthread_join(pushers[n].thread, NULL), 0);
		printf("pusher %d\n", pushers[n].tid);
		accepted += pushers[n].accepted;
		dropped += pushers[n].dropped;
		mails += pushers[n].mails;
	}
	EXPECT(accepted + dropped, EVENTS);
	EXPECT(haproxy_email_alert_stop(120000), HAPROXY_EMAIL_ALERT_OK);
	counters.size = sizeof(counters);
	EXPECT(haproxy_email_alert_get_counters(&counters), HAPROXY_EMAIL_ALERT_OK);
	EXPECT(counters.accepted, accepted);
	EXPECT(counters.dropped, dropped);
	EXPECT(counters.delivered, mails);
	EXPECT(counters.waiting, 0);
	printf("mails %lu\n", mails);
}

/* Stops this thread of this process, as a debugger does, until the pipe <release> is closed. The debugger is a child. */
static pid_t freeze(pid_t tid, const int *release)
{
	int ready[2];
	pid_t debugger;
	char byte;

	EXPECT(pipe(ready), 0);
	/* where only ancestors may debug: this one child may, too */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	debugger = fork();
	if (debugger == 0) {
		int status;

		if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0 || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0 ||
		    waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status)) {
			perror("ptrace");
			_exit(1);
		}
		EXPECT(write(ready[1], "", 1), 1);
		close(release[1]);
		EXPECT(read(release[0], &byte, 1), 0);
		/* the thread goes on when its debugger ends */
		_exit(0);
	}
	close(ready[1]);
	EXPECT(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return debugger;
}

static void frozen(const char *directory)
{
	struct haproxy_email_alert_event event = down();
	struct haproxy_email_alert_counters counters;
	struct rusage before, after;
	unsigned long n, accepted = 0, dropped = 0;
	int release[2], status;
	pid_t debugger;

	start(directory, "maint");
	EXPECT(pipe(release), 0);
	debugger = freeze(find_collector(), release);

	EXPECT(getrusage(RUSAGE_THREAD, &before), 0);
	for (n = 0; n < EVENTS; n++) {
		if (haproxy_email_alert(&event) == HAPROXY_EMAIL_ALERT_OK)
			accepted++;
		else
			dropped++;
	}
	EXPECT(getrusage(RUSAGE_THREAD, &after), 0);
	/* a thread that waits gives up its processor */
	EXPECT(after.ru_nvcsw - before.ru_nvcsw, 0);
	EXPECT(accepted, QUEUE);
	EXPECT(dropped, EVENTS - QUEUE);
	EXPECT(haproxy_email_alert_pending() >= QUEUE, true);
	EXPECT(haproxy_email_alert_stop(50), HAPROXY_EMAIL_ALERT_ERR_PENDING);
	close(release[0]);
	close(release[1]);
	EXPECT(waitpid(debugger, &status, 0), debugger);
	EXPECT(status, 0);
	EXPECT(haproxy_email_alert_stop(120000), HAPROXY_EMAIL_ALERT_OK);
	counters.size = sizeof(counters);
	EXPECT(haproxy_email_alert_get_counters(&counters), HAPROXY_EMAIL_ALERT_OK);
	EXPECT(counters.accepted, accepted);
	EXPECT(counters.dropped, dropped);
	EXPECT(counters.waiting, 0);
}

int main(int argc, char **argv)
{
	limit_time();
	if (argc == 3 && strcmp(argv[1], "flood") == 0)
		flood(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "frozen") == 0)
		frozen(argv[2]);
	else
		return 2;
	return finish();
}
