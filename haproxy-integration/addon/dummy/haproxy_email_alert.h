/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Made by `make header` from alertlib/capi/src/lib.rs: edit that file, not this one.
 */

#ifndef HAPROXY_EMAIL_ALERT_H
#define HAPROXY_EMAIL_ALERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define HAPROXY_EMAIL_ALERT_VERSION "0.1.0"


/**
 * Number of this ABI, and the end of the library's soname. It changes when an older caller would not work any more.
 */
#define HAPROXY_EMAIL_ALERT_ABI 1

/**
 * A server is down (HAProxy's SRV_ST_STOPPED).
 */
#define HAPROXY_EMAIL_ALERT_ST_STOPPED 0

/**
 * A server is up, in its slow start (SRV_ST_STARTING).
 */
#define HAPROXY_EMAIL_ALERT_ST_STARTING 1

/**
 * A server is up (SRV_ST_RUNNING).
 */
#define HAPROXY_EMAIL_ALERT_ST_RUNNING 2

/**
 * A server takes no new clients (SRV_ST_STOPPING).
 */
#define HAPROXY_EMAIL_ALERT_ST_STOPPING 3

/**
 * Maintenance forced by an administrator (SRV_ADMF_FMAINT).
 */
#define HAPROXY_EMAIL_ALERT_ADM_FMAINT 1

/**
 * Maintenance inherited from a tracked server (SRV_ADMF_IMAINT).
 */
#define HAPROXY_EMAIL_ALERT_ADM_IMAINT 2

/**
 * Maintenance from the configuration (SRV_ADMF_CMAINT); comes with ADM_FMAINT.
 */
#define HAPROXY_EMAIL_ALERT_ADM_CMAINT 4

/**
 * Drain forced by an administrator (SRV_ADMF_FDRAIN).
 */
#define HAPROXY_EMAIL_ALERT_ADM_FDRAIN 8

/**
 * Drain inherited from a tracked server (SRV_ADMF_IDRAIN).
 */
#define HAPROXY_EMAIL_ALERT_ADM_IDRAIN 16

/**
 * Maintenance because the server's name cannot be resolved (SRV_ADMF_RMAINT).
 */
#define HAPROXY_EMAIL_ALERT_ADM_RMAINT 32

/**
 * Maintenance until the server's host name is set (SRV_ADMF_HMAINT).
 */
#define HAPROXY_EMAIL_ALERT_ADM_HMAINT 64

/**
 * Event flag: a check, an agent or the CLI's "health" and "agent" commands changed the state. Without it: an administrator.
 */
#define HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL 1

/**
 * Event flag: the server line has "backup".
 */
#define HAPROXY_EMAIL_ALERT_EVF_BACKUP 2

/**
 * Event flag: the check_* fields are set.
 */
#define HAPROXY_EMAIL_ALERT_EVF_CHECK 4

/**
 * Event flag: that check is the agent check.
 */
#define HAPROXY_EMAIL_ALERT_EVF_AGENT 8

/**
 * Event flag: the proxy is a "listen" section, which HAProxy calls "proxy" in its messages.
 */
#define HAPROXY_EMAIL_ALERT_EVF_LISTEN 16

/**
 * Event flag: the event is no change, but the present state of a server or, without a server's name, of a backend: the reply to
 * haproxy_email_alert_next_unconfirmed().
 */
#define HAPROXY_EMAIL_ALERT_EVF_STATE_REPORT 32

/**
 * Event flag: the reply to haproxy_email_alert_next_unconfirmed() for a server or backend that does not exist any more. Only the
 * names are read.
 */
#define HAPROXY_EMAIL_ALERT_EVF_REMOVED 64

/**
 * Event flag: the server's weight is 0. HAProxy then reports "DRAIN" after a check where it otherwise reports "UP".
 */
#define HAPROXY_EMAIL_ALERT_EVF_ZERO_WEIGHT 128

