//! Buffers of tokens, stored in as few bytes as their vocabulary allows.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Map;
use std::ops::Range;
use std::slice::ChunksExact;
use std::sync::Arc;

/// A sequence of tokens: one byte each if the vocabulary has at most 256, else two or three.
///
/// ```
/// use charloom::data::{Data, DataConfig};
/// let data = Data::load(&DataConfig::default(), None)?;
/// let word = data.splits.train.words().next().expect("a word");
/// assert_eq!(data.vocab.decode(word).chars().count(), word.len());
/// assert_eq!(word.at(0), word.to_vec()[0]);
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    /// The tokens, `width` bytes each, little-endian.
    bytes: &'a [u8],
    /// The bytes per token.
    width: usize,
}

impl<'a> Tokens<'a> {
    /// The number of tokens.
    #[must_use]
    pub fn len(self) -> usize {
        self.bytes.len() / self.width
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Token i.
    ///
    /// # Panics
    /// If i is not below [`Tokens::len`].
    #[must_use]
    #[inline(always)]
    pub fn at(self, i: usize) -> u32 {
        match self.width {
            1 => self.bytes[i].into(),
            width => token(&self.bytes[i * width..][..width]),
        }
    }

    /// The first token, if there is one.
    #[must_use]
    pub fn first(self) -> Option<u32> {
        self.iter().next()
    }

    /// The tokens at a range of positions.
    ///
    /// # Panics
    /// If the range ends after the last token.
    #[must_use]
    #[inline]
    pub fn slice(self, range: Range<usize>) -> Self {
        Self { bytes: &self.bytes[range.start * self.width..range.end * self.width], width: self.width }
    }

    /// Iterates over the tokens.
    #[inline]
    pub fn iter(self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + Clone + use<'a> {
        self.bytes.chunks_exact(self.width).map(token)
    }

    /// The tokens as 32-bit integers.
    #[must_use]
    pub fn to_vec(self) -> Vec<u32> {
        self.iter().collect()
    }

    /// Parts that each end with the token `end`; what follows the last `end` is a part too.
    pub fn split_inclusive(self, end: u32) -> impl Iterator<Item = Self> + use<'a> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let part = rest.until(end)?;
            rest = rest.slice(part.len()..rest.len());
            Some(part)
        })
    }

    /// The tokens up to and including the first `end`, or all if there is none; `None` if there are no
    /// tokens.
    pub(crate) fn until(self, end: u32) -> Option<Self> {
        let place = match (self.width, u8::try_from(end)) {
            (1, Ok(end)) => self.bytes.iter().position(|&byte| byte == end),
            _ => self.iter().position(|token| token == end),
        };
        let length = place.map_or(self.len(), |place| place + 1);
        (length > 0).then(|| self.slice(0..length))
    }

    /// Compares two sequences, each [up to its first `end`](Tokens::until), in one pass.
    pub(crate) fn compare_until(self, other: Self, end: u32) -> Ordering {
        let different = |(a, b): &(u32, u32)| a != b || *a == end;
        let first = match (self.width, other.width) {
            (1, 1) => {
                let mut both = self.bytes.iter().zip(other.bytes).map(|(&a, &b)| (a.into(), b.into()));
                both.find(different)
            }
            _ => self.iter().zip(other.iter()).find(different),
        };
        match first {
            Some((a, b)) => a.cmp(&b),
            None => self.len().cmp(&other.len()),
        }
    }

    /// A sort key made of the first eight bytes, up to the first `end`: keys that differ are ordered as
    /// [`Tokens::compare_until`] orders.
    pub(crate) fn first_eight(self, end: u32) -> u64 {
        let (bits, most) = (8 * self.width, 8 / self.width);
        let mut key = 0;
        for (place, token) in self.iter().take(most).enumerate() {
            key |= u64::from(token) << (64 - bits * (place + 1));
            if token == end {
                break;
            }
        }
        key
    }

    /// How often `token` occurs.
    pub(super) fn count(self, token: u32) -> usize {
        match (self.width, u8::try_from(token)) {
            (1, Ok(token)) => count(self.bytes, token),
            _ => self.iter().filter(|&other| other == token).count(),
        }
    }

    /// The largest token.
    pub(super) fn largest(self) -> Option<u32> {
        match self.width {
            1 if !self.is_empty() => Some(self.bytes.iter().fold(0, |most, &byte| byte.max(most)).into()),
            _ => self.iter().max(),
        }
    }

    /// Calls `visit` with the position and the tokens of each part that ends with `end`, in order.
    pub(super) fn each_ended(self, end: u32, mut visit: impl FnMut(usize, Self)) {
        let mut start = 0;
        match (self.width, u8::try_from(end)) {
            (1, Ok(end)) => {
                // With an index, since outside the `dist` profile an iterator takes twice as long.
                let mut at = 0;
                while at < self.bytes.len() {
                    at += 1;
                    if self.bytes[at - 1] == end {
                        visit(start, Self { bytes: &self.bytes[start..at], width: 1 });
                        start = at;
                    }
                }
            }
            _ => {
                for (at, token) in self.iter().enumerate() {
                    if token == end {
                        visit(start, self.slice(start..at + 1));
                        start = at + 1;
                    }
                }
            }
        }
    }

    /// The tokens as bytes, if each is one byte.
    pub(super) fn as_bytes(self) -> Option<&'a [u8]> {
        (self.width == 1).then_some(self.bytes)
    }

    /// Appends the tokens' bytes to `bytes`.
    pub(super) fn append_to(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.bytes);
    }

    /// A hash: the same for equal tokens of the same vocabulary.
    pub(super) fn hash(self) -> u64 {
        // FNV-1a, whose low bits depend on every byte too.
        self.bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// How often `byte` occurs in `bytes`.
pub(super) fn count(bytes: &[u8], byte: u8) -> usize {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    let (chunks, rest) = bytes.as_chunks::<8>();
    let others: u32 = chunks.iter().fold(0, |others, chunk| {
        // A byte's highest bit is set if the byte differs: a lower bit that differs carries into it, or it
        // differs itself.
        let differences = u64::from_ne_bytes(*chunk) ^ u64::from_ne_bytes([byte; 8]);
        others + ((((differences & LOW) + LOW) | differences) & !LOW).count_ones()
    });
    chunks.len() * 8 - others as usize + rest.iter().filter(|&&other| other == byte).count()
}

/// The token in these little-endian bytes.
#[inline(always)]
fn token(bytes: &[u8]) -> u32 {
    match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_le_bytes([a, b]).into(),
        [a, b, c, ..] => u32::from_le_bytes([a, b, c, 0]),
        [] => 0,
    }
}

