// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C ABI. The comments here become those of `include/haproxy_email_alert.h`.
//!
//! The border to C, and the reason for this crate's unsafe code. Every exported function runs in [`guard::guarded`], and returns
//! an error for NULL, wrong sizes and calls in the wrong order.

#![allow(non_camel_case_types)] // names in the style of C

mod abi;
mod command;
mod guard;

pub use abi::*;
use alertlib::counters::Counts;
use alertlib::event::{Kind, Number, RawChange, State};
use alertlib::service::{self, Prepared, Service};
use alertlib::settings::{Config, Settings};
use alertlib::sys::User;
pub use command::*;
use guard::{guarded, read_sized, slice, string, strings, write_sized, write_text};
use haproxy_email_alert_result::*;
use libc::{c_char, c_int};
use once_cell::sync::OnceCell;
use std::ptr::null;
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

/// State before the threads are started.
#[derive(Default)]
struct Setup {
    settings: Settings,
    configured: bool,
    /// A directive was refused. Errors that follow from it are not reported.
    refused: bool,
    config: Option<Config>,
    prepared: Option<Prepared>,
}

static SETUP: LazyLock<Mutex<Setup>> = LazyLock::new(Mutex::default);

/// The service, once its threads are started.
static SERVICE: OnceCell<Service> = OnceCell::new();

/// Locks the state. Only one thread uses it, before HAProxy's other threads exist.
#[inline(never)] // for the size of the library
fn setup() -> MutexGuard<'static, Setup> {
    SETUP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Result of a call: OK, or another result.
type CallResult = Result<(), haproxy_email_alert_result>;

/// Runs the body of a function that returns a result, like [`guarded`].
fn result_guarded(body: impl FnOnce() -> CallResult) -> haproxy_email_alert_result {
    match guarded(Err(HAPROXY_EMAIL_ALERT_ERR_PANIC), body) {
        Ok(()) => HAPROXY_EMAIL_ALERT_OK,
        Err(result) => result,
    }
}

/// Returns the service, which may have been stopped.
fn started() -> Result<&'static Service, haproxy_email_alert_result> {
    SERVICE.get().ok_or(HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING)
}

/// Returns the service between its start and its stop.
fn running() -> Result<&'static Service, haproxy_email_alert_result> {
    SERVICE.get().filter(|service| !service.is_stopped()).ok_or(HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING)
}

/// Redirects panics to the log, since a daemon has no standard error.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        alertlib::logging::install();
        std::panic::set_hook(Box::new(|panic| {
            log::error!("bug in haproxy-email-alert {}: {panic}", alertlib::VERSION)
        }));
    });
}

/// Returns the library's version, such as "0.1.0". The library owns the string, which is static and ended by NUL. Any thread, at
/// any time.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Returns the library's HAPROXY_EMAIL_ALERT_ABI, which the caller compares with that of its header. Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_abi() -> u32 {
    HAPROXY_EMAIL_ALERT_ABI
}

/// Returns the <index>th keyword of the directives, from 0; NULL past the last. The library owns the string, which is static and
/// ended by NUL. Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_keyword(index: usize) -> *const c_char {
    guarded(null(), || {
        alertlib::directive::DIRECTIVES.get(index).map_or(null(), |found| found.keyword.as_ptr())
    })
}

/// Parses one directive. <words> are the <count> words of the line, each ended by NUL; <words[0]> is the keyword. The caller owns
/// the words and the message's buffer; the library does not use them after the call. Opens no file for writing and starts
/// nothing. One thread, before haproxy_email_alert_check().
///
/// Returns OK, ERR_CONFIG with a message without line end in <message> (of <size> bytes, always ended by NUL; NULL: no message),
/// ERR_INVALID for NULL in the place of words, or ERR_NOT_RUNNING after a successful haproxy_email_alert_check().
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
    result_guarded(|| {
        log_panics();
        // SAFETY: as the caller promises, see above.
        let words = unsafe { strings(words, count) }.ok_or(HAPROXY_EMAIL_ALERT_ERR_INVALID)?;
        let mut setup = setup();
        if setup.config.is_some() || SERVICE.get().is_some() {
            return Err(HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING);
        }
        setup.configured = true;
        let texts = words.iter().map(|word| word.to_str().map_err(|_| word.to_string_lossy()));
        let parsed = match texts.collect::<Result<Vec<&str>, _>>() {
            Ok(words) => alertlib::directive::parse(&mut setup.settings, &words),
            Err(word) => Err(format!("word '{}' is not UTF-8", alertlib::text::visible(&word))),
        };
        setup.refused |= parsed.is_err();
        // SAFETY: as the caller promises, see above.
        unsafe { report(parsed.map(|()| Vec::new()), HAPROXY_EMAIL_ALERT_ERR_CONFIG, message, size) }
    })
}

