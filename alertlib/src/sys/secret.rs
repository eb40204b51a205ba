// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory for secrets: excluded from core dumps, and overwritten with zeros before it is unmapped.

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use zeroize::Zeroize;

/// Secret bytes in an anonymous mapping of their own.
pub struct SecretBytes {
    start: NonNull<u8>,
    length: NonZeroUsize,
}

// SAFETY: it owns its mapping, which no code writes between `new()` and `drop()`.
unsafe impl Send for SecretBytes {}

impl SecretBytes {
    /// Copies `bytes`, at least one.
    ///
    /// # Errors
    ///
    /// `bytes` is empty, or the system has no memory.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let length = NonZeroUsize::new(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses, overlaps nothing.
        let start = unsafe { mmap_anonymous(None, length, access, MapFlags::MAP_PRIVATE) }?;
        // SAFETY: the mapping was made above. A failure is ignored: mails are sent also where the kernel cannot exclude it.
        let _ = unsafe { madvise(start, length.get(), MmapAdvise::MADV_DONTDUMP) };
        let start = start.cast::<u8>();
        // SAFETY: the mapping has that many bytes, zeroed by the kernel, and no other reference to it exists.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), length.get()) }.copy_from_slice(bytes);
        Ok(SecretBytes { start, length })
    }
}

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has that many bytes, and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length.get()) }
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        // SAFETY: as above, and no other reference outlives `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length.get()) }.zeroize();
        // SAFETY: `new()` made the mapping with this length. A failure is ignored: it could not be handled.
        let _ = unsafe { munmap(self.start.cast(), self.length.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_readable_and_excluded_from_core_dumps() {
        let secret = SecretBytes::new(b"hunter2").expect("memory");
        assert_eq!(&*secret, b"hunter2");
        let address = secret.start.as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("our own memory");
        let has_it = |line: &str| {
            let (start, end) = line.split(' ').next()?.split_once('-')?;
            let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16).ok());
            Some((start?..end?).contains(&address))
        };
        let mut lines = maps.lines().skip_while(|line| has_it(line) != Some(true));
        let flags = lines.find_map(|line| line.strip_prefix("VmFlags:")).expect("the mapping's flags");
        assert!(flags.split(' ').any(|flag| flag == "dd"), "{flags}");
        assert!(SecretBytes::new(b"").is_err());
    }
}
