// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guards of every exported function: a panic does not unwind into C, a pointer is checked before it is read.

use libc::c_char;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`. If it panics, logs the panic and returns `on_panic`.
///
/// Unwinding into C would be undefined behaviour; the end of HAProxy would be worse than a lost mail.
pub fn guarded<T>(on_panic: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(payload) => {
            // The destructor of the payload may panic, too; the payload of that panic is leaked.
            std::mem::forget(catch_unwind(AssertUnwindSafe(|| drop(payload))));
            log::error!("a bug in haproxy-email-alert was caught; HAProxy goes on");
            on_panic
        }
    }
}

/// A struct that begins with its size in the caller's version of the header; new fields are added at its end only. Plain data:
/// any bytes are a valid value, and zeros mean that a field is not set.
///
/// # Safety
///
/// Implementers are `repr(C)`, begin with a `usize`, and have no bytes that are not a valid value of their field.
pub unsafe trait SizedStruct: Copy {
    /// Size of the struct's first version, in bytes: the smallest valid size.
    const FIRST: usize;
}

/// Returns the number of bytes of the struct that both the caller and the library have; `None` if `pointer` is NULL or
/// misaligned, or the struct is smaller than its first version.
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

/// Returns the caller's struct; for a caller that is older than this library a copy in `storage`, in which newer fields are zero.
/// `None`: as [`common_size()`].
///
/// # Safety
///
/// `pointer` is NULL, or points to as many readable bytes as its first field says, which stay as they are while the result is
/// used.
pub unsafe fn read_sized<T: SizedStruct>(pointer: *const T, storage: &mut Option<T>) -> Option<&T> {
    // SAFETY: as the caller promises, see above.
    let size = unsafe { common_size(pointer) }?;
    if size < size_of::<T>() {
        // SAFETY: as the caller promises.
        return Some(storage.insert(unsafe { read_older(pointer, size) }));
    }
    // SAFETY: aligned and complete; the caller promises that it does not change.
    Some(unsafe { &*pointer })
}

/// Copies an older caller's struct; fields that it lacks are zero.
///
/// # Safety
///
/// `pointer` points to `size` readable bytes; `size` is at most the size of `T`.
unsafe fn read_older<T: SizedStruct>(pointer: *const T, size: usize) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: both sides have `size` bytes, and any bytes are a valid value of the struct.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), size);
        value.assume_init()
    }
}

/// Fills the fields of the caller's struct that its version has, except for its size. Returns false where [`common_size()`]
/// returns `None`.
///
/// # Safety
///
/// `pointer` is NULL, or points to as many readable and writable bytes as its first field says.
pub unsafe fn write_sized<T: SizedStruct>(pointer: *mut T, value: T) -> bool {
    const SIZE_FIELD: usize = size_of::<usize>();
    // SAFETY: as the caller promises, see above.
    let Some(size) = (unsafe { common_size(pointer.cast_const()) }) else { return false };
    // SAFETY: both sides have `size` bytes, and the size field is the first of them.
    unsafe {
        let (from, to) = ((&raw const value).cast::<u8>(), pointer.cast::<u8>());
        std::ptr::copy_nonoverlapping(from.add(SIZE_FIELD), to.add(SIZE_FIELD), size - SIZE_FIELD);
    }
    true
}

/// Returns the string at `pointer`; `None` for NULL.
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

/// Returns the elements at `pointer`; `None` if it is NULL and `count` is not 0, if it is misaligned, or if the slice would
/// exceed `isize::MAX` bytes.
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

/// Returns the strings at `pointer`; `None` where [`slice()`] returns `None`, or if one of them is NULL.
///
/// # Safety
///
/// `pointer` is NULL, or points to `count` pointers as for [`string()`].
pub unsafe fn strings<'a>(pointer: *const *const c_char, count: usize) -> Option<Vec<&'a CStr>> {
    // SAFETY: as promised by the caller.
    unsafe { slice(pointer, count)?.iter().map(|pointer| string(*pointer)).collect() }
}

/// Writes `text` and a NUL to the caller's buffer, cut to `size` bytes at the border of a character. Writes nothing if `buffer`
/// is NULL or `size` is 0.
///
/// # Safety
///
/// `buffer` is NULL, or points to `size` writable bytes that no other thread uses meanwhile.
pub unsafe fn write_text(buffer: *mut c_char, size: usize, text: &str) {
    if buffer.is_null() || size == 0 {
        return;
    }
    // A NUL within the text would end the string for C.
    let text = text.replace('\0', " ");
    let end = alertlib::text::char_boundary(&text, size - 1);
    // SAFETY: `end` + 1 bytes are at most `size`, which the caller says are writable; `text` is our own memory.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast::<u8>(), end);
        buffer.add(end).write(0);
    }
}
