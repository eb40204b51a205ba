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
 * The number of this ABI. It changes when an older caller would not work any more, and so does the library's soname.
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
 * Maintenance because the server's name does not resolve (SRV_ADMF_RMAINT).
 */
#define HAPROXY_EMAIL_ALERT_ADM_RMAINT 32

/**
 * Maintenance until the server's name was set (SRV_ADMF_HMAINT).
 */
#define HAPROXY_EMAIL_ALERT_ADM_HMAINT 64

/**
 * Event flag: a check, an agent or the CLI's "health" and "agent" commands decided; else an administrator.
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
 * Event flag: nothing has changed. It answers haproxy_email_alert_next_unconfirmed(): what the server is now or, without a
 * server's name, the backend.
 */
#define HAPROXY_EMAIL_ALERT_EVF_STATE_REPORT 32

/**
 * Event flag: the same, and it is not there any more. No other field is needed than the names.
 */
#define HAPROXY_EMAIL_ALERT_EVF_REMOVED 64

/**
 * Event flag: the server's weight is 0. HAProxy then says "DRAIN" of a check where it else says "UP".
 */
#define HAPROXY_EMAIL_ALERT_EVF_ZERO_WEIGHT 128

/**
 * Event flag: this is HAProxy 2.8 or later, some of whose sentences have other words than before.
 */
#define HAPROXY_EMAIL_ALERT_EVF_SINCE_2_8 256

/**
 * The event's check_result: the check failed.
 */
#define HAPROXY_EMAIL_ALERT_CHK_FAILED 1

/**
 * The event's check_result: it passed.
 */
#define HAPROXY_EMAIL_ALERT_CHK_PASSED 2

/**
 * The event's check_result: it passed conditionally ("http-check disable-on-404").
 */
#define HAPROXY_EMAIL_ALERT_CHK_CONDITIONAL 3

/**
 * What haproxy_email_alert_native_mode() says: the administrator wants it, or does not.
 */
#define HAPROXY_EMAIL_ALERT_NATIVE_SAID 1

/**
 * Each proxy's own "email-alert" lines are to become an "email_alert" directive, and HAProxy's mailers are to send nothing.
 */
#define HAPROXY_EMAIL_ALERT_NATIVE_ROUTES 2

/**
 * Each of these proxies' "mailer" lines is to become an "email_alert.relay" directive: the administrator has given no relay.
 */
#define HAPROXY_EMAIL_ALERT_NATIVE_RELAYS 4

/**
 * What a call came to. The numbers never change their meaning.
 */
enum haproxy_email_alert_result {
        /**
         * Done.
         */
        HAPROXY_EMAIL_ALERT_OK = 0,
        /**
         * The event was dropped, and counted: the queue is full.
         */
        HAPROXY_EMAIL_ALERT_ERR_QUEUE_FULL = 7001,
        /**
         * Called in the wrong order.
         */
        HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING = 7002,
        /**
         * NULL, a bad size or a bad value.
         */
        HAPROXY_EMAIL_ALERT_ERR_INVALID = 7003,
        /**
         * The configuration is wrong: the message says what.
         */
        HAPROXY_EMAIL_ALERT_ERR_CONFIG = 7004,
        /**
         * Done, but the administrator should see the message.
         */
        HAPROXY_EMAIL_ALERT_WARNING = 7005,
        /**
         * There is nothing to return.
         */
        HAPROXY_EMAIL_ALERT_ERR_EMPTY = 7006,
        /**
         * The time was over before everything was delivered.
         */
        HAPROXY_EMAIL_ALERT_ERR_PENDING = 7007,
        /**
         * The system refused something: the message or the log says what.
         */
        HAPROXY_EMAIL_ALERT_ERR_SYSTEM = 7008,
        /**
         * A bug in the library was caught.
         */
        HAPROXY_EMAIL_ALERT_ERR_PANIC = 7099,
};

/**
 * The answer to a runtime command, owned by the caller of haproxy_email_alert_command().
 */
struct haproxy_email_alert_answer;

/**
 * What the library must know of the process.
 */
struct haproxy_email_alert_process {
        /**
         * sizeof(struct haproxy_email_alert_process)
         */
        size_t size;
        /**
         * The user that the worker will run as; 0: it stays root, or who it is.
         */
        uint32_t uid;
        /**
         * Its group.
         */
        uint32_t gid;
        /**
         * HAProxy's version, ended by NUL, or NULL. Copied.
         */
        const char *haproxy_version;
        /**
         * Where HAProxy's statistics page is, ended by NUL, or NULL: "http://192.0.2.1:8404/stats". Without a host, as in
         * "http://:8404/stats", it is on this machine, whose name the library puts in. Read by haproxy_email_alert_prepare(), and
         * copied. What is no such URL, or longer than 512 bytes, is left out of the mails, and the log says so.
         */
        const char *stats_url;
};