/**
 * Event flag: the caller is HAProxy 2.8 or later, which words some of its sentences differently.
 */
#define HAPROXY_EMAIL_ALERT_EVF_SINCE_2_8 256

/**
 * The event's check_result: the check failed.
 */
#define HAPROXY_EMAIL_ALERT_CHK_FAILED 1

/**
 * The event's check_result: the check passed.
 */
#define HAPROXY_EMAIL_ALERT_CHK_PASSED 2

/**
 * The event's check_result: the check passed conditionally ("http-check disable-on-404").
 */
#define HAPROXY_EMAIL_ALERT_CHK_CONDITIONAL 3

/**
 * Flag of haproxy_email_alert_native_mode(): the administrator has set "email_alert.native", to "on" or to "off".
 */
#define HAPROXY_EMAIL_ALERT_NATIVE_SAID 1

/**
 * Flag of haproxy_email_alert_native_mode(): the caller must turn each proxy's own "email-alert" lines into an "email_alert"
 * directive, and keep HAProxy's mailers from sending.
 */
#define HAPROXY_EMAIL_ALERT_NATIVE_ROUTES 2

/**
 * Flag of haproxy_email_alert_native_mode(): the administrator has set no relay, and the caller must turn each "mailer" line of
 * these proxies into an "email_alert.relay" directive.
 */
#define HAPROXY_EMAIL_ALERT_NATIVE_RELAYS 4

/**
 * Result of a call. The numbers never change their meaning.
 */
enum haproxy_email_alert_result {
        /**
         * The call succeeded.
         */
        HAPROXY_EMAIL_ALERT_OK = 0,
        /**
         * The queue is full: the event was dropped, and counted.
         */
        HAPROXY_EMAIL_ALERT_ERR_QUEUE_FULL = 7001,
        /**
         * The function was called in the wrong order.
         */
        HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING = 7002,
        /**
         * An argument is NULL, or has a wrong size or value.
         */
        HAPROXY_EMAIL_ALERT_ERR_INVALID = 7003,
        /**
         * The configuration or the command is wrong: the message names the fault.
         */
        HAPROXY_EMAIL_ALERT_ERR_CONFIG = 7004,
        /**
         * The call succeeded, and the administrator should see the message.
         */
        HAPROXY_EMAIL_ALERT_WARNING = 7005,
        /**
         * There is nothing to return.
         */
        HAPROXY_EMAIL_ALERT_ERR_EMPTY = 7006,
        /**
         * The time limit passed before all mails were delivered.
         */
        HAPROXY_EMAIL_ALERT_ERR_PENDING = 7007,
        /**
         * A system call failed: the message or the log names the reason.
         */
        HAPROXY_EMAIL_ALERT_ERR_SYSTEM = 7008,
        /**
         * The library caught an internal error, which is logged.
         */
        HAPROXY_EMAIL_ALERT_ERR_PANIC = 7099,
};

/**
 * Answer to a runtime command. The caller of haproxy_email_alert_command() owns it.
 */
struct haproxy_email_alert_answer;

/**
 * Description of HAProxy's process. The caller owns it; the library copies it during the call.
 */
struct haproxy_email_alert_process {
        /**
         * sizeof(struct haproxy_email_alert_process)
         */
        size_t size;
        /**
         * User id of the worker; 0: the process keeps its user.
         */
        uint32_t uid;
        /**
         * Group id of the worker; 0: the process keeps its group.
         */
        uint32_t gid;
        /**
         * HAProxy's version, ended by NUL, or NULL.
         */
        const char *haproxy_version;
        /**
         * URL of HAProxy's statistics page, such as "http://192.0.2.1:8404/stats", ended by NUL, or NULL. If it has no host, as in
         * "http://:8404/stats", the library inserts this machine's name. haproxy_email_alert_prepare() reads it. An invalid URL, or
         * one of more than 512 bytes, is logged and left out of the mails.
         */
        const char *stats_url;
};

