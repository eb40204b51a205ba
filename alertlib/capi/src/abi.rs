// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers, results and structs of the C ABI. The comments here become those of `include/haproxy_email_alert.h`.

use super::guard::SizedStruct;
use libc::c_char;
use std::mem::{offset_of, size_of};

/// Number of this ABI, and the end of the library's soname. It changes when an older caller would not work any more.
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
/// Maintenance because the server's name cannot be resolved (SRV_ADMF_RMAINT).
pub const HAPROXY_EMAIL_ALERT_ADM_RMAINT: u32 = 0x20;
/// Maintenance until the server's host name is set (SRV_ADMF_HMAINT).
pub const HAPROXY_EMAIL_ALERT_ADM_HMAINT: u32 = 0x40;

/// Event flag: a check, an agent or the CLI's "health" and "agent" commands changed the state. Without it: an administrator.
pub const HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL: u32 = 0x01;
/// Event flag: the server line has "backup".
pub const HAPROXY_EMAIL_ALERT_EVF_BACKUP: u32 = 0x02;
/// Event flag: the check_* fields are set.
pub const HAPROXY_EMAIL_ALERT_EVF_CHECK: u32 = 0x04;
/// Event flag: that check is the agent check.
pub const HAPROXY_EMAIL_ALERT_EVF_AGENT: u32 = 0x08;
/// Event flag: the proxy is a "listen" section, which HAProxy calls "proxy" in its messages.
pub const HAPROXY_EMAIL_ALERT_EVF_LISTEN: u32 = 0x10;
/// Event flag: the event is no change, but the present state of a server or, without a server's name, of a backend: the reply to
/// haproxy_email_alert_next_unconfirmed().
pub const HAPROXY_EMAIL_ALERT_EVF_STATE_REPORT: u32 = 0x20;
/// Event flag: the reply to haproxy_email_alert_next_unconfirmed() for a server or backend that does not exist any more. Only the
/// names are read.
pub const HAPROXY_EMAIL_ALERT_EVF_REMOVED: u32 = 0x40;
/// Event flag: the server's weight is 0. HAProxy then reports "DRAIN" after a check where it otherwise reports "UP".
pub const HAPROXY_EMAIL_ALERT_EVF_ZERO_WEIGHT: u32 = 0x80;
/// Event flag: the caller is HAProxy 2.8 or later, which words some of its sentences differently.
pub const HAPROXY_EMAIL_ALERT_EVF_SINCE_2_8: u32 = 0x100;

/// The event's check_result: the check failed.
pub const HAPROXY_EMAIL_ALERT_CHK_FAILED: u32 = 1;
/// The event's check_result: the check passed.
pub const HAPROXY_EMAIL_ALERT_CHK_PASSED: u32 = 2;
/// The event's check_result: the check passed conditionally ("http-check disable-on-404").
pub const HAPROXY_EMAIL_ALERT_CHK_CONDITIONAL: u32 = 3;

/// Flag of haproxy_email_alert_native_mode(): the administrator has set "email_alert.native", to "on" or to "off".
pub const HAPROXY_EMAIL_ALERT_NATIVE_SAID: u32 = 0x01;
/// Flag of haproxy_email_alert_native_mode(): the caller must turn each proxy's own "email-alert" lines into an "email_alert"
/// directive, and keep HAProxy's mailers from sending.
pub const HAPROXY_EMAIL_ALERT_NATIVE_ROUTES: u32 = 0x02;
/// Flag of haproxy_email_alert_native_mode(): the administrator has set no relay, and the caller must turn each "mailer" line of
/// these proxies into an "email_alert.relay" directive.
pub const HAPROXY_EMAIL_ALERT_NATIVE_RELAYS: u32 = 0x04;

/// Result of a call. The numbers never change their meaning.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum haproxy_email_alert_result {
    /// The call succeeded.
    HAPROXY_EMAIL_ALERT_OK = 0,
    /// The queue is full: the event was dropped, and counted.
    HAPROXY_EMAIL_ALERT_ERR_QUEUE_FULL = 7001,
    /// The function was called in the wrong order.
    HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING = 7002,
    /// An argument is NULL, or has a wrong size or value.
    HAPROXY_EMAIL_ALERT_ERR_INVALID = 7003,
    /// The configuration or the command is wrong: the message names the fault.
    HAPROXY_EMAIL_ALERT_ERR_CONFIG = 7004,
    /// The call succeeded, and the administrator should see the message.
    HAPROXY_EMAIL_ALERT_WARNING = 7005,
    /// There is nothing to return.
    HAPROXY_EMAIL_ALERT_ERR_EMPTY = 7006,
    /// The time limit passed before all mails were delivered.
    HAPROXY_EMAIL_ALERT_ERR_PENDING = 7007,
    /// A system call failed: the message or the log names the reason.
    HAPROXY_EMAIL_ALERT_ERR_SYSTEM = 7008,
    /// The library caught an internal error, which is logged.
    HAPROXY_EMAIL_ALERT_ERR_PANIC = 7099,
}
/// Text of <length> bytes, not ended by NUL, in any encoding. <data> may be NULL when <length> is 0. The caller owns the bytes,
/// which must not change during the call; the library copies them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct haproxy_email_alert_text {
    /// First byte.
    pub data: *const c_char,
    /// Number of bytes.
    pub length: usize,
}