/**
 * Text of <length> bytes, not ended by NUL, in any encoding. <data> may be NULL when <length> is 0. Borrowed.
 */
struct haproxy_email_alert_text {
        /**
         * The first byte.
         */
        const char *data;
        /**
         * In bytes.
         */
        size_t length;
};

/**
 * One commit of a server's status. Texts are borrowed for the call; what is longer than the queue's slots is cut.
 */
struct haproxy_email_alert_event {
        /**
         * sizeof(struct haproxy_email_alert_event)
         */
        size_t size;
        /**
         * The proxy's number: unique in the process.
         */
        uint32_t proxy_id;
        /**
         * The server's number: unique in its proxy.
         */
        uint32_t server_id;
        /**
         * HAPROXY_EMAIL_ALERT_ST_STOPPED to _STOPPING: before the change.
         */
        uint32_t old_state;
        /**
         * The same after it.
         */
        uint32_t new_state;
        /**
         * HAPROXY_EMAIL_ALERT_ADM_FMAINT etc.: before the change.
         */
        uint32_t old_admin;
        /**
         * The same after it.
         */
        uint32_t new_admin;
        /**
         * HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL etc.
         */
        uint32_t flags;
        /**
         * Servers, active and backup, that the backend could use before the change.
         */
        uint32_t usable_before;
        /**
         * Active servers that it can use now.
         */
        uint32_t active;
        /**
         * Backup servers that it can use now.
         */
        uint32_t backup;
        /**
         * Sessions that the server has.
         */
        uint32_t sessions;
        /**
         * Sessions that the change sent back to the queue; negative: it moves none.
         */
        int32_t requeued;
        /**
         * Sessions in the server's queue.
         */
        uint32_t queued;
        /**
         * The check's layer 5 to 7 code; negative: it has none.
         */
        int32_t check_code;
        /**
         * How long the check took, in milliseconds; negative: not known.
         */
        int64_t check_duration_ms;
        /**
         * The backend's or listen section's name.
         */
        struct haproxy_email_alert_text proxy;
        /**
         * The server's name.
         */
        struct haproxy_email_alert_text server;
        /**
         * The proxy of the server that this one tracks, or empty.
         */
        struct haproxy_email_alert_text via_proxy;
        /**
         * The name of the server that this one tracks, or empty.
         */
        struct haproxy_email_alert_text via_server;
        /**
         * The server's host name where HAProxy resolves it at run time, or empty.
         */
        struct haproxy_email_alert_text hostname;
        /**
         * HAProxy's word for the cause where it was no check, or empty.
         */
        struct haproxy_email_alert_text cause;
        /**
         * The check's status in short: "L4TOUT".
         */
        struct haproxy_email_alert_text check_status;
        /**
         * The same in words: "Layer4 timeout".
         */
        struct haproxy_email_alert_text check_reason;
        /**
         * What the server or the system said, as it came.
         */
        struct haproxy_email_alert_text check_info;
        /**
         * Where the server is: "10.0.0.7:8080", or empty.
         */
        struct haproxy_email_alert_text address;
        /**
         * HAPROXY_EMAIL_ALERT_CHK_FAILED etc.: the event is a single check's result, with the flag EVF_CHECK, and no change;
         * what was before and what is now does not matter. 0: it is a change.
         */
        uint32_t check_result;
        /**
         * HAProxy's count of that check's results: at least <check_rise> if the server is up for it.
         */
        uint32_t check_health;
        /**
         * So many successes make a server that is down up.
         */
        uint32_t check_rise;
        /**
         * So many failures make a server that is up down.
         */
        uint32_t check_fall;
};

/**
 * What was done so far; all but <waiting> only grow.
 */
