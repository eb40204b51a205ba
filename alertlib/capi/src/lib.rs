// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C ABI. The comments here become those of `include/haproxy_email_alert.h`.
//!
//! The only unsafe code of the crate. Every exported function runs in [`guard::guarded`], and answers NULL, bad sizes and
//! calls in the wrong order.

#![allow(non_camel_case_types)] // these are C's names

mod abi;
mod guard;

pub use abi::*;
use alertlib::counters::Counts;
use alertlib::event::{CheckResult, Kind, Number, RawChange, State};
use alertlib::service::{self, Answer, Prepared, Service};
use alertlib::settings::{Config, Settings};
use alertlib::sys::User;
use guard::{guarded, read_sized, slice, string, write_sized, write_text};
use haproxy_email_alert_result::*;
use once_cell::sync::OnceCell;
use std::ffi::{c_char, c_int};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

/// The time before the threads: what was parsed, and what was opened for it.
struct Setup {
    settings: Settings,
    configured: bool,
    /// A directive was wrong: its own error is enough, and says more than what follows from it.
    refused: bool,
    config: Option<Config>,
    prepared: Option<Prepared>,
}

static SETUP: Mutex<Setup> = Mutex::new(Setup {
    settings: Settings::new(),
    configured: false,
    refused: false,
    config: None,
    prepared: None,
});

/// The time of the threads.
static SERVICE: OnceCell<Service> = OnceCell::new();

/// Used by one thread, before the others are there.
fn setup() -> MutexGuard<'static, Setup> {
    SETUP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Panics are told to the log; a daemon has no standard error.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        alertlib::logging::into_ring();
        std::panic::set_hook(Box::new(|panic| {
            log::error!("bug in haproxy-email-alert {}: {panic}", alertlib::VERSION)
        }));
    });
}

/// The library's version, such as "0.1.0". Any thread, at any time. The string is static.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The library's HAPROXY_EMAIL_ALERT_ABI: the caller compares it with its header's. Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_abi() -> u32 {
    HAPROXY_EMAIL_ALERT_ABI
}

/// Adds one directive. <words> are the <count> words of the line, each ended by NUL, <words[0]> the keyword; nothing of them
/// is kept. One thread, before haproxy_email_alert_check().
///
/// Returns OK, or ERR_CONFIG with a message without line end in <message> (of <size> bytes, always ended by NUL; NULL: not
/// wanted), or ERR_INVALID for NULL, or ERR_NOT_RUNNING once checked. Nothing is opened or started.
///
/// # Safety
///
/// The pointers are as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert_parse(
    words: *const *const c_char,
    count: usize,
    message: *mut c_char,
    size: usize,
) -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || {
        log_panics();
        // SAFETY: as the caller promises, see above.
        let Some(words) = (unsafe { slice(words, count) }) else { return HAPROXY_EMAIL_ALERT_ERR_INVALID };
        let mut texts = Vec::with_capacity(words.len());
        for &word in words {
            // SAFETY: as the caller promises, see above.
            match unsafe { string(word) } {
                None => return HAPROXY_EMAIL_ALERT_ERR_INVALID,
                Some(word) => texts.push(word.to_str().map_err(|_| word.to_string_lossy())),
            }
        }
        let mut setup = setup();
        if setup.config.is_some() || SERVICE.get().is_some() {
            return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
        }
        setup.configured = true;
        let parsed = match texts.into_iter().collect::<Result<Vec<&str>, _>>() {
            Ok(words) => alertlib::directive::parse(&mut setup.settings, &words),
            Err(word) => Err(format!("word '{}' is not UTF-8", alertlib::text::visible(&word))),
        };
        setup.refused |= parsed.is_err();
        // SAFETY: as the caller promises, see above.
        unsafe { answer(parsed, HAPROXY_EMAIL_ALERT_ERR_CONFIG, message, size) }
    })
}

/// Has a directive been parsed, be it a wrong one? Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_configured() -> bool {
    guarded(false, || SERVICE.get().is_some() || setup().configured)
}

