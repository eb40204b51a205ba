/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E-mail alerts: connects HAProxy with the haproxy-email-alert library.
 *
 * This program is free software; you can redistribute it and/or
 * modify it under the terms of the GNU General Public License
 * as published by the Free Software Foundation; either version
 * 2 of the License, or (at your option) any later version.
 *
 * The library parses the directives, and prepares and sends the mails in its
 * own threads. It never calls HAProxy. This file tells it what happens to the
 * servers, and when to start, to hurry up and to stop. The lines it wants to
 * be logged are fetched by a task.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <haproxy/api.h>
#include <haproxy/cfgparse.h>
#include <haproxy/check.h>
#include <haproxy/cli.h>
#include <haproxy/clock.h>
#include <haproxy/errors.h>
#include <haproxy/global.h>
#include <haproxy/init.h>
#include <haproxy/log.h>
#include <haproxy/proxy.h>
#include <haproxy/server.h>
#include <haproxy/signal.h>
#include <haproxy/task.h>
#include <haproxy/ticks.h>
#include <haproxy/tinfo.h>
#include <haproxy/tools.h>
#include <haproxy/version.h>

#include <haproxy_email_alert.h>

#include "compat.h"
#include "event.h"
#include "native.h"
#include "reconcile.h"
#include "stats_uri.h"

#define EMAIL_ALERT_LOG_INTERVAL    500  /* ms between two looks at what is to be logged */
#define EMAIL_ALERT_POLL_INTERVAL     5  /* ms between two looks at what is not delivered yet */
#define EMAIL_ALERT_TERM_DELAY     1000  /* ms that SIGTERM may be put off */
#define EMAIL_ALERT_STOP_DELAY     5000  /* ms that the end of a soft stop may be put off */
#define EMAIL_ALERT_MESSAGE_SIZE   1024

static struct {
	int wants_checks;            /* non-zero if a route has mails about the results of checks */
	struct task *task;           /* logs, answers, and waits after SIGTERM; on thread 0 */
	int terminate;               /* tick at which SIGTERM ends the process, if set */
} email_alert = {
	.wants_checks = 0,
	.task      = NULL,
	.terminate = TICK_ETERNITY,
};

/* Returns non-zero if what happens now is nobody's business: what an old process
 * still sees is reported by the new one. What the state file says is not news
 * either, but it is read before the library is started, which takes nothing then.
 */
static inline int email_alert_is_mute()
{
	return stopping;
}

/* Tells the library of a <change> of server <s>. An event that the library cannot
 * take is counted there.
 *
 * Runs on any thread with the server lock held, and with those of the servers
 * it tracks, so it must not wait for anything.
 */
static void email_alert_report_server(struct server *s, const struct email_alert_change *change)
{
	struct haproxy_email_alert_event event;
	char address[INET6_ADDRSTRLEN + sizeof("[]:65535")];

	if (email_alert_is_mute())
		return;

	email_alert_describe_proxy(&event, s->proxy);
	email_alert_describe_server(&event, s, address, sizeof(address));
	event.old_state = email_alert_state(change->old_state);
	event.old_admin = email_alert_admin(change->old_admin);
	event.usable_before = change->usable_before;
	event.requeued  = change->requeued;
	event.cause     = email_alert_text(change->cause);
	if (change->operational)
		event.flags |= HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL;
	if (change->check)
		email_alert_set_check(&event, change->check);

	haproxy_email_alert(&event);
}

/* Has the library open a session with the relay if the next result of <check> may
 * change the server's status. Of many hints at once the library takes the first.
 */
static inline void email_alert_prewarm(const struct check *check)
{
	int failed = check->result < CHK_RES_PASSED;

	/* "rise" successes less one that are left, or missing */
	if (check->health && check->health == (failed ? check->rise : check->rise - 1))
		haproxy_email_alert_prewarm(srv_getinter(check) + check->inter);
}

/* Tells the library of a result of <check>, one of server <s>, if HAProxy logs it,
 * and of what may follow.
 *
 * Runs as email_alert_report_server().
 */
