/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: connects HAProxy with the haproxy-email-alert library.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 *
 * The library parses the directives, and prepares and sends the mails in its own
 * threads. It never calls HAProxy. This file hands the directives over, starts and
 * stops the library, and logs its messages from a task.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <haproxy/api.h>
#include <haproxy/cfgparse.h>
#include <haproxy/cli.h>
#include <haproxy/errors.h>
#include <haproxy/global.h>
#include <haproxy/init.h>
#include <haproxy/log.h>
#include <haproxy/proxy.h>
#include <haproxy/signal.h>
#include <haproxy/task.h>
#include <haproxy/ticks.h>
#include <haproxy/tinfo.h>
#include <haproxy/tools.h>
#include <haproxy/version.h>

#include <haproxy_email_alert.h>

#include "event.h"
#include "native.h"
#include "observe.h"
#include "reconcile.h"
#include "stats_uri.h"
#include "version.h"

#define EMAIL_ALERT_LOG_INTERVAL    500  /* ms between two fetches of the library's log lines */
#define EMAIL_ALERT_POLL_INTERVAL     5  /* ms between two looks at pending mails while the process ends */
#define EMAIL_ALERT_TERM_DELAY     1000  /* ms by which SIGTERM is delayed at most */
#define EMAIL_ALERT_STOP_DELAY     5000  /* ms by which the end of a soft stop is delayed at most */
#define EMAIL_ALERT_QUIT_DELAY      100  /* ms to close an idle session with the relay at the end of a soft stop */
#define EMAIL_ALERT_MESSAGE_SIZE   1024

/* All of it belongs to thread 0 */
static struct {
	struct task *task;           /* logs, confirms states, and ends a soft stop or the process */
	int has_job;                 /* non-zero while <jobs> counts the pending mails, which delays the end */
	int stop_at;                 /* tick at which a soft stop no longer waits for mails, if set */
	int terminate_at;            /* tick at which SIGTERM ends the process, if set */
} email_alert = {
	.task         = NULL,
	.has_job      = 0,
	.stop_at      = TICK_ETERNITY,
	.terminate_at = TICK_ETERNITY,
};

/* Logs the library's messages. Must run on one thread at a time. */
static void email_alert_log(void)
{
	char line[EMAIL_ALERT_MESSAGE_SIZE];
	int level;

	while (haproxy_email_alert_next_log(&level, line, sizeof(line)) == HAPROXY_EMAIL_ALERT_OK)
		send_log(NULL, level, "email_alert: %s\n", line);
}

/* Dies of SIGTERM, as HAProxy does without this add-on, after the library has
 * logged what is not delivered.
 */
static void email_alert_die(void)
{
	haproxy_email_alert_stop(0);
	email_alert_log();
	signal(SIGTERM, SIG_DFL);
	raise(SIGTERM);
}

/* Counts the add-on among the <jobs> without which a soft stop ends the process */
static void email_alert_take_job(void)
{
	email_alert.has_job = 1;
	HA_ATOMIC_INC(&jobs);
}

/* Gives the job back, once: a soft stop waits for mails no longer */
static void email_alert_release_job(void)
{
	if (!email_alert.has_job)
		return;

	email_alert.has_job = 0;
	HA_ATOMIC_DEC(&jobs);
}

/* Task handler: logs, confirms states, ends the process after SIGTERM, and lets a
 * soft stop end.
 */
static struct task *email_alert_process(struct task *t, void *context, unsigned int state)
{
	int interval = EMAIL_ALERT_LOG_INTERVAL;
	int is_done;

	email_alert_log();

	/* after a reload, only the new process reports */
	if (!stopping) {
		email_alert_watch_backends();
		email_alert_confirm_states();
	}

	is_done = !haproxy_email_alert_pending();

	if (tick_isset(email_alert.terminate_at)) {
		if (is_done || tick_is_expired(email_alert.terminate_at, now_ms))
			email_alert_die();
		interval = EMAIL_ALERT_POLL_INTERVAL;
	}

