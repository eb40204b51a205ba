// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every exported function stands on: no panic leaves, no pointer is followed unseen.

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
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

/// A struct that begins with its own size, as its caller knows it, and only grows at its end. Plain data: any bytes are a
/// value of it, and zeroes mean that nothing is given.
///
/// # Safety
///
/// Implementers are `repr(C)`, begin with a `usize`, and have no bytes that are not a valid value of their field.
pub unsafe trait SizedStruct: Copy {
    /// The size of its first version, in bytes: the least that a caller may have.
    const FIRST: usize;
}

/// How many bytes of the struct both sides know. `None`: NULL, misaligned, or smaller than its first version.
///
/// # Safety
///
/// `pointer` is NULL, or points to as many readable bytes as its first field says.
unsafe fn common_size<T: SizedStruct>(pointer: *const T) -> Option<usize> {
    if pointer.is_null() || !pointer.is_aligned() {
        return None;
    }
    // SAFETY: not NULL and aligned; the caller has at least the size field there.
    let size = unsafe { pointer.cast::<usize>().read() };
    (size >= T::FIRST).then(|| size.min(size_of::<T>()))
}

/// The caller's struct; a copy in `room` if the caller is older than this library: what it does not have is zero.
/// `None`: as [`common_size()`].
///
/// # Safety
///
/// `pointer` is NULL, or points to as many readable bytes as its first field says, which stay as they are while the result is used.
pub unsafe fn read_sized<T: SizedStruct>(pointer: *const T, room: &mut Option<T>) -> Option<&T> {
    // SAFETY: as the caller promises, see above.
    let size = unsafe { common_size(pointer) }?;
    if size < size_of::<T>() {
        // SAFETY: as the caller promises.
        return Some(room.insert(unsafe { read_older(pointer, size) }));
    }
    // SAFETY: all of it is there, aligned, and stays.
    Some(unsafe { &*pointer })
}

/// An older caller's struct, with zeroes behind it.
///
/// # Safety
///
/// `pointer` points to `size` readable bytes; a `T` has not less.
unsafe fn read_older<T: SizedStruct>(pointer: *const T, size: usize) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `size` bytes are there on both sides, and any bytes are a value of the struct.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), size);
        value.assume_init()
    }
}

/// Fills the caller's struct as far as the caller knows it, but not its size. `false`: as [`common_size()`].
///
/// # Safety
///
/// `pointer` is NULL, or points to as many readable and writable bytes as its first field says.
pub unsafe fn write_sized<T: SizedStruct>(pointer: *mut T, value: T) -> bool {
    const SIZE_FIELD: usize = size_of::<usize>();
    // SAFETY: as the caller promises, see above.
    let Some(size) = (unsafe { common_size(pointer.cast_const()) }) else { return false };
    // SAFETY: `size` bytes are there on both sides, and the size field is the first of them.
    unsafe {
        let (from, to) = ((&raw const value).cast::<u8>(), pointer.cast::<u8>());
        std::ptr::copy_nonoverlapping(from.add(SIZE_FIELD), to.add(SIZE_FIELD), size - SIZE_FIELD);
    }
    true
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