/// Does a route ask for single checks' results? Else there is no need to report them. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_wants_checks() -> bool {
    guarded(false, || setup().settings.routes.iter().any(|route| route.kinds.has(Kind::Check)))
}

/// What "email_alert.native" says of HAProxy's own "email-alert" and "dispatcher" lines, as HAPROXY_EMAIL_ALERT_NATIVE_ flags. One
/// thread, after the last line of the configuration; the directives made of them are for haproxy_email_alert_parse().
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_native_mode() -> u32 {
    guarded(0, || {
        let settings = &setup().settings;
        let relays = if settings.relays.is_empty() { HAPROXY_EMAIL_ALERT_NATIVE_RELAYS } else { 0 };
        match settings.native {
            None => 0,
            Some(false) => HAPROXY_EMAIL_ALERT_NATIVE_SAID,
            Some(true) => HAPROXY_EMAIL_ALERT_NATIVE_SAID | HAPROXY_EMAIL_ALERT_NATIVE_ROUTES | relays,
        }
    })
}

/// Looks at the configuration as a whole, after the last directive. Opens nothing for writing, starts and sends nothing: it is
/// for "haproxy -c" too. One thread.
///
/// Returns OK (also without any directive, and after one that was refused: its error is enough), WARNING (it works, and the
/// administrator should know the risk) or ERR_CONFIG with a message (see haproxy_email_alert_parse()), or ERR_INVALID.
///
/// # Safety
///
/// <process> is NULL or as its type describes; <message> has <size> writable bytes, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert_check(
    process: *const haproxy_email_alert_process,
    message: *mut c_char,
    size: usize,
) -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || {
        log_panics();
        let mut older = None;
        // SAFETY: as the caller promises, see above.
        let Some(process) = (unsafe { read_sized(process, &mut older) }) else {
            return HAPROXY_EMAIL_ALERT_ERR_INVALID;
        };
        let mut setup = setup();
        if setup.refused || !setup.configured {
            // SAFETY: as the caller promises, see above.
            return unsafe { answer(Ok(()), HAPROXY_EMAIL_ALERT_OK, message, size) };
        }
        let config = setup.settings.resolve(&machine_name());
        let checked = config.and_then(|config| {
            let warnings = service::check(&config, user(process))?;
            setup.config = Some(config);
            Ok(warnings.join("; "))
        });
        let (outcome, result) = match checked {
            Err(why) => (Err(why), HAPROXY_EMAIL_ALERT_ERR_CONFIG),
            Ok(warnings) if warnings.is_empty() => (Ok(()), HAPROXY_EMAIL_ALERT_OK),
            Ok(warnings) => (Err(warnings), HAPROXY_EMAIL_ALERT_WARNING),
        };
        // SAFETY: as the caller promises, see above.
        unsafe { answer(outcome, result, message, size) }
    })
}

/// Opens what needs root, the file system or the resolver, and starts the helper process if a relay needs it: before
/// HAProxy changes its root and user. Makes no thread, so that the process may still fork. One thread, once, after
/// haproxy_email_alert_check().
///
/// Returns OK, WARNING or ERR_SYSTEM with a message (see haproxy_email_alert_parse()), ERR_NOT_RUNNING without a checked
/// configuration, or ERR_INVALID. After ERR_SYSTEM it may be called again.
///
/// # Safety
///
/// As for haproxy_email_alert_check().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert_prepare(
    process: *const haproxy_email_alert_process,
    message: *mut c_char,
    size: usize,
) -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || {
        log_panics();
        let mut older = None;
        // SAFETY: as the caller promises, see above.
        let Some(process) = (unsafe { read_sized(process, &mut older) }) else {
            return HAPROXY_EMAIL_ALERT_ERR_INVALID;
        };
        // SAFETY: as the caller promises, see above.
        let version = unsafe { string(process.haproxy_version) };
        let version = version.map(|version| alertlib::text::visible(&version.to_string_lossy()));
        let mut setup = setup();
        let is_first = setup.prepared.is_none() && SERVICE.get().is_none();
        let Some(mut config) = setup.config.clone().filter(|_| is_first) else {
            return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
        };
        // SAFETY: as the caller promises, see above.
        if let Some(url) = unsafe { string(process.stats_url) } {
            config.set_detected_statistics(&url.to_string_lossy());
        }
        let (outcome, result) = match Prepared::open(config, user(process), version) {
            Err(why) => (Err(why), HAPROXY_EMAIL_ALERT_ERR_SYSTEM),
            Ok(prepared) => {
                let warnings = prepared.warnings.join("; ");
                setup.prepared = Some(prepared);
                (if warnings.is_empty() { Ok(()) } else { Err(warnings) }, HAPROXY_EMAIL_ALERT_WARNING)
            }
        };
        // SAFETY: as the caller promises, see above.
        unsafe { answer(outcome, result, message, size) }
    })
}

