// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that survives the process, as words.

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// A shared mapping of a file, seen as atomic words.
pub struct SharedWords {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: it is memory of atomics, which any thread may use; it is unmapped when nobody can use it any more.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps the first `words` words of `file`, which must have them allocated: touching a page beyond its end, or one for
    /// which the file system has no room, ends the process.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn map(file: impl AsFd, words: usize) -> io::Result<Self> {
        let length = words.checked_mul(size_of::<AtomicU64>()).and_then(NonZeroUsize::new);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        let (access, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
        // SAFETY: a new mapping, at an address that the kernel chooses, overlaps nothing. What other processes do to the
        // file changes words of atomics, of which every value is valid.
        let start = unsafe { mmap(None, length, access, flags, file, 0) }?;
        Ok(SharedWords { start: start.cast(), words })
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has that many words, is aligned to a page, and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: mapped by us with this length, and no reference outlives `self`. It cannot fail, and could not be mended.
        let _ = unsafe { munmap(self.start.cast(), self.words * size_of::<AtomicU64>()) };
    }
}
