// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory by the page: such that survives the process, and such that is used for the first time.

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};
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

/// Faults in all pages of this memory at once (`MADV_POPULATE_WRITE`), instead of each at its first use. False: it did not; kernels
/// before Linux 5.14 cannot.
pub fn prefault(words: &[AtomicU64]) -> bool {
    let Ok(Some(page)) = sysconf(SysconfVar::PAGE_SIZE) else { return false };
    let Ok(page) = usize::try_from(page) else { return false };
    let before = words.as_ptr().addr() % page;
    let start = words.as_ptr().wrapping_byte_sub(before).cast_mut().cast();
    let Some(start) = NonNull::new(start) else { return false };
    // SAFETY: all of these pages are mapped, since each has some of the words. What is in them stays as it is.
    unsafe { madvise(start, before + size_of_val(words), MmapAdvise::MADV_POPULATE_WRITE) }.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn prefaulted_memory_keeps_its_content() {
        let words: Vec<AtomicU64> = (0..10_000).map(AtomicU64::new).collect();
        // From the middle of one page to the middle of another.
        let is_prefaulted = prefault(&words[1000..9000]);
        assert!(is_prefaulted, "a kernel before 5.14?");
        assert!((0..).zip(&words).all(|(n, word)| word.load(Relaxed) == n));
    }
}