/// Returns true once a directive has been parsed, even a wrong one. Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_configured() -> bool {
    guarded(false, || SERVICE.get().is_some() || setup().configured)
}

/// Returns true if a route needs the results of single checks; otherwise the caller need not report them. Any thread, after the
/// last directive.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_wants_checks() -> bool {
    guarded(false, || setup().settings.routes.iter().any(|route| route.kinds.has(Kind::Check)))
}

/// Returns HAPROXY_EMAIL_ALERT_NATIVE_ flags: the use of HAProxy's own "email-alert" and "mailer" lines that "email_alert.native"
/// sets. The caller passes the directives that it makes of these lines to haproxy_email_alert_parse(). One thread, after the last
/// line of the configuration.
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

/// Checks the configuration as a whole, after the last directive. Opens nothing for writing, starts nothing and sends nothing, so
/// that "haproxy -c" may call it. The caller owns <process> and the message's buffer; the library does not use them after the
/// call. One thread.
///
/// Returns OK (also without any directive, and after a refused directive, whose error is enough), WARNING (the configuration
/// works, and the message names a risk) or ERR_CONFIG with a message (see haproxy_email_alert_parse()), or ERR_INVALID if
/// <process> is NULL or has a wrong size.
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
    result_guarded(|| {
        log_panics();
        let mut storage = None;
        // SAFETY: as the caller promises, see above.
        let process = unsafe { read_sized(process, &mut storage) }.ok_or(HAPROXY_EMAIL_ALERT_ERR_INVALID)?;
        let mut setup = setup();
        if setup.refused || !setup.configured {
            // SAFETY: as the caller promises, see above.
            return unsafe { report(Ok(Vec::new()), HAPROXY_EMAIL_ALERT_ERR_CONFIG, message, size) };
        }
        let host = nix::unistd::gethostname().unwrap_or_default();
        let checked = setup.settings.resolve(&host.to_string_lossy()).and_then(|config| {
            let warnings = service::check(&config, user(process))?;
            setup.config = Some(config);
            Ok(warnings)
        });
        // SAFETY: as the caller promises, see above.
        unsafe { report(checked, HAPROXY_EMAIL_ALERT_ERR_CONFIG, message, size) }
    })
}

/// Opens everything for which root, the file system or the resolver is needed, and starts the helper process if a relay needs it.
/// Must be called before HAProxy changes its root directory and user. Starts no thread, so that the process may still fork. The
/// caller owns <process>, its texts and the message's buffer; the library copies the texts. One thread, once, after
/// haproxy_email_alert_check().
///
/// Returns OK, WARNING or ERR_SYSTEM with a message (see haproxy_email_alert_parse()), ERR_NOT_RUNNING without a checked
/// configuration or after an earlier success, or ERR_INVALID if <process> is NULL or has a wrong size. It may be called again
/// after ERR_SYSTEM.
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
    result_guarded(|| {
        log_panics();
        let mut storage = None;
        // SAFETY: as the caller promises, see above.
        let process = unsafe { read_sized(process, &mut storage) }.ok_or(HAPROXY_EMAIL_ALERT_ERR_INVALID)?;
        // SAFETY: as the caller promises, see above.
        let version = unsafe { string(process.haproxy_version) };
        let version = version.map(|version| alertlib::text::visible(&version.to_string_lossy()));
        let mut setup = setup();
        let is_first = setup.prepared.is_none() && SERVICE.get().is_none();
        let config = setup.config.clone().filter(|_| is_first);
        let mut config = config.ok_or(HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING)?;
        // SAFETY: as the caller promises, see above.
        if let Some(url) = unsafe { string(process.stats_url) } {
            config.set_detected_statistics(&url.to_string_lossy());
        }
        let prepared = Prepared::open(config, user(process), version)
            .map(|prepared| setup.prepared.insert(prepared).warnings.clone());
        // SAFETY: as the caller promises, see above.
        unsafe { report(prepared, HAPROXY_EMAIL_ALERT_ERR_SYSTEM, message, size) }
    })
}

/// Returns the largest number of descriptors that the library opens, which HAProxy adds to its own; 0 before
/// haproxy_email_alert_check(). One thread.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_descriptors() -> u32 {
    // The helper process's socket, and the resolver's files.
    const SHARED: u32 = 4;
    // A session with the relay, or a directory and a file in it.
    const RELAY: u32 = 3;
    let of = |config: &Config| {
        let spool = if config.spool.is_some() { alertlib::spool::DESCRIPTORS } else { 0 };
        SHARED + RELAY * config.relays.len() as u32 + spool
    };
    guarded(0, || setup().config.as_ref().map_or(0, of))
}