/// Answer to a runtime command. The caller of haproxy_email_alert_command() owns it.
pub struct haproxy_email_alert_answer {
    _private: [u8; 0],
}

/// Description of HAProxy's process. The caller owns it; the library copies it during the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct haproxy_email_alert_process {
    /// sizeof(struct haproxy_email_alert_process)
    pub size: usize,
    /// User id of the worker; 0: the process keeps its user.
    pub uid: u32,
    /// Group id of the worker; 0: the process keeps its group.
    pub gid: u32,
    /// HAProxy's version, ended by NUL, or NULL.
    pub haproxy_version: *const c_char,
    /// URL of HAProxy's statistics page, such as "http://192.0.2.1:8404/stats", ended by NUL, or NULL. If it has no host, as in
    /// "http://:8404/stats", the library inserts this machine's name. haproxy_email_alert_prepare() reads it. An invalid URL, or
    /// one of more than 512 bytes, is logged and left out of the mails.
    pub stats_url: *const c_char,
}

/// One change of a server's status. The caller owns it and its texts, which must not change during the call; the library copies
/// them, and cuts texts that exceed a slot of the queue.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct haproxy_email_alert_event {
    /// sizeof(struct haproxy_email_alert_event)
    pub size: usize,
    /// Number of the proxy: unique in the process.
    pub proxy_id: u32,
    /// Number of the server: unique in its proxy.
    pub server_id: u32,
    /// State before the change: HAPROXY_EMAIL_ALERT_ST_STOPPED to _STOPPING.
    pub old_state: u32,
    /// State after the change: HAPROXY_EMAIL_ALERT_ST_STOPPED to _STOPPING.
    pub new_state: u32,
    /// Administrative flags before the change: HAPROXY_EMAIL_ALERT_ADM_FMAINT etc.
    pub old_admin: u32,
    /// Administrative flags after the change: HAPROXY_EMAIL_ALERT_ADM_FMAINT etc.
    pub new_admin: u32,
    /// Event flags: HAPROXY_EMAIL_ALERT_EVF_OPERATIONAL etc.
    pub flags: u32,
    /// Number of servers, active and backup, that the backend could use before the change.
    pub usable_before: u32,
    /// Number of active servers that the backend can use now.
    pub active: u32,
    /// Number of backup servers that the backend can use now.
    pub backup: u32,
    /// Number of the server's sessions.
    pub sessions: u32,
    /// Number of sessions that the change sent back to the queue; negative: such a change moves none.
    pub requeued: i32,
    /// Number of sessions in the server's queue.
    pub queued: u32,
    /// Code of the check at layers 5 to 7; negative: the check has none.
    pub check_code: i32,
    /// Duration of the check, in milliseconds; negative: not known.
    pub check_duration_ms: i64,
    /// Name of the backend or listen section.
    pub proxy: haproxy_email_alert_text,
    /// Name of the server.
    pub server: haproxy_email_alert_text,
    /// Name of the proxy of the tracked server, or empty.
    pub via_proxy: haproxy_email_alert_text,
    /// Name of the tracked server, or empty.
    pub via_server: haproxy_email_alert_text,
    /// Host name of the server if HAProxy resolves it at run time, or empty.
    pub hostname: haproxy_email_alert_text,
    /// HAProxy's word for the cause if it was no check, or empty.
    pub cause: haproxy_email_alert_text,
    /// Short status of the check, such as "L4TOUT".
    pub check_status: haproxy_email_alert_text,
    /// Description of the check's status, such as "Layer4 timeout".
    pub check_reason: haproxy_email_alert_text,
    /// Text of the server or the system, unchanged.
    pub check_info: haproxy_email_alert_text,
    /// Address and port of the server, such as "10.0.0.7:8080", or empty.
    pub address: haproxy_email_alert_text,
    /// HAPROXY_EMAIL_ALERT_CHK_FAILED etc.: the event is the result of a single check, with the flag EVF_CHECK, and no change;
    /// the fields of the states before and after are not read. 0: the event is a change.
    pub check_result: u32,
    /// HAProxy's health counter of that check: at least <check_rise> if the check considers the server up.
    pub check_health: u32,
    /// Number of consecutive successes after which a server that is down is considered up.
    pub check_rise: u32,
    /// Number of consecutive failures after which a server that is up is considered down.
    pub check_fall: u32,
}

/// Counters since the start. All but <waiting> only increase. The caller owns the struct.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct haproxy_email_alert_counters {
    /// sizeof(struct haproxy_email_alert_counters), set by the caller.
    pub size: usize,
    /// Events that the queue accepted.
    pub accepted: u64,
    /// Events that were dropped because the queue was full.
    pub dropped: u64,
    /// Events and mails that are neither delivered nor failed.
    pub waiting: u64,
    /// Copies, one for each recipient, that a relay has accepted.
    pub delivered: u64,
    /// Copies that failed permanently or expired.
    pub failed: u64,
    /// Copies that will be retried, counted at each attempt.
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

// Checks that the header's numbers equal those of the library.
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