/// How many descriptors the library has open at most: HAProxy adds them to its own. One thread, once checked; 0 before.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_descriptors() -> u32 {
    // The helper's socket, and what the resolver opens.
    const SHARED: u32 = 4;
    // A session, or a directory and a file in it.
    const RELAY: u32 = 3;
    let of = |config: &Config| {
        let spool = if config.spool.is_some() { alertlib::spool::DESCRIPTORS } else { 0 };
        SHARED + RELAY * config.relays.len() as u32 + spool
    };
    guarded(0, || setup().config.as_ref().map_or(0, of))
}

/// Starts the threads: in the worker, after all forks, before its RLIMIT_NPROC becomes 0. One thread, once.
///
/// Returns OK, ERR_SYSTEM (the log says why), or ERR_NOT_RUNNING if it is not prepared.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_start() -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || {
        let Some(prepared) = setup().prepared.take() else { return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING };
        match SERVICE.get_or_try_init(|| Service::start(prepared)) {
            Ok(_) => HAPROXY_EMAIL_ALERT_OK,
            Err(error) => {
                log::error!("no mails will be sent: cannot start a thread: {error}");
                HAPROXY_EMAIL_ALERT_ERR_SYSTEM
            }
        }
    })
}

/// Hands over one event. Any thread, under any lock: it never blocks, allocates, locks or logs, and makes one system call
/// (a wake-up) at most. The caller keeps <event> and its texts.
///
/// Returns OK, ERR_QUEUE_FULL (the event is counted as dropped), ERR_NOT_RUNNING before the start and after the stop, or ERR_INVALID.
///
/// # Safety
///
/// <event> is NULL or as its type describes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert(
    event: *const haproxy_email_alert_event,
) -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || {
        let Some(service) = SERVICE.get().filter(|service| !service.is_stopped()) else {
            return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
        };
        let mut older = None;
        // SAFETY: as the caller promises, see above.
        let Some(event) = (unsafe { read_sized(event, &mut older) }) else {
            return HAPROXY_EMAIL_ALERT_ERR_INVALID;
        };
        // SAFETY: the texts are borrowed for this call, as their type describes.
        let Some(change) = (unsafe { raw_change(event) }) else { return HAPROXY_EMAIL_ALERT_ERR_INVALID };
        #[cfg(feature = "fault-injection")]
        assert!(change.texts[alertlib::event::Text::Server as usize] != b"panic-in-the-call", "asked for");
        match service.push(&change) {
            Ok(()) => HAPROXY_EMAIL_ALERT_OK,
            Err(_) => HAPROXY_EMAIL_ALERT_ERR_QUEUE_FULL,
        }
    })
}

/// A hint: an event may come within <within_ms> milliseconds, because the next result of a check could decide on a server. The
/// library opens a session with the relay, so that the mail finds it open. If no event follows, the session is closed and
/// further hints are ignored for 1 minute, doubling up to 1 hour. A hint of 0, or of more than 60000, is ignored. Any thread,
/// under any lock: it never blocks, allocates, locks or logs, and makes one system call (a wake-up) at most.
///
/// Returns OK, or ERR_NOT_RUNNING before the start and after the stop.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_prewarm(within_ms: u32) -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || {
        let Some(service) = SERVICE.get().filter(|service| !service.is_stopped()) else {
            return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
        };
        service.prewarm(Duration::from_millis(within_ms.into()));
        HAPROXY_EMAIL_ALERT_OK
    })
}