static void email_alert_report_check(struct server *s, const struct check *check)
{
	struct haproxy_email_alert_event event;
	char address[INET6_ADDRSTRLEN + sizeof("[]:65535")];

	if (email_alert_is_mute())
		return;

	email_alert_prewarm(check);
	if (!email_alert.wants_checks || !(s->proxy->options2 & PR_O2_LOGHCHKS))
		return;

	email_alert_describe_proxy(&event, s->proxy);
	email_alert_describe_server(&event, s, address, sizeof(address));
	email_alert_set_check(&event, check);
	event.check_result = check->result < CHK_RES_PASSED ? HAPROXY_EMAIL_ALERT_CHK_FAILED :
	                     check->result == CHK_RES_CONDPASS ? HAPROXY_EMAIL_ALERT_CHK_CONDITIONAL :
	                                                         HAPROXY_EMAIL_ALERT_CHK_PASSED;
	event.check_health = check->health;
	event.check_rise   = check->rise;
	event.check_fall   = check->fall;
	if (!s->uweight)
		event.flags |= HAPROXY_EMAIL_ALERT_EVF_ZERO_WEIGHT;

	haproxy_email_alert(&event);
}

/* Tells the library that backend <px>, which could use a server before if
 * <usable_before> is not zero, has changed although no server's status did.
 * May be unused: not all HAProxy versions need it.
 */
static inline __maybe_unused void email_alert_report_backend(const struct proxy *px, int usable_before)
{
	struct haproxy_email_alert_event event;

	email_alert_describe_proxy(&event, px);
	event.usable_before = usable_before;
	haproxy_email_alert(&event);
}

/* Logs what the library has to say. Must run on one thread at a time. */
static void email_alert_log()
{
	char line[EMAIL_ALERT_MESSAGE_SIZE];
	int level;

	while (haproxy_email_alert_next_log(&level, line, sizeof(line)) == HAPROXY_EMAIL_ALERT_OK)
		send_log(NULL, level, "email_alert: %s\n", line);
}

/* Dies of SIGTERM, as HAProxy does without this add-on, once the library has put
 * its things in order, which takes no time, and has said what is left.
 */
static void email_alert_die()
{
	haproxy_email_alert_stop(0);
	email_alert_log();
	signal(SIGTERM, SIG_DFL);
	raise(SIGTERM);
}

/* Task handler: logs, answers questions, and ends the process after SIGTERM */
static struct task *email_alert_process(struct task *t, void *context, unsigned int state)
{
	email_alert_log();

	/* what this process still sees is of no interest once there is another one */
	if (!stopping) {
		email_alert_watch_backends();
		email_alert_answer_questions();
	}

	if (!tick_isset(email_alert.terminate)) {
		t->expire = tick_add(now_ms, MS_TO_TICKS(EMAIL_ALERT_LOG_INTERVAL));
		return t;
	}

	if (!haproxy_email_alert_pending() || tick_is_expired(email_alert.terminate, now_ms))
		email_alert_die();

	t->expire = tick_add(now_ms, MS_TO_TICKS(EMAIL_ALERT_POLL_INTERVAL));
	return t;
}

/* Signal handler for SIGTERM: dies at once if nothing would be lost. Otherwise
 * the traffic goes on while the library delivers what it can. The delay is that
 * of the first signal, because some service managers send several.
 */
static void email_alert_sigterm(struct sig_handler *sh)
{
	if (!haproxy_email_alert_pending()) {
		email_alert_die();
		return;
	}

	if (tick_isset(email_alert.terminate))
		return;

	email_alert.terminate = tick_add(now_ms, MS_TO_TICKS(EMAIL_ALERT_TERM_DELAY));
	haproxy_email_alert_drain();
	task_wakeup(email_alert.task, TASK_WOKEN_SIGNAL);
}

/* Signal handler for signal zero: a soft stop begins */
static void email_alert_soft_stop(struct sig_handler *sh)
{
	haproxy_email_alert_drain();
}

/* Starts the library's threads. This is only possible here: later, the limits
 * do not permit it any more, and earlier threads would not survive the fork.
 * HAProxy runs without mails if they cannot be started, and the library logs
 * the reason. Returns zero if memory is lacking, otherwise non-zero.
 */
static int email_alert_start()
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

	if (haproxy_email_alert_start() != HAPROXY_EMAIL_ALERT_OK)
		ha_warning("email_alert: could not be started, no mail will be sent.\n");

	email_alert.task->process = email_alert_process;
	task_wakeup(email_alert.task, TASK_WOKEN_INIT);
	return 1;
}

/* Waits for the last mails and stops the library's threads. Thread zero does it
 * when it has left the polling loop, and not the process after all the threads,
 * because that would be too late to log anything. SIGTERM is still caught here,
 * but nobody is left to handle it.
 */
