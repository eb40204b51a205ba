// SPDX-License-Identifier: MIT OR Apache-2.0
//! What crosses the C ABI: numbers, results and structs. The comments here become those of `include/haproxy_email_alert.h`.

use super::guard::SizedStruct;
use std::ffi::c_char;
use std::mem::{offset_of, size_of};

/// The number of this ABI. It changes when an older caller would not work any more, and so does the library's soname.
pub const HAPROXY_EMAIL_ALERT_ABI: u32 = 1;

/// A server is down (HAProxy's SRV_ST_STOPPED).
pub const HAPROXY_EMAIL_ALERT_ST_STOPPED: u32 = 0;
/// A server is up, in its slow start (SRV_ST_STARTING).
pub const HAPROXY_EMAIL_ALERT_ST_STARTING: u32 = 1;
/// A server is up (SRV_ST_RUNNING).
pub const HAPROXY_EMAIL_ALERT_ST_RUNNING: u32 = 2;
/// A server takes no new clients (SRV_ST_STOPPING).
pub const HAPROXY_EMAIL_ALERT_ST_STOPPING: u32 = 3;

/// Maintenance forced by an administrator (SRV_ADMF_FMAINT).
pub const HAPROXY_EMAIL_ALERT_ADM_FMAINT: u32 = 0x01;
/// Maintenance inherited from a tracked server (SRV_ADMF_IMAINT).
pub const HAPROXY_EMAIL_ALERT_ADM_IMAINT: u32 = 0x02;
/// Maintenance from the configuration (SRV_ADMF_CMAINT); comes with ADM_FMAINT.
pub const HAPROXY_EMAIL_ALERT_ADM_CMAINT: u32 = 0x04;
/// Drain forced by an administrator (SRV_ADMF_FDRAIN).
pub const HAPROXY_EMAIL_ALERT_ADM_FDRAIN: u32 = 0x08;
/// Drain inherited from a tracked server (SRV_ADMF_IDRAIN).
pub const HAPROXY_EMAIL_ALERT_ADM_IDRAIN: u32 = 0x10;
/// Maintenance because the server's name does not resolve (SRV_ADMF_RMAINT).
pub const HAPROXY_EMAIL_ALERT_ADM_RMAINT: u32 = 0x20;
/// Maintenance until the server's name was set (SRV_ADMF_HMAINT).
pub const HAPROXY_EMAIL_ALERT_ADM_HMAINT: u32 = 0x40;

/// Event flag: a check, an agent or the CLI's "health" and "agent" commands decided; else an administrator.
pub const HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL: u32 = 0x01;
/// Event flag: the server line has "backup".
pub const HAPROXY_EMAIL_ALERT_EVF_BACKUP: u32 = 0x02;
/// Event flag: the check_* fields are set.
pub const HAPROXY_EMAIL_ALERT_EVF_CHECK: u32 = 0x04;
/// Event flag: that check is the agent check.
pub const HAPROXY_EMAIL_ALERT_EVF_AGENT: u32 = 0x08;
/// Event flag: the proxy is a "listen" section, which HAProxy calls "proxy" in its messages.
pub const HAPROXY_EMAIL_ALERT_EVF_LISTEN: u32 = 0x10;
/// Event flag: nothing has changed. It answers haproxy_email_alert_next_unconfirmed(): what the server is now or, without a
/// server's name, the backend.
pub const HAPROXY_EMAIL_ALERT_EVF_STATE_REPORT: u32 = 0x20;
/// Event flag: the same, and it is not there any more. No other field is needed than the names.
pub const HAPROXY_EMAIL_ALERT_EVF_REMOVED: u32 = 0x40;
/// Event flag: the server's weight is 0. HAProxy then says "DRAIN" of a check where it else says "UP".
pub const HAPROXY_EMAIL_ALERT_EVF_ZERO_WEIGHT: u32 = 0x80;
/// Event flag: this is HAProxy 2.8 or later, some of whose sentences have other words than before.
pub const HAPROXY_EMAIL_ALERT_EVF_SINCE_2_8: u32 = 0x100;

/// The event's check_result: the check failed.
pub const HAPROXY_EMAIL_ALERT_CHK_FAILED: u32 = 1;
/// The event's check_result: it passed.
pub const HAPROXY_EMAIL_ALERT_CHK_PASSED: u32 = 2;
/// The event's check_result: it passed conditionally ("http-check disable-on-404").
pub const HAPROXY_EMAIL_ALERT_CHK_CONDITIONAL: u32 = 3;