struct haproxy_email_alert_counters {
        /**
         * sizeof(struct haproxy_email_alert_counters), set by the caller.
         */
        size_t size;
        /**
         * Events that the queue took.
         */
        uint64_t accepted;
        /**
         * Events that it refused: it was full.
         */
        uint64_t dropped;
        /**
         * Events and mails that are neither delivered nor given up.
         */
        uint64_t waiting;
        /**
         * Copies, one for each recipient, that a relay has taken.
         */
        uint64_t delivered;
        /**
         * Copies that were refused for good, or given up.
         */
        uint64_t failed;
        /**
         * Copies that are to be tried again, counted at each attempt.
         */
        uint64_t retried;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The library's version, such as "0.1.0". Any thread, at any time. The string is static.
 */
const char *haproxy_email_alert_version(void);

/**
 * The library's HAPROXY_EMAIL_ALERT_ABI: the caller compares it with its header's. Any thread, at any time.
 */
uint32_t haproxy_email_alert_abi(void);

/**
 * Adds one directive. <words> are the <count> words of the line, each ended by NUL, <words[0]> the keyword; nothing of them
 * is kept. One thread, before haproxy_email_alert_check().
 *
 * Returns OK, or ERR_CONFIG with a message without line end in <message> (of <size> bytes, always ended by NUL; NULL: not
 * wanted), or ERR_INVALID for NULL, or ERR_NOT_RUNNING once checked. Nothing is opened or started.
 */
enum haproxy_email_alert_result haproxy_email_alert_parse(const char *const *words,
                                                          size_t count,
                                                          char *message,
                                                          size_t size);

/**
 * Has a directive been parsed, be it a wrong one? Any thread.
 */
bool haproxy_email_alert_configured(void);

/**
 * Does a route ask for single checks' results? Else there is no need to report them. Any thread.
 */
bool haproxy_email_alert_wants_checks(void);

/**
 * What "email_alert.native" says of HAProxy's own "email-alert" and "dispatcher" lines, as HAPROXY_EMAIL_ALERT_NATIVE_ flags. One
 * thread, after the last line of the configuration; the directives made of them are for haproxy_email_alert_parse().
 */
uint32_t haproxy_email_alert_native_mode(void);

/**
 * Looks at the configuration as a whole, after the last directive. Opens nothing for writing, starts and sends nothing: it is
 * for "haproxy -c" too. One thread.
 *
 * Returns OK (also without any directive, and after one that was refused: its error is enough), WARNING (it works, and the
 * administrator should know the risk) or ERR_CONFIG with a message (see haproxy_email_alert_parse()), or ERR_INVALID.
 */
enum haproxy_email_alert_result haproxy_email_alert_check(const struct haproxy_email_alert_process *process,
                                                          char *message,
                                                          size_t size);

/**
 * Opens what needs root, the file system or the resolver, and starts the helper process if a relay needs it: before
 * HAProxy changes its root and user. Makes no thread, so that the process may still fork. One thread, once, after
 * haproxy_email_alert_check().
 *
 * Returns OK, WARNING or ERR_SYSTEM with a message (see haproxy_email_alert_parse()), ERR_NOT_RUNNING without a checked
 * configuration, or ERR_INVALID. After ERR_SYSTEM it may be called again.
 */
enum haproxy_email_alert_result haproxy_email_alert_prepare(const struct haproxy_email_alert_process *process,
                                                            char *message,
                                                            size_t size);

/**
 * How many descriptors the library has open at most: HAProxy adds them to its own. One thread, once checked; 0 before.
 */
uint32_t haproxy_email_alert_descriptors(void);

/**
 * Starts the threads: in the worker, after all forks, before its RLIMIT_NPROC becomes 0. One thread, once.
 *
 * Returns OK, ERR_SYSTEM (the log says why), or ERR_NOT_RUNNING if it is not prepared.
 */
enum haproxy_email_alert_result haproxy_email_alert_start(void);

/**
 * Hands over one event. Any thread, under any lock: it never blocks, allocates, locks or logs, and makes one system call
 * (a wake-up) at most. The caller keeps <event> and its texts.
 *
 * Returns OK, ERR_QUEUE_FULL (the event is counted as dropped), ERR_NOT_RUNNING before the start and after the stop, or ERR_INVALID.
 */
enum haproxy_email_alert_result haproxy_email_alert(const struct haproxy_email_alert_event *event);

/**
 * A hint: an event may come within <within_ms> milliseconds, because the next result of a check could decide on a server. The
 * library opens a session with the relay, so that the mail finds it open. If no event follows, the session is closed and
 * further hints are ignored for 1 minute, doubling up to 1 hour. A hint of 0, or of more than 60000, is ignored. Any thread,
 * under any lock: it never blocks, allocates, locks or logs, and makes one system call (a wake-up) at most.
 *
 * Returns OK, or ERR_NOT_RUNNING before the start and after the stop.
 */
enum haproxy_email_alert_result haproxy_email_alert_prewarm(uint32_t within_ms);

/**
 * Asks for what a server, or a backend, is now: the process before this one knew it to be in trouble, and HAProxy says nothing
 * of a server that is up from the start. <n> counts the questions from 0; <proxy> and <server> are of <size> bytes each and
 * get names ended by NUL, and that of the server is empty where it is about the backend as a whole. To be answered by
 * haproxy_email_alert() with the flag EVF_STATE_REPORT as soon as its first check is through, or with EVF_REMOVED; until the answer has
 * been processed, it is asked again. Any thread; never blocks.
 *
 * Returns OK, ERR_EMPTY: there are not so many, ERR_NOT_RUNNING before the start, or ERR_INVALID for NULL.
 */
enum haproxy_email_alert_result haproxy_email_alert_next_unconfirmed(size_t n,
                                                                     char *proxy,
                                                                     char *server,
                                                                     size_t size);

/**
 * Carries out a runtime command. <words> are the <count> words of the line, each ended by NUL, such as "show", "email-alert"; nothing
 * of them is kept. On OK <answer> gets the answer, which the caller owns, reads with haproxy_email_alert_answer_copy() and must free
 * with haproxy_email_alert_answer_free(); otherwise it gets NULL. Any thread; allocates, but never waits for a relay, a disk or a
 * lock.
 *
 * Returns OK, ERR_CONFIG with a message without line end in <message> (of <size> bytes, always ended by NUL; NULL: not wanted),
 * ERR_NOT_RUNNING before the start and after the stop, or ERR_INVALID for NULL.
 */
enum haproxy_email_alert_result haproxy_email_alert_command(const char *const *words,
                                                            size_t count,
                                                            struct haproxy_email_alert_answer **answer,
                                                            char *message,
                                                            size_t size);

/**
 * Copies the bytes of an answer from <cursor> on to <buffer>, at most <size> of them, without a NUL; a character of several bytes is
 * never divided. Returns their number, by which the caller advances its cursor; 0: the end, NULL, or <size> is too small for the next
 * character. Any thread.
 */
size_t haproxy_email_alert_answer_copy(const struct haproxy_email_alert_answer *answer,
                                       size_t cursor,
                                       char *buffer,
                                       size_t size);

/**
 * Frees an answer; NULL is ignored. Any thread, once.
 */
void haproxy_email_alert_answer_free(struct haproxy_email_alert_answer *answer);

/**
 * Gives the oldest line for HAProxy's log: printable, without line end, in <line> (of <size> bytes, ended by NUL), its syslog
 * severity in <level>. Any thread; never blocks.
 *
 * Returns OK, ERR_EMPTY, or ERR_INVALID for NULL.
 */
enum haproxy_email_alert_result haproxy_email_alert_next_log(int *level,
                                                             char *line,
                                                             size_t size);

/**
 * Fills in <counters>, whose <size> the caller has set. Any thread; never blocks.
 *
 * Returns OK, ERR_NOT_RUNNING before the start, or ERR_INVALID.
 */
enum haproxy_email_alert_result haproxy_email_alert_get_counters(struct haproxy_email_alert_counters *counters);

/**
 * A soft stop has begun: what is there is delivered now, or tried once more if it waits for a better time. Any thread; never
 * blocks.
 *
 * Returns OK, or ERR_NOT_RUNNING before the start.
 */
enum haproxy_email_alert_result haproxy_email_alert_drain(void);

/**
 * How many events and mails are neither delivered nor given up; 0: the process can end without a loss. Any thread; never
 * blocks.
 */
uint64_t haproxy_email_alert_pending(void);

/**
 * Waits for what is pending, for at most <bound_ms> milliseconds, and ends the threads; one that hangs in a relay is left behind.
 * One thread, when no event comes any more. The log says what was not delivered.
 *
 * Returns OK, ERR_PENDING, or ERR_NOT_RUNNING before the start.
 */
enum haproxy_email_alert_result haproxy_email_alert_stop(uint32_t bound_ms);

/**
 * The whole program of the helper process, which runs sendmail and mailx and resolves names. haproxy_email_alert_prepare() starts
 * /proc/self/exe with HAPROXY_EMAIL_ALERT_HELPER in its environment: a program that uses the library looks for that variable
 * first of all, and if it is there does nothing but exit with what this function returns. Standard input is the socket.
 */
int haproxy_email_alert_helper(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HAPROXY_EMAIL_ALERT_H */