/// Asks for what a server, or a backend, is now: the process before this one knew it to be in trouble, and HAProxy says nothing
/// of a server that is up from the start. <n> counts the questions from 0; <proxy> and <server> are of <size> bytes each and
/// get names ended by NUL, and that of the server is empty where it is about the backend as a whole. To be answered by
/// haproxy_email_alert() with the flag EVF_STATE_REPORT as soon as its first check is through, or with EVF_REMOVED; until the answer has
/// been processed, it is asked again. Any thread; never blocks.
///
/// Returns OK, ERR_EMPTY: there are not so many, ERR_NOT_RUNNING before the start, or ERR_INVALID for NULL.
///
/// # Safety
///
/// <proxy> and <server> are NULL or have <size> writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert_next_unconfirmed(
    n: usize,
    proxy: *mut c_char,
    server: *mut c_char,
    size: usize,
) -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || {
        if proxy.is_null() || server.is_null() || size == 0 {
            return HAPROXY_EMAIL_ALERT_ERR_INVALID;
        }
        let Some(service) = SERVICE.get() else { return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING };
        let Some(name) = service.next_unconfirmed(n) else { return HAPROXY_EMAIL_ALERT_ERR_EMPTY };
        // SAFETY: not NULL, and writable, as the caller promises.
        unsafe {
            write_text(proxy, size, &name.proxy);
            write_text(server, size, name.server.as_deref().unwrap_or_default());
        }
        HAPROXY_EMAIL_ALERT_OK
    })
}

/// Carries out a runtime command. <words> are the <count> words of the line, each ended by NUL, such as "show", "email-alert"; nothing
/// of them is kept. On OK <answer> gets the answer, which the caller owns, reads with haproxy_email_alert_answer_copy() and must free
/// with haproxy_email_alert_answer_free(); otherwise it gets NULL. Any thread; allocates, but never waits for a relay, a disk or a
/// lock.
///
/// Returns OK, ERR_CONFIG with a message without line end in <message> (of <size> bytes, always ended by NUL; NULL: not wanted),
/// ERR_NOT_RUNNING before the start and after the stop, or ERR_INVALID for NULL.
///
/// # Safety
///
/// The pointers are as described; <answer> is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert_command(
    words: *const *const c_char,
    count: usize,
    answer: *mut *mut haproxy_email_alert_answer,
    message: *mut c_char,
    size: usize,
) -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || {
        if answer.is_null() || !answer.is_aligned() {
            return HAPROXY_EMAIL_ALERT_ERR_INVALID;
        }
        // SAFETY: not NULL, aligned, and writable, as the caller promises.
        unsafe { answer.write(std::ptr::null_mut()) };
        let Some(service) = SERVICE.get().filter(|service| !service.is_stopped()) else {
            return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING;
        };
        // SAFETY: as the caller promises, see above.
        let Some(words) = (unsafe { slice(words, count) }) else { return HAPROXY_EMAIL_ALERT_ERR_INVALID };
        let mut texts = Vec::with_capacity(words.len());
        for &word in words {
            // SAFETY: as the caller promises, see above.
            match unsafe { string(word) } {
                None => return HAPROXY_EMAIL_ALERT_ERR_INVALID,
                Some(word) => texts.push(word.to_string_lossy()),
            }
        }
        let words: Vec<&str> = texts.iter().map(|word| &**word).collect();
        let outcome = service.command(&words).map(|text| {
            let boxed = Box::into_raw(Box::new(text)).cast::<haproxy_email_alert_answer>();
            // SAFETY: as above.
            unsafe { answer.write(boxed) };
        });
        // SAFETY: as the caller promises, see above.
        unsafe { crate::answer(outcome, HAPROXY_EMAIL_ALERT_ERR_CONFIG, message, size) }
    })
}