impl<'a> IntoIterator for Tokens<'a> {
    type Item = u32;
    type IntoIter = Map<ChunksExact<'a, u8>, fn(&[u8]) -> u32>;

    fn into_iter(self) -> Self::IntoIter {
        self.bytes.chunks_exact(self.width).map(token as fn(&[u8]) -> u32)
    }
}

impl fmt::Debug for Tokens<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Tokens<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.width == other.width { self.bytes == other.bytes } else { self.iter().eq(other.iter()) }
    }
}

impl Eq for Tokens<'_> {}

impl PartialOrd for Tokens<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Tokens<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.width, other.width) {
            (1, 1) => self.bytes.cmp(other.bytes),
            _ => self.iter().cmp(other.iter()),
        }
    }
}

/// The memory that [`Tokens`] are a view of.
#[derive(Clone, Debug)]
pub(super) struct TokenBuffer {
    bytes: Arc<Vec<u8>>,
    width: usize,
}

impl TokenBuffer {
    /// The bytes per token for a vocabulary of `vocab` tokens.
    pub fn width(vocab: usize) -> usize {
        [0x100, 0x1_0000].iter().filter(|&&most| vocab > most).count() + 1
    }

    /// A buffer of the tokens in `bytes`, `width` bytes each.
    pub fn new(bytes: Vec<u8>, width: usize) -> Self {
        Self { bytes: Arc::new(bytes), width }
    }

    /// A buffer of `tokens`, over the vocabulary of the buffer `like`.
    pub fn of(tokens: impl Iterator<Item = u32>, like: &Self) -> Self {
        let mut bytes = Vec::new();
        tokens.for_each(|token| bytes.extend_from_slice(&token.to_le_bytes()[..like.width]));
        Self::new(bytes, like.width)
    }

    /// A buffer of the tokens in `bytes`, over the same vocabulary.
    pub fn like(&self, bytes: Vec<u8>) -> Self {
        Self::new(bytes, self.width)
    }

