// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runtime commands and their answers.

use crate::guard::{guarded, strings};
use crate::haproxy_email_alert_result::{self, *};
use crate::{haproxy_email_alert_answer, report, result_guarded, running};
use alertlib::service::Answer;
use libc::c_char;

/// Executes a runtime command. <words> are the <count> words of the line, such as "show", "email-alert", each ended by NUL. The
/// caller owns them and the message's buffer; the library does not use them after the call. On OK, <answer> gets the answer,
/// which the caller owns, reads with haproxy_email_alert_answer_copy() and must free with haproxy_email_alert_answer_free();
/// otherwise it gets NULL. Any thread; allocates, but never waits for a relay, a disk or a lock.
///
/// Returns OK, ERR_CONFIG with a message (see haproxy_email_alert_parse()), ERR_NOT_RUNNING before the start and after the stop,
/// or ERR_INVALID for NULL in the place of <answer> or words.
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
    result_guarded(|| {
        if answer.is_null() || !answer.is_aligned() {
            return Err(HAPROXY_EMAIL_ALERT_ERR_INVALID);
        }
        // SAFETY: not NULL, aligned, and writable, as the caller promises.
        unsafe { answer.write(std::ptr::null_mut()) };
        let service = running()?;
        // SAFETY: as the caller promises, see above.
        let words = unsafe { strings(words, count) }.ok_or(HAPROXY_EMAIL_ALERT_ERR_INVALID)?;
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let words: Vec<&str> = words.iter().map(|word| &**word).collect();
        let outcome = service.command(&words).map(|text| {
            let boxed = Box::into_raw(Box::new(text)).cast::<haproxy_email_alert_answer>();
            // SAFETY: as above.
            unsafe { answer.write(boxed) };
            Vec::new()
        });
        // SAFETY: as the caller promises, see above.
        unsafe { report(outcome, HAPROXY_EMAIL_ALERT_ERR_CONFIG, message, size) }
    })
}

/// Copies the bytes of an answer from <cursor> on to <buffer>, at most <size> of them, without a NUL; a character of several
/// bytes is never divided. The caller owns both; <answer> does not change. Any thread.
///
/// Returns the number of copied bytes, by which the caller advances its cursor; 0 at the end, for NULL, or if <size> is too small
/// for the next character.
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

/// Frees an answer, which must not be used any more; NULL is ignored. Any thread, once for each answer.
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