/// Starts the library's threads. Must be called in the worker, after all forks and before RLIMIT_NPROC becomes 0. One thread,
/// once.
///
/// Returns OK, ERR_SYSTEM (the reason is logged), or ERR_NOT_RUNNING without a successful haproxy_email_alert_prepare().
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_start() -> haproxy_email_alert_result {
    result_guarded(|| {
        let prepared = setup().prepared.take().ok_or(HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING)?;
        SERVICE.get_or_try_init(|| Service::start(prepared)).map(|_| ()).map_err(|error| {
            log::error!("no mails will be sent: cannot start a thread: {error}");
            HAPROXY_EMAIL_ALERT_ERR_SYSTEM
        })
    })
}

/// Copies one event into the queue. The caller owns <event> and its texts; the library does not use them after the call. Any
/// thread, under any lock: it never blocks, allocates, locks or logs, and makes one system call (a wake-up) at most.
///
/// Returns OK, ERR_QUEUE_FULL (the event is counted as dropped), ERR_NOT_RUNNING before the start and after the stop, or
/// ERR_INVALID if <event> is NULL, or has a wrong size, an unknown state or an invalid text.
///
/// # Safety
///
/// <event> is NULL or as its type describes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert(
    event: *const haproxy_email_alert_event,
) -> haproxy_email_alert_result {
    result_guarded(|| {
        let service = running()?;
        let mut storage = None;
        // SAFETY: as the caller promises, see above.
        let event = unsafe { read_sized(event, &mut storage) }.ok_or(HAPROXY_EMAIL_ALERT_ERR_INVALID)?;
        // SAFETY: the texts are borrowed for this call, as their type describes.
        let change = unsafe { raw_change(event) }.ok_or(HAPROXY_EMAIL_ALERT_ERR_INVALID)?;
        #[cfg(feature = "fault-injection")]
        assert!(change.texts[alertlib::event::Text::Server as usize] != b"panic-in-the-call", "asked for");
        service.push(&change).map_err(|_| HAPROXY_EMAIL_ALERT_ERR_QUEUE_FULL)
    })
}

/// Hints that an event may come within <within_ms> milliseconds, because the next result of a check could decide on a server. The
/// library opens a session with the relay, so that the mail finds it open. If no event follows, the session is closed and
/// further hints are ignored for 1 minute, doubling up to 1 hour. A hint of 0, or of more than 60000, is ignored. Any thread,
/// under any lock: it never blocks, allocates, locks or logs, and makes one system call (a wake-up) at most.
///
/// Returns OK, or ERR_NOT_RUNNING before the start and after the stop.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_prewarm(within_ms: u32) -> haproxy_email_alert_result {
    result_guarded(|| {
        running()?.prewarm(Duration::from_millis(within_ms.into()));
        Ok(())
    })
}

/// Returns the name of the <n>th server or backend, from 0, whose present state the library needs: the process before this one
/// left an open incident of it, and HAProxy does not report a server that is up from the start. The library writes names ended by
/// NUL to <proxy> and <server>, of <size> bytes each, which the caller owns; the server's name is empty for a backend as a whole.
/// The caller replies by haproxy_email_alert() with the flag EVF_STATE_REPORT as soon as the first check has finished, or with
/// EVF_REMOVED. The name is returned until the library has processed the reply. Any thread; never blocks.
///
/// Returns OK, ERR_EMPTY if there are no more than <n>, ERR_NOT_RUNNING before the start, or ERR_INVALID for NULL or a <size> of
/// 0.
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
    result_guarded(|| {
        if proxy.is_null() || server.is_null() || size == 0 {
            return Err(HAPROXY_EMAIL_ALERT_ERR_INVALID);
        }
        let name = started()?.next_unconfirmed(n).ok_or(HAPROXY_EMAIL_ALERT_ERR_EMPTY)?;
        // SAFETY: not NULL, and writable, as the caller promises.
        unsafe {
            write_text(proxy, size, &name.proxy);
            write_text(server, size, name.server.as_deref().unwrap_or_default());
        }
        Ok(())
    })
}

/// Takes the oldest line for HAProxy's log: writes the printable line without line end, ended by NUL, to <line> (of <size>
/// bytes), and its syslog severity to <level>. The caller owns both. Any thread; never blocks.
///
/// Returns OK, ERR_EMPTY if there is no line, or ERR_INVALID for NULL or a <size> of 0.
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
    result_guarded(|| {
        if level.is_null() || !level.is_aligned() || line.is_null() || size == 0 {
            return Err(HAPROXY_EMAIL_ALERT_ERR_INVALID);
        }
        let next = alertlib::logging::next_line().ok_or(HAPROXY_EMAIL_ALERT_ERR_EMPTY)?;
        // SAFETY: not NULL, aligned, and writable, as the caller promises.
        unsafe {
            level.write(next.severity);
            write_text(line, size, &next.text);
        }
        Ok(())
    })
}