/// What haproxy_email_alert_native_mode() says: the administrator wants it, or does not.
pub const HAPROXY_EMAIL_ALERT_NATIVE_SAID: u32 = 0x01;
/// Each proxy's own "email-alert" lines are to become an "email_alert" directive, and HAProxy's mailers are to send nothing.
pub const HAPROXY_EMAIL_ALERT_NATIVE_ROUTES: u32 = 0x02;
/// Each of these proxies' "mailer" lines is to become an "email_alert.relay" directive: the administrator has given no relay.
pub const HAPROXY_EMAIL_ALERT_NATIVE_RELAYS: u32 = 0x04;

/// What a call came to. The numbers never change their meaning.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum haproxy_email_alert_result {
    /// Done.
    HAPROXY_EMAIL_ALERT_OK = 0,
    /// The event was dropped, and counted: the queue is full.
    HAPROXY_EMAIL_ALERT_ERR_QUEUE_FULL = 7001,
    /// Called in the wrong order.
    HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING = 7002,
    /// NULL, a bad size or a bad value.
    HAPROXY_EMAIL_ALERT_ERR_INVALID = 7003,
    /// The configuration is wrong: the message says what.
    HAPROXY_EMAIL_ALERT_ERR_CONFIG = 7004,
    /// Done, but the administrator should see the message.
    HAPROXY_EMAIL_ALERT_WARNING = 7005,
    /// There is nothing to return.
    HAPROXY_EMAIL_ALERT_ERR_EMPTY = 7006,
    /// The time was over before everything was delivered.
    HAPROXY_EMAIL_ALERT_ERR_PENDING = 7007,
    /// The system refused something: the message or the log says what.
    HAPROXY_EMAIL_ALERT_ERR_SYSTEM = 7008,
    /// A bug in the library was caught.
    HAPROXY_EMAIL_ALERT_ERR_PANIC = 7099,
}
/// Text of <length> bytes, not ended by NUL, in any encoding. <data> may be NULL when <length> is 0. Borrowed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct haproxy_email_alert_text {
    /// The first byte.
    pub data: *const c_char,
    /// In bytes.
    pub length: usize,
}

/// The answer to a runtime command, owned by the caller of haproxy_email_alert_command().
pub struct haproxy_email_alert_answer {
    _private: [u8; 0],
}

/// What the library must know of the process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct haproxy_email_alert_process {
    /// sizeof(struct haproxy_email_alert_process)
    pub size: usize,
    /// The user that the worker will run as; 0: it stays root, or who it is.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// HAProxy's version, ended by NUL, or NULL. Copied.
    pub haproxy_version: *const c_char,
    /// Where HAProxy's statistics page is, ended by NUL, or NULL: "http://192.0.2.1:8404/stats". Without a host, as in
    /// "http://:8404/stats", it is on this machine, whose name the library puts in. Read by haproxy_email_alert_prepare(), and
    /// copied. What is no such URL, or longer than 512 bytes, is left out of the mails, and the log says so.
    pub stats_url: *const c_char,
}

/// One commit of a server's status. Texts are borrowed for the call; what is longer than the queue's slots is cut.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct haproxy_email_alert_event {
    /// sizeof(struct haproxy_email_alert_event)
    pub size: usize,
    /// The proxy's number: unique in the process.
    pub proxy_id: u32,
    /// The server's number: unique in its proxy.
    pub server_id: u32,
    /// HAPROXY_EMAIL_ALERT_ST_STOPPED to _STOPPING: before the change.
    pub old_state: u32,
    /// The same after it.
    pub new_state: u32,
    /// HAPROXY_EMAIL_ALERT_ADM_FMAINT etc.: before the change.
    pub old_admin: u32,
    /// The same after it.
    pub new_admin: u32,
    /// HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL etc.
    pub flags: u32,
    /// Servers, active and backup, that the backend could use before the change.
    pub usable_before: u32,
    /// Active servers that it can use now.
    pub active: u32,
    /// Backup servers that it can use now.
    pub backup: u32,
    /// Sessions that the server has.
    pub sessions: u32,
    /// Sessions that the change sent back to the queue; negative: it moves none.
    pub requeued: i32,
    /// Sessions in the server's queue.
    pub queued: u32,
    /// The check's layer 5 to 7 code; negative: it has none.
    pub check_code: i32,
    /// How long the check took, in milliseconds; negative: not known.
    pub check_duration_ms: i64,
    /// The backend's or listen section's name.
    pub proxy: haproxy_email_alert_text,
    /// The server's name.
    pub server: haproxy_email_alert_text,
    /// The proxy of the server that this one tracks, or empty.
    pub via_proxy: haproxy_email_alert_text,
    /// The name of the server that this one tracks, or empty.
    pub via_server: haproxy_email_alert_text,
    /// The server's host name where HAProxy resolves it at run time, or empty.
    pub hostname: haproxy_email_alert_text,
    /// HAProxy's word for the cause where it was no check, or empty.
    pub cause: haproxy_email_alert_text,
    /// The check's status in short: "L4TOUT".
    pub check_status: haproxy_email_alert_text,
    /// The same in words: "Layer4 timeout".
    pub check_reason: haproxy_email_alert_text,
    /// What the server or the system said, as it came.
    pub check_info: haproxy_email_alert_text,
    /// Where the server is: "10.0.0.7:8080", or empty.
    pub address: haproxy_email_alert_text,
    /// HAPROXY_EMAIL_ALERT_CHK_FAILED etc.: the event is a single check's result, with the flag EVF_CHECK, and no change;
    /// what was before and what is now does not matter. 0: it is a change.
    pub check_result: u32,
    /// HAProxy's count of that check's results: at least <check_rise> if the server is up for it.
    pub check_health: u32,
    /// So many successes make a server that is down up.
    pub check_rise: u32,
    /// So many failures make a server that is up down.
    pub check_fall: u32,
}