/// Copies the bytes of an answer from <cursor> on to <buffer>, at most <size> of them, without a NUL; a character of several bytes is
/// never divided. Returns their number, by which the caller advances its cursor; 0: the end, NULL, or <size> is too small for the next
/// character. Any thread.
///
/// # Safety
///
/// <answer> is NULL or comes from haproxy_email_alert_command() and was not freed; <buffer> is NULL or has <size> writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert_answer_copy(
    answer: *const haproxy_email_alert_answer,
    cursor: usize,
    buffer: *mut c_char,
    size: usize,
) -> usize {
    guarded(0, || {
        // SAFETY: NULL, or a pointer that Box::into_raw() gave and that was not freed.
        let Some(answer) = (unsafe { answer.cast::<Answer>().as_ref() }) else { return 0 };
        if buffer.is_null() {
            return 0;
        }
        let piece = answer.piece(cursor, size);
        // SAFETY: the piece has at most <size> bytes, which the caller says are writable.
        unsafe { std::ptr::copy_nonoverlapping(piece.as_ptr(), buffer.cast::<u8>(), piece.len()) };
        piece.len()
    })
}

/// Frees an answer; NULL is ignored. Any thread, once.
///
/// # Safety
///
/// <answer> is NULL or comes from haproxy_email_alert_command() and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert_answer_free(answer: *mut haproxy_email_alert_answer) {
    guarded((), || {
        if !answer.is_null() {
            // SAFETY: Box::into_raw() gave it, and the caller gives it back once.
            drop(unsafe { Box::from_raw(answer.cast::<Answer>()) });
        }
    });
}

/// Gives the oldest line for HAProxy's log: printable, without line end, in <line> (of <size> bytes, ended by NUL), its syslog
/// severity in <level>. Any thread; never blocks.
///
/// Returns OK, ERR_EMPTY, or ERR_INVALID for NULL.
///
/// # Safety
///
/// <level> is NULL or writable; <line> is NULL or has <size> writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert_next_log(
    level: *mut c_int,
    line: *mut c_char,
    size: usize,
) -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || {
        if level.is_null() || !level.is_aligned() || line.is_null() || size == 0 {
            return HAPROXY_EMAIL_ALERT_ERR_INVALID;
        }
        let Some(next) = alertlib::logging::next() else { return HAPROXY_EMAIL_ALERT_ERR_EMPTY };
        // SAFETY: not NULL, aligned, and writable, as the caller promises.
        unsafe {
            level.write(next.severity);
            write_text(line, size, &next.text);
        }
        HAPROXY_EMAIL_ALERT_OK
    })
}

/// Fills in <counters>, whose <size> the caller has set. Any thread; never blocks.
///
/// Returns OK, ERR_NOT_RUNNING before the start, or ERR_INVALID.
///
/// # Safety
///
/// <counters> is NULL or has as many readable and writable bytes as its <size> says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert_get_counters(
    counters: *mut haproxy_email_alert_counters,
) -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || {
        let Some(service) = SERVICE.get() else { return HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING };
        let Counts { accepted, dropped, waiting, delivered, failed, retried } = service.counts();
        let filled =
            haproxy_email_alert_counters { size: 0, accepted, dropped, waiting, delivered, failed, retried };
        // SAFETY: as the caller promises, see above.
        match unsafe { write_sized(counters, filled) } {
            true => HAPROXY_EMAIL_ALERT_OK,
            false => HAPROXY_EMAIL_ALERT_ERR_INVALID,
        }
    })
}

/// A soft stop has begun: what is there is delivered now, or tried once more if it waits for a better time. Any thread; never
/// blocks.
///
/// Returns OK, or ERR_NOT_RUNNING before the start.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_drain() -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || match SERVICE.get() {
        None => HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING,
        Some(service) => {
            service.drain();
            HAPROXY_EMAIL_ALERT_OK
        }
    })
}

