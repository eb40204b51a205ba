// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared mappings, which survive the process, and prefaulting of memory.

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// A shared mapping of a file, as 64-bit atomic words.
pub struct SharedWords {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the memory consists of atomics, which any thread may use; `drop()` unmaps it, when no reference exists any more.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps the first `words` words of `file`, which must be allocated: access to a page beyond the file's end, or to one for
    /// which the file system has no space, ends the process with SIGBUS.
    ///
    /// # Errors
    ///
    /// `words` is 0 or too large, or the system cannot map the file.
    pub fn map(file: impl AsFd, words: usize) -> io::Result<Self> {
        let length = words.checked_mul(size_of::<AtomicU64>()).and_then(NonZeroUsize::new);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        let (access, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
        // SAFETY: a new mapping, at an address that the kernel chooses, overlaps nothing. Other processes that
        // write the file change words of atomics, of which every value is valid.
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
        // SAFETY: `map()` made the mapping with this length, and no reference outlives `self`. A failure is ignored: it could
        // not be handled.
        let _ = unsafe { munmap(self.start.cast(), self.words * size_of::<AtomicU64>()) };
    }
}

/// Faults in all pages of this memory at once (`MADV_POPULATE_WRITE`), instead of each at its first use. Returns false if it did
/// not; kernels before Linux 5.14 cannot.
pub fn prefault(words: &[AtomicU64]) -> bool {
    let Ok(Some(page)) = sysconf(SysconfVar::PAGE_SIZE) else { return false };
    let Ok(page) = usize::try_from(page) else { return false };
    let before = words.as_ptr().addr() % page;
    let start = words.as_ptr().wrapping_byte_sub(before).cast_mut().cast();
    let Some(start) = NonNull::new(start) else { return false };
    // SAFETY: all of these pages are mapped, since each contains some of the words. Their content does not change.
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