/// What was done so far; all but <waiting> only grow.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct haproxy_email_alert_counters {
    /// sizeof(struct haproxy_email_alert_counters), set by the caller.
    pub size: usize,
    /// Events that the queue took.
    pub accepted: u64,
    /// Events that it refused: it was full.
    pub dropped: u64,
    /// Events and mails that are neither delivered nor given up.
    pub waiting: u64,
    /// Copies, one for each recipient, that a relay has taken.
    pub delivered: u64,
    /// Copies that were refused for good, or given up.
    pub failed: u64,
    /// Copies that are to be tried again, counted at each attempt.
    pub retried: u64,
}

// SAFETY: repr(C), a size first, then integers and pointers.
unsafe impl SizedStruct for haproxy_email_alert_process {
    const FIRST: usize = offset_of!(Self, stats_url);
}
// SAFETY: repr(C), a size first, then integers and pointers.
unsafe impl SizedStruct for haproxy_email_alert_event {
    const FIRST: usize = offset_of!(Self, address);
}
// SAFETY: repr(C), a size first, then integers.
unsafe impl SizedStruct for haproxy_email_alert_counters {
    const FIRST: usize = size_of::<Self>();
}

// The library's numbers are those of the header.
const _: () = {
    use alertlib::event::{Admin, CheckResult, flag};
    assert!(
        HAPROXY_EMAIL_ALERT_ADM_FMAINT == Admin::FMAINT && HAPROXY_EMAIL_ALERT_ADM_IMAINT == Admin::IMAINT
    );
    assert!(
        HAPROXY_EMAIL_ALERT_ADM_CMAINT == Admin::CMAINT && HAPROXY_EMAIL_ALERT_ADM_FDRAIN == Admin::FDRAIN
    );
    assert!(
        HAPROXY_EMAIL_ALERT_ADM_IDRAIN == Admin::IDRAIN && HAPROXY_EMAIL_ALERT_ADM_RMAINT == Admin::RMAINT
    );
    assert!(HAPROXY_EMAIL_ALERT_ADM_HMAINT == Admin::HMAINT);
    assert!(HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL == flag::OPERATIONAL);
    assert!(HAPROXY_EMAIL_ALERT_EVF_BACKUP == flag::BACKUP && HAPROXY_EMAIL_ALERT_EVF_CHECK == flag::CHECK);
    assert!(HAPROXY_EMAIL_ALERT_EVF_AGENT == flag::AGENT && HAPROXY_EMAIL_ALERT_EVF_LISTEN == flag::LISTEN);
    assert!(HAPROXY_EMAIL_ALERT_EVF_STATE_REPORT == flag::STATE_REPORT);
    assert!(HAPROXY_EMAIL_ALERT_EVF_REMOVED == flag::REMOVED);
    assert!(HAPROXY_EMAIL_ALERT_EVF_ZERO_WEIGHT == flag::ZERO_WEIGHT);
    assert!(HAPROXY_EMAIL_ALERT_EVF_SINCE_2_8 == flag::SINCE_2_8);
    assert!(HAPROXY_EMAIL_ALERT_CHK_FAILED == CheckResult::FAILED);
    assert!(HAPROXY_EMAIL_ALERT_CHK_PASSED == CheckResult::PASSED);
    assert!(HAPROXY_EMAIL_ALERT_CHK_CONDITIONAL == CheckResult::CONDITIONAL);
};
