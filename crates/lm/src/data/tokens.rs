//! Rows of tokens, in as few bytes as their vocabulary allows.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Map;
use std::ops::Range;
use std::slice::ChunksExact;
use std::sync::Arc;

/// Tokens one after another: a byte for each where the vocabulary has at most 256, else two or three.
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
    /// Of each token the lowest byte first.
    bytes: &'a [u8],
    /// The bytes of a token.
    width: usize,
}

impl<'a> Tokens<'a> {
    /// How many.
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
    #[inline]
    pub fn at(self, i: usize) -> u32 {
        match self.width {
            1 => self.bytes[i].into(),
            width => token(&self.bytes[i * width..][..width]),
        }
    }

    /// The first.
    #[must_use]
    pub fn first(self) -> Option<u32> {
        self.iter().next()
    }

    /// Those of a range of places.
    ///
    /// # Panics
    /// If it ends after the last.
    #[must_use]
    #[inline]
    pub fn part(self, range: Range<usize>) -> Self {
        Self { bytes: &self.bytes[range.start * self.width..range.end * self.width], width: self.width }
    }

    /// One after another.
    #[inline]
    pub fn iter(self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + Clone + use<'a> {
        self.bytes.chunks_exact(self.width).map(token)
    }

    /// Each as a number of 32 bits.
    #[must_use]
    pub fn to_vec(self) -> Vec<u32> {
        self.iter().collect()
    }

    /// The parts that end with this token; what stands after the last of them is one too.
    pub fn split_inclusive(self, end: u32) -> impl Iterator<Item = Self> + use<'a> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let part = rest.until(end)?;
            rest = rest.part(part.len()..rest.len());
            Some(part)
        })
    }

    /// Those up to the first of this token, and that; all if there is none, and None if there are none at all.
    pub(crate) fn until(self, end: u32) -> Option<Self> {
        let place = match self.width {
            1 => self.bytes.iter().position(|&byte| u32::from(byte) == end),
            _ => self.iter().position(|token| token == end),
        };
        let length = place.map_or(self.len(), |place| place + 1);
        (length > 0).then(|| self.part(0..length))
    }

    /// How the tokens [up to the first of this one](Tokens::until) compare with another row's, found without looking for it.
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
}

/// What these bytes say.
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

/// The memory of [`Tokens`].
#[derive(Clone, Debug)]
pub(super) struct Row {
    bytes: Arc<Vec<u8>>,
    width: usize,
}

impl Row {
    /// These tokens of a vocabulary of so many, of which there are `len`.
    pub fn new(tokens: impl Iterator<Item = u32>, len: usize, vocab: usize) -> Self {
        let width = [0x100, 0x1_0000].iter().filter(|&&most| vocab > most).count() + 1;
        let mut bytes = Vec::with_capacity(len.saturating_mul(width));
        tokens.for_each(|token| bytes.extend_from_slice(&token.to_le_bytes()[..width]));
        Self { bytes: Arc::new(bytes), width }
    }

    /// Some of these tokens.
    pub fn of(tokens: impl Iterator<Item = u32>, like: &Self) -> Self {
        let vocab = 1 << (8 * like.width);
        Self::new(tokens, 0, vocab)
    }

    /// All of them.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens { bytes: &self.bytes, width: self.width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_any_vocabulary_are_what_was_put_in() {
        for (vocab, width) in [(1, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 3), (0x11_0000, 3)] {
            let all = [0, vocab as u32 - 1, 0, vocab as u32 / 2];
            let row = Row::new(all.into_iter(), 4, vocab);
            let tokens = row.tokens();
            assert_eq!((row.width, tokens.len(), tokens.to_vec()), (width, 4, all.to_vec()));
            assert_eq!([0, 1, 2, 3].map(|i| tokens.at(i)), all);
            assert_eq!(tokens.part(1..3).to_vec(), all[1..3]);
            assert!(tokens.part(4..4).is_empty() && tokens.part(4..4).first().is_none());
            assert_eq!(Row::of(all.into_iter(), &row).tokens(), tokens);
            // In order as numbers are, whatever their bytes.
            assert_eq!(tokens.part(0..2).cmp(&tokens.part(2..4)), all[..2].cmp(&all[2..]));
        }
    }

    #[test]
    fn rows_of_other_widths_compare_by_their_tokens() {
        let row = |vocab| Row::new([3, 200].into_iter(), 2, vocab);
        let (narrow, wide) = (row(256), row(70_000));
        assert_eq!(narrow.tokens(), wide.tokens());
        assert!(narrow.tokens() < Row::new([4].into_iter(), 1, 1000).tokens());
        assert_eq!(format!("{:?}", wide.tokens()), "[3, 200]");
    }

    #[test]
    fn rows_compare_up_to_a_token_as_their_parts_do() {
        let all = [2, 1, 0, 2, 1, 0, 2, 3, 1, 0, 0, 2, 1];
        for vocab in [4, 300] {
            let row = Row::new(all.into_iter(), all.len(), vocab);
            let rest = |start: usize| row.tokens().part(start..all.len());
            for (a, b) in (0..=all.len()).flat_map(|a| (0..=all.len()).map(move |b| (a, b))) {
                let part = |start: usize| rest(start).until(0).map(Tokens::to_vec);
                let wanted = part(a).cmp(&part(b));
                assert_eq!(rest(a).compare_until(rest(b), 0), wanted, "from {a} and {b} of {vocab}");
            }
        }
    }

    #[test]
    fn parts_end_with_a_token_as_a_slices_do() {
        for all in [&[][..], &[0], &[1, 2, 0, 0, 3], &[0, 1, 0]] {
            let row = Row::new(all.iter().copied(), all.len(), 300);
            let parts: Vec<Vec<u32>> = row.tokens().split_inclusive(0).map(Tokens::to_vec).collect();
            assert!(parts.iter().map(Vec::as_slice).eq(all.split_inclusive(|&token| token == 0)), "{all:?}");
        }
    }
}
