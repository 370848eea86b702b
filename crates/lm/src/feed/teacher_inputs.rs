//! What a feed's teacher reads.

use std::ops::Range;

use super::{BURN_IN, MAX_CHUNKS, chunks};
use crate::data::Split;

/// Sequences of tokens. Each token has the number of the teacher's distribution that predicts it;
/// [`Feed::soft_targets`](super::Feed::soft_targets) gives these numbers for a batch's targets.
pub(crate) struct TeacherInputs {
    pub tokens: Vec<u32>,
    /// Sorted if `is_trie`.
    pub sequences: Vec<Sequence>,
    /// The number of each token's distribution; `count` or more if the token's is not needed.
    pub numbers: Vec<u32>,
    /// The number of different distributions.
    pub count: usize,
    /// Whether equal numbers mean equal prefixes of sequences.
    pub is_trie: bool,
}

/// A sequence: the token that is read before it, and its range in [`TeacherInputs::tokens`].
pub(crate) struct Sequence {
    pub first: u32,
    pub range: Range<usize>,
}

impl TeacherInputs {
    /// The inputs of a text: a number for each target.
    pub fn of_text(split: &Split) -> Self {
        let count = split.tokens().len().saturating_sub(1);
        Self::in_chunks(&split.tokens().to_vec(), count, |target| target as u32)
    }

    /// The inputs of a text, cut into chunks that are read side by side. Target i, the token at i + 1, has
    /// `number(i)`.
    fn in_chunks(text: &[u32], count: usize, number: impl Fn(usize) -> u32) -> Self {
        let (mut tokens, mut numbers, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in chunks(text.len().saturating_sub(1), [MAX_CHUNKS, BURN_IN], 1) {
            let start = tokens.len();
            tokens.extend_from_slice(&text[chunk.begin + 1..=chunk.scored.end]);
            // Targets of the burn-in are scored in the chunk before.
            numbers.resize(start + chunk.scored.start - chunk.begin, count as u32);
            numbers.extend(chunk.scored.map(&number));
            sequences.push(Sequence { first: text[chunk.begin], range: start..tokens.len() });
        }
        Self { tokens, sequences, numbers, count, is_trie: false }
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
            return Self::in_chunks(&tokens, count, number);
        };
        let mut start = 0;
        let word = |word: &[u32]| {
            start += word.len();
            Sequence { first: boundary, range: start - word.len()..start }
        };
        let sequences = tokens.split_inclusive(|&token| token == boundary).map(word).collect();
        let numbers = (0..tokens.len()).map(|place| context_id(place) as u32).collect();
        Self { tokens, sequences, numbers, count, is_trie: false }
    }
}