	/* <killed>: "hard-stop-after" has expired */
	if (tick_isset(email_alert.stop_at) && email_alert.has_job) {
		if (is_done || killed || tick_is_expired(email_alert.stop_at, now_ms))
			email_alert_release_job();
		else
			interval = EMAIL_ALERT_POLL_INTERVAL;
	}

	t->expire = tick_add(now_ms, MS_TO_TICKS(interval));
	return t;
}

/* Signal handler for SIGTERM: dies at once if nothing would be lost, otherwise as
 * soon as the library has delivered the mails, or with a spool has written them to
 * files, while the traffic goes on. Some service managers send several signals: the
 * first one sets the delay.
 */
static void email_alert_sigterm(struct sig_handler *sh)
{
	if (tick_isset(email_alert.terminate_at))
		return;

	haproxy_email_alert_terminate();
	if (!haproxy_email_alert_pending())
		email_alert_die();

	email_alert.terminate_at = tick_add(now_ms, MS_TO_TICKS(EMAIL_ALERT_TERM_DELAY));
	task_wakeup(email_alert.task, TASK_WOKEN_SIGNAL);
}

/* Signal handler for signal zero: a soft stop begins, after "grace" if it is set */
static void email_alert_soft_stop(struct sig_handler *sh)
{
	haproxy_email_alert_drain();
	email_alert.stop_at = tick_add(now_ms, MS_TO_TICKS(EMAIL_ALERT_STOP_DELAY));
	task_wakeup(email_alert.task, TASK_WOKEN_SIGNAL);
}

/* Starts the library's threads in the worker, from thread 0's initialization: later,
 * the limits do not permit threads any more, and earlier ones would not survive the
 * fork. If the library cannot start its threads, it logs the reason and HAProxy
 * runs without mails. Returns zero if memory is lacking, otherwise non-zero.
 */
static int email_alert_start(void)
{
	if (tid != 0 || master || !haproxy_email_alert_configured())
		return 1;

	email_alert.task = task_new_here();
	if (!email_alert.task ||
	    !email_alert_start_watching_backends() ||
	    !signal_register_fct(0, email_alert_soft_stop, 0) ||
	    !signal_register_fct(SIGTERM, email_alert_sigterm, SIGTERM)) {
		ha_alert("email_alert: out of memory.\n");
		return 0;
	}

	if (haproxy_email_alert_start() == HAPROXY_EMAIL_ALERT_OK)
		email_alert_take_job();
	else
		ha_warning("email_alert: could not be started, no mail will be sent.\n");

	email_alert.task->process = email_alert_process;
	task_wakeup(email_alert.task, TASK_WOKEN_INIT);
	return 1;
}

/* Stops the library's threads when thread 0 has left the polling loop: after all
 * threads have ended it would be too late to log. The wait for mails is over; only an
 * idle session with the relay may still have to be closed.
 */
static void email_alert_stop(void)
{
	if (tid != 0 || !email_alert.task)
		return;

	/* no thread is left that would handle SIGTERM */
	signal(SIGTERM, SIG_DFL);
	if (signal_state[SIGTERM].count)
		email_alert_die();

	haproxy_email_alert_stop(haproxy_email_alert_pending() ? 0 : EMAIL_ALERT_QUIT_DELAY);
	email_alert_log();
	task_destroy(email_alert.task);
	email_alert.task = NULL;
}

/* Describes in <process> what the worker will be */
static void email_alert_describe_process(struct haproxy_email_alert_process *process)
{
	memset(process, 0, sizeof(*process));
	process->size = sizeof(*process);
	/* what is not set is 0, or -1 in later versions */
	process->uid  = MAX(global.uid, 0);
	process->gid  = MAX(global.gid, 0);
	process->haproxy_version = haproxy_version;
	process->stats_url = email_alert_stats_url();
}

/* Shows the <message> that belongs to the <result> of a step of the start. Returns a
 * combination of ERR_* flags, ERR_NONE also for a warning.
 */
static int email_alert_report(enum haproxy_email_alert_result result, const char *message)
{
	if (result == HAPROXY_EMAIL_ALERT_OK)
		return ERR_NONE;

	if (result == HAPROXY_EMAIL_ALERT_WARNING) {
		ha_warning("email_alert: %s\n", message);
		return ERR_NONE;
	}

	ha_alert("email_alert: %s\n", *message ? message : "unexpected error in the library.");
	return ERR_ALERT | ERR_FATAL;
}

