//! What a feed's teacher reads.

use std::ops::Range;

use crate::data::Split;

/// Tokens, most of which have the number of the teacher's distribution that predicts them;
/// [`Feed::soft_targets`](super::Feed::soft_targets) gives these numbers for a batch's targets.
pub(crate) struct TeacherInputs {
    pub tokens: Vec<u32>,
    pub reading: Reading,
    /// The number of the distribution of each token, of a text of each but the first; `count` or more if it is not
    /// needed.
    pub numbers: Vec<u32>,
    /// The number of different distributions.
    pub count: usize,
}

/// How [`TeacherInputs::tokens`] are read.
pub(crate) enum Reading {
    /// As one running text, in the chunks and windows of an evaluation.
    Text,
    /// In sequences, each from its beginning.
    Sequences {
        /// Sorted if `is_trie`.
        all: Vec<Sequence>,
        /// Whether equal numbers mean equal prefixes of sequences.
        is_trie: bool,
    },
}

/// A sequence: the token that is read before it, and its range in [`TeacherInputs::tokens`].
pub(crate) struct Sequence {
    pub first: u32,
    pub range: Range<usize>,
}

impl TeacherInputs {
    /// The inputs of a text: a number for each target. Target i is the token at i + 1.
    pub fn of_text(split: &Split) -> Self {
        let tokens = split.tokens().to_vec();
        let count = tokens.len().saturating_sub(1);
        Self { tokens, reading: Reading::Text, numbers: (0..count as u32).collect(), count }
    }

    /// The inputs of windows of `length` tokens: a number for each different context.
    pub fn of_windows(
        split: &Split,
        length: usize,
        count: usize,
        context_id: impl Fn(usize) -> usize,
    ) -> Self {
        let tokens = split.tokens().to_vec();
        let Some(boundary) = split.boundary() else {
            // The first length - 1 targets of a text have no full window.
            let number = |target: usize| {
                (target + 1).checked_sub(length).map_or(count as u32, |example| context_id(example) as u32)
            };
            let numbers = (0..tokens.len().saturating_sub(1)).map(number).collect();
            return Self { tokens, reading: Reading::Text, numbers, count };
        };
        let mut start = 0;
        let word = |word: &[u32]| {
            start += word.len();
            Sequence { first: boundary, range: start - word.len()..start }
        };
        let all = tokens.split_inclusive(|&token| token == boundary).map(word).collect();
        let numbers = (0..tokens.len()).map(|place| context_id(place) as u32).collect();
        Self { tokens, reading: Reading::Sequences { all, is_trie: false }, numbers, count }
    }
}