/// How many events and mails are neither delivered nor given up; 0: the process can end without a loss. Any thread; never
/// blocks.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_pending() -> u64 {
    guarded(0, || SERVICE.get().map_or(0, Service::pending))
}

/// Waits for what is pending, for at most <bound_ms> milliseconds, and ends the threads; one that hangs in a relay is left behind.
/// One thread, when no event comes any more. The log says what was not delivered.
///
/// Returns OK, ERR_PENDING, or ERR_NOT_RUNNING before the start.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_stop(bound_ms: u32) -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || match SERVICE.get() {
        None => HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING,
        Some(service) if service.stop(Duration::from_millis(bound_ms.into())) == 0 => HAPROXY_EMAIL_ALERT_OK,
        Some(_) => HAPROXY_EMAIL_ALERT_ERR_PENDING,
    })
}

/// The whole program of the helper process, which runs sendmail and mailx and resolves names. haproxy_email_alert_prepare() starts
/// /proc/self/exe with HAPROXY_EMAIL_ALERT_HELPER in its environment: a program that uses the library looks for that variable
/// first of all, and if it is there does nothing but exit with what this function returns. Standard input is the socket.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_helper() -> c_int {
    guarded(1, alertlib::helper::run)
}

/// Turns an outcome into its code, with the message in the caller's buffer.
///
/// # Safety
///
/// `message` is NULL or has `size` writable bytes.
unsafe fn answer(
    outcome: Result<(), String>,
    otherwise: haproxy_email_alert_result,
    message: *mut c_char,
    size: usize,
) -> haproxy_email_alert_result {
    let (result, text) = match outcome {
        Ok(()) => (HAPROXY_EMAIL_ALERT_OK, String::new()),
        Err(text) => (otherwise, text),
    };
    // SAFETY: as the caller promises, see above.
    unsafe { write_text(message, size, &text) };
    result
}

fn user(process: &haproxy_email_alert_process) -> User {
    User { uid: process.uid, gid: process.gid }
}

fn machine_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The event with its texts as slices; `None`: a state that does not exist, or a text that is none.
///
/// # Safety
///
/// The texts are as their type describes, during `'a`.
unsafe fn raw_change<'a>(event: &haproxy_email_alert_event) -> Option<RawChange<'a>> {
    State::from_number(event.old_state)?;
    State::from_number(event.new_state)?;
    let mut numbers = [0; Number::COUNT];
    let mut set = |which: Number, number: i64| numbers[which as usize] = number;
    set(Number::ProxyId, event.proxy_id.into());
    set(Number::ServerId, event.server_id.into());
    set(Number::OldState, event.old_state.into());
    set(Number::NewState, event.new_state.into());
    set(Number::OldAdmin, event.old_admin.into());
    set(Number::NewAdmin, event.new_admin.into());
    set(Number::Flags, event.flags.into());
    set(Number::UsableBefore, event.usable_before.into());
    set(Number::Active, event.active.into());
    set(Number::Backup, event.backup.into());
    set(Number::Sessions, event.sessions.into());
    set(Number::Requeued, event.requeued.into());
    set(Number::Queued, event.queued.into());
    set(Number::CheckCode, event.check_code.into());
    set(Number::CheckDuration, event.check_duration_ms);
    set(
        Number::CheckResult,
        CheckResult::pack(event.check_result, event.check_health, event.check_rise, event.check_fall),
    );
    // SAFETY: as the caller promises, see above.
    let text = |text: haproxy_email_alert_text| unsafe { slice(text.data.cast::<u8>(), text.length) };
    // In the order of `Text`.
    let texts = [
        text(event.proxy)?,
        text(event.server)?,
        text(event.via_proxy)?,
        text(event.via_server)?,
        text(event.hostname)?,
        text(event.cause)?,
        text(event.check_status)?,
        text(event.check_reason)?,
        text(event.check_info)?,
        text(event.address)?,
    ];
    Some(RawChange { numbers, texts })
}