/**
 * Text of <length> bytes, not ended by NUL, in any encoding. <data> may be NULL when <length> is 0. The caller owns the bytes,
 * which must not change during the call; the library copies them.
 */
struct haproxy_email_alert_text {
        /**
         * First byte.
         */
        const char *data;
        /**
         * Number of bytes.
         */
        size_t length;
};

/**
 * One change of a server's status. The caller owns it and its texts, which must not change during the call; the library copies
 * them, and cuts texts that exceed a slot of the queue.
 */
struct haproxy_email_alert_event {
        /**
         * sizeof(struct haproxy_email_alert_event)
         */
        size_t size;
        /**
         * Number of the proxy: unique in the process.
         */
        uint32_t proxy_id;
        /**
         * Number of the server: unique in its proxy.
         */
        uint32_t server_id;
        /**
         * State before the change: HAPROXY_EMAIL_ALERT_ST_STOPPED to _STOPPING.
         */
        uint32_t old_state;
        /**
         * State after the change: HAPROXY_EMAIL_ALERT_ST_STOPPED to _STOPPING.
         */
        uint32_t new_state;
        /**
         * Administrative flags before the change: HAPROXY_EMAIL_ALERT_ADM_FMAINT etc.
         */
        uint32_t old_admin;
        /**
         * Administrative flags after the change: HAPROXY_EMAIL_ALERT_ADM_FMAINT etc.
         */
        uint32_t new_admin;
        /**
         * Event flags: HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL etc.
         */
        uint32_t flags;
        /**
         * Number of servers, active and backup, that the backend could use before the change.
         */
        uint32_t usable_before;
        /**
         * Number of active servers that the backend can use now.
         */
        uint32_t active;
        /**
         * Number of backup servers that the backend can use now.
         */
        uint32_t backup;
        /**
         * Number of the server's sessions.
         */
        uint32_t sessions;
        /**
         * Number of sessions that the change sent back to the queue; negative: such a change moves none.
         */
        int32_t requeued;
        /**
         * Number of sessions in the server's queue.
         */
        uint32_t queued;
        /**
         * Code of the check at layers 5 to 7; negative: the check has none.
         */
        int32_t check_code;
        /**
         * Duration of the check, in milliseconds; negative: not known.
         */
        int64_t check_duration_ms;
        /**
         * Name of the backend or listen section.
         */
        struct haproxy_email_alert_text proxy;
        /**
         * Name of the server.
         */
        struct haproxy_email_alert_text server;
        /**
         * Name of the proxy of the tracked server, or empty.
         */
        struct haproxy_email_alert_text via_proxy;
        /**
         * Name of the tracked server, or empty.
         */
        struct haproxy_email_alert_text via_server;
        /**
         * Host name of the server if HAProxy resolves it at run time, or empty.
         */
        struct haproxy_email_alert_text hostname;
        /**
         * HAProxy's word for the cause if it was no check, or empty.
         */
        struct haproxy_email_alert_text cause;
        /**
         * Short status of the check, such as "L4TOUT".
         */
        struct haproxy_email_alert_text check_status;
        /**
         * Description of the check's status, such as "Layer4 timeout".
         */
        struct haproxy_email_alert_text check_reason;
        /**
         * Text of the server or the system, unchanged.
         */
        struct haproxy_email_alert_text check_info;
        /**
         * Address and port of the server, such as "10.0.0.7:8080", or empty.
         */
        struct haproxy_email_alert_text address;
        /**
         * HAPROXY_EMAIL_ALERT_CHK_FAILED etc.: the event is the result of a single check, with the flag EVF_CHECK, and no change;
         * the fields of the states before and after are not read. 0: the event is a change.
         */
        uint32_t check_result;
        /**
         * HAProxy's health counter of that check: at least <check_rise> if the check considers the server up.
         */
        uint32_t check_health;
        /**
         * Number of consecutive successes after which a server that is down is considered up.
         */
        uint32_t check_rise;
        /**
         * Number of consecutive failures after which a server that is up is considered down.
         */
        uint32_t check_fall;
};

