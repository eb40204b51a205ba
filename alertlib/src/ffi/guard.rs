// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every exported function stands on: no panic leaves, no pointer is followed unseen.

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; a panic in it is logged, and the answer is then `otherwise`.
///
/// Unwinding into C would be undefined; ending HAProxy for a mail would be worse than no mail.
pub fn guarded<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(answer) => answer,
        Err(payload) => {
            // Its destructor may panic, too; what that throws is not looked at any more.
            std::mem::forget(catch_unwind(AssertUnwindSafe(|| drop(payload))));
            log::error!("a bug in haproxy-email-alert was caught; HAProxy goes on");
            otherwise
        }
    }
}

/// A struct that begins with its own size, as its caller knows it. Plain data: any bytes are a value of it.
///
/// # Safety
///
/// Implementers are `repr(C)`, begin with a `usize`, and have no bytes that are not a valid value of their field.
pub unsafe trait SizedStruct: Copy {}

/// Copies the caller's struct. `None`: NULL, misaligned, or smaller than the first version of the struct.
///
/// # Safety
///
/// `pointer` is NULL, or points to as many readable bytes as its first field says.
pub unsafe fn read_sized<T: SizedStruct>(pointer: *const T) -> Option<T> {
    if pointer.is_null() || !pointer.is_aligned() {
        return None;
    }
    // SAFETY: not NULL and aligned; the caller has at least the size field there.
    let size = unsafe { pointer.cast::<usize>().read() };
    // SAFETY: `size` bytes are readable, says the caller, and it is a whole struct (or a longer, newer one).
    (size >= size_of::<T>()).then(|| unsafe { pointer.read() })
}

/// The string at `pointer`; `None`: NULL.
///
/// # Safety
///
/// `pointer` is NULL, or points to a string that ends in NUL and stays as it is during `'a`.
pub unsafe fn string<'a>(pointer: *const c_char) -> Option<&'a CStr> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as promised by the caller.
    Some(unsafe { CStr::from_ptr(pointer) })
}

/// The elements at `pointer`. `None`: NULL with elements, misaligned, or more bytes than memory can have.
///
/// # Safety
///
/// `pointer` is NULL, or points to `count` elements that stay as they are during `'a`.
pub unsafe fn slice<'a, T>(pointer: *const T, count: usize) -> Option<&'a [T]> {
    if count == 0 {
        return Some(&[]);
    }
    if pointer.is_null() || !pointer.is_aligned() || count > isize::MAX as usize / size_of::<T>().max(1) {
        return None;
    }
    // SAFETY: not NULL, aligned, not too long; the rest is the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// Writes `text` and a NUL to the caller's buffer, cut to `size` at a character's border. NULL or 0: writes nothing.
///
/// # Safety
///
/// `buffer` is NULL, or points to `size` writable bytes that nobody else uses meanwhile.
pub unsafe fn write_text(buffer: *mut c_char, size: usize, text: &str) {
    if buffer.is_null() || size == 0 {
        return;
    }
    // A NUL in the middle would hide the rest from C.
    let text = text.replace('\0', " ");
    let end = (0..=text.len().min(size - 1)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    // SAFETY: `end` + 1 bytes are at most `size`, which the caller says are writable; `text` is our own memory.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast::<u8>(), end);
        buffer.add(end).write(0);
    }
}
