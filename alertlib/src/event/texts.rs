// SPDX-License-Identifier: MIT OR Apache-2.0
//! Texts of a record in the ring: bounded, and padded to whole words.

use crate::ring::Writer;
use crate::text::{CUT, visible_bytes};

/// Largest bytes of each text of a record. A record has the lengths of its texts, four in a word, and then the texts, each
/// padded to whole words.
pub(super) struct TextLimits<const N: usize>(pub [usize; N]);

impl<const N: usize> TextLimits<N> {
    /// Number of words for the lengths.
    const LENGTHS: usize = N.div_ceil(4);

    /// Returns the number of words for the lengths and the longest texts.
    pub const fn words(&self) -> usize {
        let (mut words, mut n) = (Self::LENGTHS, 0);
        while n < N {
            words += self.0[n].div_ceil(8);
            n += 1;
        }
        words
    }
}

/// Writes the lengths of texts, and each text up to its limit.
#[inline]
pub(super) fn write_texts<const N: usize>(texts: [&[u8]; N], limits: &TextLimits<N>, writer: &mut Writer) {
    // Lengths before cutting, 16 bits each: the reader recognises a text that was cut.
    let mut lengths = [0u64; N];
    for (n, text) in texts.iter().enumerate() {
        lengths[n / 4] |= (text.len().min(0xffff) as u64) << (n % 4 * 16);
    }
    lengths.iter().take(TextLimits::<N>::LENGTHS).for_each(|word| _ = writer.word(*word));
    for (text, limit) in texts.iter().zip(limits.0) {
        if !text.is_empty() {
            writer.bytes(&text[..text.len().min(limit)]);
        }
    }
}

/// Reads texts that [`write_texts`] wrote, makes them visible ([`visible_bytes`]) and marks those that were cut. `None`: words
/// are missing.
pub(super) fn read_texts<const N: usize>(words: &[u64], limits: &TextLimits<N>) -> Option<[String; N]> {
    read_texts_with(words, limits, |_, bytes| visible_bytes(bytes))
}

/// Does the same as [`read_texts`], but `clean` makes the bytes of text number `n` visible.
pub(super) fn read_texts_with<const N: usize>(
    words: &[u64],
    limits: &TextLimits<N>,
    clean: impl Fn(usize, Vec<u8>) -> String,
) -> Option<[String; N]> {
    let (lengths, mut words) = words.split_at_checked(TextLimits::<N>::LENGTHS)?;
    let mut texts = [const { String::new() }; N];
    for (n, limit) in limits.0.into_iter().enumerate() {
        let given = (lengths[n / 4] >> (n % 4 * 16) & 0xffff) as usize;
        let length = given.min(limit);
        let (text, others) = words.split_at_checked(length.div_ceil(8))?;
        words = others;
        let mut bytes = Vec::with_capacity(size_of_val(text));
        text.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        bytes.truncate(length);
        texts[n] = clean(n, bytes);
        if given > limit {
            texts[n].push_str(CUT);
        }
    }
    Some(texts)
}