    /// All tokens.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens { bytes: &self.bytes, width: self.width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(tokens: &[u32], vocab: usize) -> TokenBuffer {
        TokenBuffer::of(tokens.iter().copied(), &TokenBuffer::new(Vec::new(), TokenBuffer::width(vocab)))
    }

    #[test]
    fn tokens_of_any_vocabulary_are_what_was_put_in() {
        for (vocab, width) in [(1, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 3), (0x11_0000, 3)] {
            let all = [0, vocab as u32 - 1, 0, vocab as u32 / 2];
            let buffer = buffer(&all, vocab);
            let tokens = buffer.tokens();
            assert_eq!((buffer.width, tokens.len(), tokens.to_vec()), (width, 4, all.to_vec()));
            assert_eq!([0, 1, 2, 3].map(|i| tokens.at(i)), all);
            assert_eq!(tokens.slice(1..3).to_vec(), all[1..3]);
            assert!(tokens.slice(4..4).is_empty() && tokens.slice(4..4).first().is_none());
            let mut bytes = Vec::new();
            for part in [tokens.slice(0..1), tokens.slice(1..4)] {
                part.append_to(&mut bytes);
            }
            assert_eq!(buffer.like(bytes).tokens(), tokens);
            assert_eq!((tokens.largest(), tokens.slice(0..0).largest()), (all.into_iter().max(), None));
            let twos = all.iter().filter(|&&token| token == all[1]).count();
            assert_eq!((tokens.count(all[1]), tokens.count(vocab as u32)), (twos, 0));
            assert_eq!(tokens.slice(0..1).hash(), tokens.slice(2..3).hash());
            // Ordered as numbers, not by their little-endian bytes.
            assert_eq!(tokens.slice(0..2).cmp(&tokens.slice(2..4)), all[..2].cmp(&all[2..]));
        }
    }

    #[test]
    fn buffers_of_other_widths_compare_by_their_tokens() {
        let (narrow, wide) = (buffer(&[3, 200], 256), buffer(&[3, 200], 70_000));
        assert_eq!(narrow.tokens(), wide.tokens());
        assert!(narrow.tokens() < buffer(&[4], 1000).tokens());
        assert_eq!(format!("{:?}", wide.tokens()), "[3, 200]");
    }

    #[test]
    fn tokens_compare_up_to_a_token_as_their_parts_do() {
        let all = [2, 1, 0, 2, 1, 0, 2, 3, 1, 0, 0, 2, 1];
        for vocab in [4, 300] {
            let buffer = buffer(&all, vocab);
            let rest = |start: usize| buffer.tokens().slice(start..all.len());
            for (a, b) in (0..=all.len()).flat_map(|a| (0..=all.len()).map(move |b| (a, b))) {
                let part = |start: usize| rest(start).until(0).map(Tokens::to_vec);
                let wanted = part(a).cmp(&part(b));
                assert_eq!(rest(a).compare_until(rest(b), 0), wanted, "from {a} and {b} of {vocab}");
                let keys = rest(a).first_eight(0).cmp(&rest(b).first_eight(0));
                assert!(keys.is_eq() || keys == wanted, "the keys from {a} and {b} of {vocab}");
            }
        }
    }

    #[test]
    fn parts_end_with_a_token_as_a_slices_do() {
        for all in [&[][..], &[0], &[1, 2, 0, 0, 3], &[0, 1, 0]] {
            let buffer = buffer(all, 300);
            let parts: Vec<Vec<u32>> = buffer.tokens().split_inclusive(0).map(Tokens::to_vec).collect();
            assert!(parts.iter().map(Vec::as_slice).eq(all.split_inclusive(|&token| token == 0)), "{all:?}");
            let mut ended = Vec::new();
            buffer.tokens().each_ended(0, |start, part| {
                assert_eq!(start, ended.iter().map(Vec::len).sum::<usize>());
                ended.push(part.to_vec());
            });
            let narrow = super::tests::buffer(all, 5);
            let mut count = 0;
            narrow.tokens().each_ended(0, |_, part| {
                assert_eq!(
                    part,
                    buffer.tokens().slice(0..buffer.tokens().len()).split_inclusive(0).nth(count).unwrap()
                );
                count += 1;
            });
            assert_eq!(count, ended.len());
            assert!(ended.iter().eq(parts.iter().filter(|part| part.ends_with(&[0]))), "{all:?}");
        }
    }

    #[test]
    fn bytes_are_counted() {
        let bytes: Vec<u8> =
            (0..1000u32).map(|i| (i * i % 251 + i % 3) as u8).chain([0x80, 0xff, 0]).collect();
        for byte in 0..=255 {
            for from in [0, 1, 5, 999] {
                let some = &bytes[from..];
                assert_eq!(count(some, byte), some.iter().filter(|&&other| other == byte).count());
            }
        }
    }
}