/// Fills <counters>, which the caller owns and whose <size> it has set. Any thread; never blocks.
///
/// Returns OK, ERR_NOT_RUNNING before the start, or ERR_INVALID if <counters> is NULL or has a wrong size.
///
/// # Safety
///
/// <counters> is NULL or has as many readable and writable bytes as its <size> says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn haproxy_email_alert_get_counters(
    counters: *mut haproxy_email_alert_counters,
) -> haproxy_email_alert_result {
    result_guarded(|| {
        let Counts { accepted, dropped, waiting, delivered, failed, retried } = started()?.counts();
        let filled =
            haproxy_email_alert_counters { size: 0, accepted, dropped, waiting, delivered, failed, retried };
        // SAFETY: as the caller promises, see above.
        match unsafe { write_sized(counters, filled) } {
            true => Ok(()),
            false => Err(HAPROXY_EMAIL_ALERT_ERR_INVALID),
        }
    })
}

/// Begins a soft stop: pending events are delivered at once, and mails in back-off are retried once. Any thread; never blocks.
///
/// Returns OK, or ERR_NOT_RUNNING before the start.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_drain() -> haproxy_email_alert_result {
    result_guarded(|| {
        started()?.drain();
        Ok(())
    })
}

/// Makes the process ready to end by SIGTERM. With a spool: all pending events become mails in files, and no transaction with a relay
/// begins any more. Without one, or while it cannot be written: as haproxy_email_alert_drain(). The process should end as soon as
/// haproxy_email_alert_pending() returns 0. Any thread; never blocks.
///
/// Returns OK, or ERR_NOT_RUNNING before the start.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_terminate() -> haproxy_email_alert_result {
    guarded(HAPROXY_EMAIL_ALERT_ERR_PANIC, || match SERVICE.get() {
        None => HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING,
        Some(service) => {
            service.terminate();
            HAPROXY_EMAIL_ALERT_OK
        }
    })
}

/// Returns the number of events and mails for which the end of the process should wait: those that are neither delivered nor failed.
/// After haproxy_email_alert_terminate() with a spool, mails in files do not count, and a transaction that is under way does. 0
/// before the start, and when the process can end without a loss. Any thread; never blocks.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_pending() -> u64 {
    guarded(0, || SERVICE.get().map_or(0, Service::pending))
}

/// Delivers pending events and mails for at most <bound_ms> milliseconds, and ends the library's threads; a thread that is
/// blocked by a relay is abandoned. The log names what was not delivered. One thread, after the last event.
///
/// Returns OK, ERR_PENDING if something was not delivered, or ERR_NOT_RUNNING before the start.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_stop(bound_ms: u32) -> haproxy_email_alert_result {
    result_guarded(|| match started()?.stop(Duration::from_millis(bound_ms.into())) {
        0 => Ok(()),
        _ => Err(HAPROXY_EMAIL_ALERT_ERR_PENDING),
    })
}

/// Runs the helper process, which runs sendmail and mailx and resolves names, until the worker ends.
/// haproxy_email_alert_prepare() starts /proc/self/exe with HAPROXY_EMAIL_ALERT_HELPER in its environment: a program that uses
/// the library must check for that variable first of all, and if it is set do nothing but exit with the status that this function
/// returns. Standard input is the socket. The only thread of its process, once.
#[unsafe(no_mangle)]
pub extern "C" fn haproxy_email_alert_helper() -> c_int {
    guarded(1, alertlib::helper::run)
}

/// Writes the message of an outcome, an error or warnings, to the caller's buffer. Returns OK, WARNING, or `error`.
///
/// # Safety
///
/// `message` is NULL or has `size` writable bytes.
unsafe fn report(
    outcome: Result<Vec<String>, String>,
    error: haproxy_email_alert_result,
    message: *mut c_char,
    size: usize,
) -> CallResult {
    let (result, text) = match outcome {
        Err(why) => (Err(error), why),
        Ok(warnings) if warnings.is_empty() => (Ok(()), String::new()),
        Ok(warnings) => (Err(HAPROXY_EMAIL_ALERT_WARNING), warnings.join("; ")),
    };
    // SAFETY: as the caller promises, see above.
    unsafe { write_text(message, size, &text) };
    result
}

fn user(process: &haproxy_email_alert_process) -> User {
    User { uid: process.uid, gid: process.gid }
}

/// Returns the event with its texts as slices; `None` for an unknown state or an invalid text.
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
    set(Number::CheckResult, event.check_result.into());
    set(Number::CheckHealth, event.check_health.into());
    set(Number::CheckRise, event.check_rise.into());
    set(Number::CheckFall, event.check_fall.into());
    // SAFETY: as the caller promises, see above.
    let text = |text: haproxy_email_alert_text| unsafe { slice(text.data.cast::<u8>(), text.length) };
    // The order is that of `Text`.
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