/**
 * Counters since the start. All but <waiting> only increase. The caller owns the struct.
 */
struct haproxy_email_alert_counters {
        /**
         * sizeof(struct haproxy_email_alert_counters), set by the caller.
         */
        size_t size;
        /**
         * Events that the queue accepted.
         */
        uint64_t accepted;
        /**
         * Events that were dropped because the queue was full.
         */
        uint64_t dropped;
        /**
         * Events and mails that are neither delivered nor failed.
         */
        uint64_t waiting;
        /**
         * Copies, one for each recipient, that a relay has accepted.
         */
        uint64_t delivered;
        /**
         * Copies that failed permanently or expired.
         */
        uint64_t failed;
        /**
         * Copies that will be retried, counted at each attempt.
         */
        uint64_t retried;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the library's version, such as "0.1.0". The library owns the string, which is static and ended by NUL. Any thread, at
 * any time.
 */
const char *haproxy_email_alert_version(void);

/**
 * Returns the library's HAPROXY_EMAIL_ALERT_ABI, which the caller compares with that of its header. Any thread, at any time.
 */
uint32_t haproxy_email_alert_abi(void);

/**
 * Returns the <index>th keyword of the directives, from 0; NULL past the last. The library owns the string, which is static and
 * ended by NUL. Any thread, at any time.
 */
const char *haproxy_email_alert_keyword(size_t index);

/**
 * Parses one directive. <words> are the <count> words of the line, each ended by NUL; <words[0]> is the keyword. The caller owns
 * the words and the message's buffer; the library does not use them after the call. Opens no file for writing and starts
 * nothing. One thread, before haproxy_email_alert_check().
 *
 * Returns OK, ERR_CONFIG with a message without line end in <message> (of <size> bytes, always ended by NUL; NULL: no message),
 * ERR_INVALID for NULL in the place of words, or ERR_NOT_RUNNING after a successful haproxy_email_alert_check().
 */
enum haproxy_email_alert_result haproxy_email_alert_parse(const char *const *words,
                                                          size_t count,
                                                          char *message,
                                                          size_t size);

/**
 * Returns true once a directive has been parsed, even a wrong one. Any thread, at any time.
 */
bool haproxy_email_alert_configured(void);

/**
 * Returns true if a route needs the results of single checks; otherwise the caller need not report them. Any thread, after the
 * last directive.
 */
bool haproxy_email_alert_wants_checks(void);

/**
 * Returns HAPROXY_EMAIL_ALERT_NATIVE_ flags: the use of HAProxy's own "email-alert" and "mailer" lines that "email_alert.native"
 * sets. The caller passes the directives that it makes of these lines to haproxy_email_alert_parse(). One thread, after the last
 * line of the configuration.
 */
uint32_t haproxy_email_alert_native_mode(void);

/**
 * Checks the configuration as a whole, after the last directive. Opens nothing for writing, starts nothing and sends nothing, so
 * that "haproxy -c" may call it. The caller owns <process> and the message's buffer; the library does not use them after the
 * call. One thread.
 *
 * Returns OK (also without any directive, and after a refused directive, whose error is enough), WARNING (the configuration
 * works, and the message names a risk) or ERR_CONFIG with a message (see haproxy_email_alert_parse()), or ERR_INVALID if
 * <process> is NULL or has a wrong size.
 */
enum haproxy_email_alert_result haproxy_email_alert_check(const struct haproxy_email_alert_process *process,
                                                          char *message,
                                                          size_t size);

/**
 * Opens everything for which root, the file system or the resolver is needed, and starts the helper process if a relay needs it.
 * Must be called before HAProxy changes its root directory and user. Starts no thread, so that the process may still fork. The
 * caller owns <process>, its texts and the message's buffer; the library copies the texts. One thread, once, after
 * haproxy_email_alert_check().
 *
 * Returns OK, WARNING or ERR_SYSTEM with a message (see haproxy_email_alert_parse()), ERR_NOT_RUNNING without a checked
 * configuration or after an earlier success, or ERR_INVALID if <process> is NULL or has a wrong size. It may be called again
 * after ERR_SYSTEM.
 */
enum haproxy_email_alert_result haproxy_email_alert_prepare(const struct haproxy_email_alert_process *process,
                                                            char *message,
                                                            size_t size);

/**
 * Returns the largest number of descriptors that the library opens, which HAProxy adds to its own; 0 before
 * haproxy_email_alert_check(). One thread.
 */
uint32_t haproxy_email_alert_descriptors(void);

/**
 * Starts the library's threads. Must be called in the worker, after all forks and before RLIMIT_NPROC becomes 0. One thread,
 * once.
 *
 * Returns OK, ERR_SYSTEM (the reason is logged), or ERR_NOT_RUNNING without a successful haproxy_email_alert_prepare().
 */
enum haproxy_email_alert_result haproxy_email_alert_start(void);

/**
 * Copies one event into the queue. The caller owns <event> and its texts; the library does not use them after the call. Any
 * thread, under any lock: it never blocks, allocates, locks or logs, and makes one system call (a wake-up) at most.
 *
 * Returns OK, ERR_QUEUE_FULL (the event is counted as dropped), ERR_NOT_RUNNING before the start and after the stop, or
 * ERR_INVALID if <event> is NULL, or has a wrong size, an unknown state or an invalid text.
 */
enum haproxy_email_alert_result haproxy_email_alert(const struct haproxy_email_alert_event *event);

/**
 * Hints that an event may come within <within_ms> milliseconds, because the next result of a check could decide on a server. The
 * library opens a session with the relay, so that the mail finds it open. If no event follows, the session is closed and
 * further hints are ignored for 1 minute, doubling up to 1 hour. A hint of 0, or of more than 60000, is ignored. Any thread,
 * under any lock: it never blocks, allocates, locks or logs, and makes one system call (a wake-up) at most.
 *
 * Returns OK, or ERR_NOT_RUNNING before the start and after the stop.
 */
enum haproxy_email_alert_result haproxy_email_alert_prewarm(uint32_t within_ms);

/**
 * Returns the name of the <n>th server or backend, from 0, whose present state the library needs: the process before this one
 * left an open incident of it, and HAProxy does not report a server that is up from the start. The library writes names ended by
 * NUL to <proxy> and <server>, of <size> bytes each, which the caller owns; the server's name is empty for a backend as a whole.
 * The caller replies by haproxy_email_alert() with the flag EVF_STATE_REPORT as soon as the first check has finished, or with
 * EVF_REMOVED. The name is returned until the library has processed the reply. Any thread; never blocks.
 *
 * Returns OK, ERR_EMPTY if there are no more than <n>, ERR_NOT_RUNNING before the start, or ERR_INVALID for NULL or a <size> of
 * 0.
 */
enum haproxy_email_alert_result haproxy_email_alert_next_unconfirmed(size_t n,
                                                                     char *proxy,
                                                                     char *server,
                                                                     size_t size);

/**
 * Takes the oldest line for HAProxy's log: writes the printable line without line end, ended by NUL, to <line> (of <size>
 * bytes), and its syslog severity to <level>. The caller owns both. Any thread; never blocks.
 *
 * Returns OK, ERR_EMPTY if there is no line, or ERR_INVALID for NULL or a <size> of 0.
 */
enum haproxy_email_alert_result haproxy_email_alert_next_log(int *level,
                                                             char *line,
                                                             size_t size);

/**
 * Fills <counters>, which the caller owns and whose <size> it has set. Any thread; never blocks.
 *
 * Returns OK, ERR_NOT_RUNNING before the start, or ERR_INVALID if <counters> is NULL or has a wrong size.
 */
enum haproxy_email_alert_result haproxy_email_alert_get_counters(struct haproxy_email_alert_counters *counters);

/**
 * Begins a soft stop: pending events are delivered at once, and mails in back-off are retried once. Any thread; never blocks.
 *
 * Returns OK, or ERR_NOT_RUNNING before the start.
 */
enum haproxy_email_alert_result haproxy_email_alert_drain(void);

/**
 * Makes the process ready to end by SIGTERM. With a spool: all pending events become mails in files, and no transaction with a relay
 * begins any more. Without one, or while it cannot be written: as haproxy_email_alert_drain(). The process should end as soon as
 * haproxy_email_alert_pending() returns 0. Any thread; never blocks.
 *
 * Returns OK, or ERR_NOT_RUNNING before the start.
 */
enum haproxy_email_alert_result haproxy_email_alert_terminate(void);

/**
 * Returns the number of events and mails for which the end of the process should wait: those that are neither delivered nor failed.
 * After haproxy_email_alert_terminate() with a spool, mails in files do not count, and a transaction that is under way does. 0
 * before the start, and when the process can end without a loss. Any thread; never blocks.
 */
uint64_t haproxy_email_alert_pending(void);

/**
 * Delivers pending events and mails for at most <bound_ms> milliseconds, and ends the library's threads; a thread that is
 * blocked by a relay is abandoned. The log names what was not delivered. One thread, after the last event.
 *
 * Returns OK, ERR_PENDING if something was not delivered, or ERR_NOT_RUNNING before the start.
 */
enum haproxy_email_alert_result haproxy_email_alert_stop(uint32_t bound_ms);

/**
 * Runs the helper process, which runs sendmail and mailx and resolves names, until the worker ends.
 * haproxy_email_alert_prepare() starts /proc/self/exe with HAPROXY_EMAIL_ALERT_HELPER in its environment: a program that uses
 * the library must check for that variable first of all, and if it is set do nothing but exit with the status that this function
 * returns. Standard input is the socket. The only thread of its process, once.
 */
int haproxy_email_alert_helper(void);

/**
 * Executes a runtime command. <words> are the <count> words of the line, such as "show", "email-alert", each ended by NUL. The
 * caller owns them and the message's buffer; the library does not use them after the call. On OK, <answer> gets the answer,
 * which the caller owns, reads with haproxy_email_alert_answer_copy() and must free with haproxy_email_alert_answer_free();
 * otherwise it gets NULL. Any thread; allocates, but never waits for a relay, a disk or a lock.
 *
 * Returns OK, ERR_CONFIG with a message (see haproxy_email_alert_parse()), ERR_NOT_RUNNING before the start and after the stop,
 * or ERR_INVALID for NULL in the place of <answer> or words.
 */
enum haproxy_email_alert_result haproxy_email_alert_command(const char *const *words,
                                                            size_t count,
                                                            struct haproxy_email_alert_answer **answer,
                                                            char *message,
                                                            size_t size);

/**
 * Copies the bytes of an answer from <cursor> on to <buffer>, at most <size> of them, without a NUL; a character of several
 * bytes is never divided. The caller owns both; <answer> does not change. Any thread.
 *
 * Returns the number of copied bytes, by which the caller advances its cursor; 0 at the end, for NULL, or if <size> is too small
 * for the next character.
 */
size_t haproxy_email_alert_answer_copy(const struct haproxy_email_alert_answer *answer,
                                       size_t cursor,
                                       char *buffer,
                                       size_t size);

/**
 * Frees an answer, which must not be used any more; NULL is ignored. Any thread, once for each answer.
 */
void haproxy_email_alert_answer_free(struct haproxy_email_alert_answer *answer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HAPROXY_EMAIL_ALERT_H */