static void email_alert_stop()
{
	uint64_t start = now_mono_time();
	unsigned int bound = EMAIL_ALERT_STOP_DELAY;
	unsigned int passed = 0;

	if (tid != 0 || !email_alert.task)
		return;

	if (tick_isset(email_alert.terminate))
		bound = tick_remain(now_ms, email_alert.terminate);

	haproxy_email_alert_drain();
	while (passed < bound && haproxy_email_alert_pending()) {
		if (signal_state[SIGTERM].count)
			bound = MIN(bound, passed + EMAIL_ALERT_TERM_DELAY);
		usleep(EMAIL_ALERT_POLL_INTERVAL * 1000);
		/* now_ms is not updated any more */
		passed = (now_mono_time() - start) / 1000000;
	}

	if (tick_isset(email_alert.terminate) || signal_state[SIGTERM].count)
		email_alert_die();

	haproxy_email_alert_stop(bound - MIN(passed, bound));
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

/* Reports the <result> of a step of the start, whose message is <message>.
 * Returns a combination of ERR_* flags, ERR_NONE also for a mere warning.
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

/* Config post-parser: judges the directives as a whole. This is the last chance
 * to do so when HAProxy only checks its configuration.
 */
static int email_alert_check_config()
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

/* Prepares what is not possible any more in the chroot or as the worker's user.
 * In master-worker mode this runs before the worker is forked, in what will be
 * the master; nothing is configured when the master waits.
 */
static int email_alert_prepare()
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
	email_alert.wants_checks = haproxy_email_alert_wants_checks();
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

	/* saying it once is enough */
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

/* Parses any "email-alert" command of the CLI: the library knows the words and
 * carries it out. Returns 0 if there is an answer, which the I/O handler sends,
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

/* Frees the answer, also if the client went away before its end. */
static void email_alert_cli_release(struct appctx *appctx)
{
	struct email_alert_cli_ctx *ctx = appctx->svcctx;

	haproxy_email_alert_answer_free(ctx->answer);
}

/* Appears in "haproxy -vv" */
static void email_alert_register_build_options()
{
	char *ptr = NULL;

	memprintf(&ptr, "Built with e-mail alerts (haproxy-email-alert library version %s).",
	          haproxy_email_alert_version());
	hap_register_build_opts(ptr, 1);
}

/* The library starts this very program to have sendmail executed by a process
 * that is neither chrooted nor limited. That one must not become a HAProxy, so
 * this comes before everything else.
 */
static void email_alert_become_helper()
{
	if (getenv("HAPROXY_EMAIL_ALERT_HELPER"))
		_exit(haproxy_email_alert_helper());
}

static struct cfg_kw_list email_alert_cfg_kws = { ILH, {
	{ CFG_GLOBAL, "email_alert",           email_alert_parse },
	{ CFG_GLOBAL, "email_alert.digest",    email_alert_parse },
	{ CFG_GLOBAL, "email_alert.flap",      email_alert_parse },
	{ CFG_GLOBAL, "email_alert.host-name", email_alert_parse },
	{ CFG_GLOBAL, "email_alert.native",    email_alert_parse },
	{ CFG_GLOBAL, "email_alert.queue",     email_alert_parse },
	{ CFG_GLOBAL, "email_alert.relay",     email_alert_parse },
	{ CFG_GLOBAL, "email_alert.remind",    email_alert_parse },
	{ CFG_GLOBAL, "email_alert.retry",     email_alert_parse },
	{ CFG_GLOBAL, "email_alert.spool",     email_alert_parse },
	{ CFG_GLOBAL, "email_alert.stats-uri", email_alert_parse },
	{ CFG_GLOBAL, "email_alert.subject",   email_alert_parse },
	{ 0, NULL, NULL },
}};

static struct cli_kw_list email_alert_cli_kws = {{ }, {
	{ { "show", "email-alert", NULL }, "show email-alert [json]                 : report the status of the e-mail alerts", email_alert_cli_parse, email_alert_cli_io_handler, email_alert_cli_release },
	{{},}
}};

INITCALL0(STG_PREPARE, email_alert_become_helper);
INITCALL0(STG_REGISTER, email_alert_register_build_options);
INITCALL1(STG_REGISTER, cfg_register_keywords, &email_alert_cfg_kws);
INITCALL1(STG_REGISTER, cli_register_kw, &email_alert_cli_kws);
REGISTER_CONFIG_POSTPARSER("email_alert", email_alert_check_config);
REGISTER_POST_CHECK(email_alert_prepare);
REGISTER_PER_THREAD_INIT(email_alert_start);
REGISTER_PER_THREAD_DEINIT(email_alert_stop);