/* Config post-parser: checks the directives as a whole. With "haproxy -c" no later
 * step runs.
 */
static int email_alert_check_config(void)
{
	struct haproxy_email_alert_process process;
	char message[EMAIL_ALERT_MESSAGE_SIZE] = "";
	const struct proxy *px;
	int checks = 0;
	int err_code;

	if (!haproxy_email_alert_configured())
		return ERR_NONE;

	err_code = email_alert_take_over_native();
	if (err_code & (ERR_ABORT|ERR_FATAL))
		return err_code;

	for (px = email_alert_first_proxy(); px; px = email_alert_next_proxy(px))
		checks |= px->options2 & PR_O2_LOGHCHKS;

	email_alert_describe_process(&process);
	if (!checks && haproxy_email_alert_wants_checks())
		ha_warning("email_alert: no proxy has \"option log-health-checks\", which kind 'check' needs.\n");
	return email_alert_report(haproxy_email_alert_check(&process, message, sizeof(message)), message);
}

/* Post-check: opens what needs root or the file system, before the chroot. In
 * master-worker mode up to 3.0 this runs before the worker is forked, in the process
 * that becomes the master; the waiting master has no directives.
 */
static int email_alert_prepare(void)
{
	struct haproxy_email_alert_process process;
	char message[EMAIL_ALERT_MESSAGE_SIZE] = "";
	int err_code;

	if (!haproxy_email_alert_configured())
		return ERR_NONE;

	email_alert_describe_process(&process);
	err_code = email_alert_report(haproxy_email_alert_prepare(&process, message, sizeof(message)), message);
	if (err_code & (ERR_ABORT|ERR_FATAL))
		return err_code;

	global.maxsock += haproxy_email_alert_descriptors();
	email_alert_wants_checks = haproxy_email_alert_wants_checks();
	if (!email_alert_observe_servers()) {
		ha_alert("email_alert: out of memory.\n");
		return ERR_ALERT | ERR_FATAL;
	}
	return err_code;
}

/* Parses all the "email_alert" directives. Returns zero on success, a positive
 * value for a warning, or a negative value for an error; <err> is then filled.
 */
static int email_alert_parse(char **args, int section_type, struct proxy *curpx,
                             const struct proxy *defpx, const char *file, int line,
                             char **err)
{
	static int unusable;
	const char *words[MAX_LINE_ARGS + 1];
	char message[EMAIL_ALERT_MESSAGE_SIZE] = "";
	enum haproxy_email_alert_result result;
	size_t count;

	/* the first directive has reported it */
	if (unusable)
		return 0;

	if (haproxy_email_alert_abi() != HAPROXY_EMAIL_ALERT_ABI) {
		unusable = 1;
		memprintf(err, "'%s' : the haproxy-email-alert library that was found is version %s with interface %u,"
		          " but this HAProxy was built for interface %u; install a matching one or rebuild HAProxy.",
		          args[0], haproxy_email_alert_version(), haproxy_email_alert_abi(), HAPROXY_EMAIL_ALERT_ABI);
		return -1;
	}

	for (count = 0; *args[count]; count++)
		words[count] = args[count];

	result = haproxy_email_alert_parse(words, count, message, sizeof(message));
	if (result == HAPROXY_EMAIL_ALERT_OK)
		return 0;

	if (*message)
		memprintf(err, "%s", message);
	else
		memprintf(err, "'%s' : unexpected error in the haproxy-email-alert library.", args[0]);
	return result == HAPROXY_EMAIL_ALERT_WARNING ? 1 : -1;
}

/* The answer to a CLI command while it is sent. */
struct email_alert_cli_ctx {
	struct haproxy_email_alert_answer *answer;
	size_t cursor; /* bytes of it that were sent */
};

/* Parses any "email-alert" command of the CLI: the library parses its words and
 * executes it. Returns 0 if there is an answer, which the I/O handler sends,
 * otherwise 1 after an error message.
 */
static int email_alert_cli_parse(char **args, char *payload, struct appctx *appctx, void *private)
{
	struct email_alert_cli_ctx *ctx = applet_reserve_svcctx(appctx, sizeof(*ctx));
	enum haproxy_email_alert_result result;
	const char *words[MAX_CLI_ARGS];
	char message[EMAIL_ALERT_MESSAGE_SIZE] = "";
	char *msg = NULL;
	size_t count;

	if (!cli_has_level(appctx, ACCESS_LVL_OPER))
		return 1;

	for (count = 0; count < MAX_CLI_ARGS && *args[count]; count++)
		words[count] = args[count];

	result = haproxy_email_alert_command(words, count, &ctx->answer, message, sizeof(message));
	if (result == HAPROXY_EMAIL_ALERT_OK)
		return 0;
	if (*message)
		return cli_dynerr(appctx, memprintf(&msg, "%s.\n", message));
	return cli_err(appctx, "No e-mail alerts are configured.\n");
}

/* Sends the answer to an "email-alert" command as far as the buffer has room.
 * Returns 1 when all was sent, otherwise 0 to be called again.
 */
static int email_alert_cli_io_handler(struct appctx *appctx)
{
	struct email_alert_cli_ctx *ctx = appctx->svcctx;
	size_t length;

	while (1) {
		chunk_reset(&trash);
		length = haproxy_email_alert_answer_copy(ctx->answer, ctx->cursor, trash.area, trash.size);
		if (!length)
			return 1;
		trash.data = length;
		if (applet_putchk(appctx, &trash) == -1)
			return 0;
		ctx->cursor += length;
	}
}

/* Frees the answer, also if the client disconnected before its end. */
static void email_alert_cli_release(struct appctx *appctx)
{
	struct email_alert_cli_ctx *ctx = appctx->svcctx;

	haproxy_email_alert_answer_free(ctx->answer);
}

/* Appears in "haproxy -vv" */
static void email_alert_register_build_options(void)
{
	char *ptr = NULL;

	memprintf(&ptr, "Built with e-mail alerts (haproxy-email-alert library version %s).",
	          haproxy_email_alert_version());
	hap_register_build_opts(ptr, 1);
}

/* Registers the keywords of the directives, which the library knows */
static void email_alert_register_keywords(void)
{
	struct cfg_kw_list *kws;
	size_t count = 0;

	while (haproxy_email_alert_keyword(count))
		count++;

	/* the last one is the end of the list */
	kws = calloc(1, sizeof(*kws) + (count + 1) * sizeof(kws->kw[0]));
	if (!kws) {
		fprintf(stderr, "email_alert: out of memory\n");
		exit(1);
	}

	while (count--) {
		kws->kw[count].section = CFG_GLOBAL;
		kws->kw[count].kw      = haproxy_email_alert_keyword(count);
		kws->kw[count].parse   = email_alert_parse;
	}
	cfg_register_keywords(kws);
}

/* Becomes the helper process if the library started this program as such: a process
 * that is neither chrooted nor limited, and executes sendmail. It must not
 * initialize HAProxy, so this is the first of all initcalls.
 */
static void email_alert_become_helper(void)
{
	if (getenv("HAPROXY_EMAIL_ALERT_HELPER"))
		_exit(haproxy_email_alert_helper());
}

static struct cli_kw_list email_alert_cli_kws = {{ }, {
	{ { "show", "email-alert", NULL }, "show email-alert [json]                 : report the status of the e-mail alerts", email_alert_cli_parse, email_alert_cli_io_handler, email_alert_cli_release },
	{{},}
}};

INITCALL0(STG_PREPARE, email_alert_become_helper);
INITCALL0(STG_REGISTER, email_alert_register_build_options);
INITCALL0(STG_REGISTER, email_alert_register_keywords);
INITCALL1(STG_REGISTER, cli_register_kw, &email_alert_cli_kws);
REGISTER_CONFIG_POSTPARSER("email_alert", email_alert_check_config);
REGISTER_POST_CHECK(email_alert_prepare);
REGISTER_PER_THREAD_INIT(email_alert_start);
REGISTER_PER_THREAD_DEINIT(email_alert_stop);
