//! What a feed's teacher is asked.

use std::ops::Range;

use super::{PARTS, parts};
use crate::data::Split;

/// Sequences of tokens, and of each token which distribution it is drawn from, by a number: a batch's targets have numbers
/// too ([`Feed::taught`](super::Feed::taught)).
pub(crate) struct Lessons {
    pub tokens: Vec<u32>,
    /// Those of a trie are sorted.
    pub sequences: Vec<Lesson>,
    /// The number of each token's distribution; `count` or more: it is not asked for.
    pub numbers: Vec<u32>,
    /// How many numbers there are.
    pub count: usize,
    /// Whether equal numbers mean equal beginnings of sequences.
    pub is_trie: bool,
}

/// A sequence: what is read before it, and where it lies among the tokens.
pub(crate) struct Lesson {
    pub first: u32,
    pub range: Range<usize>,
}

impl Lessons {
    /// Those of a text: a number for each target.
    pub fn of_text(split: &Split) -> Self {
        let count = split.tokens().len().saturating_sub(1);
        Self::in_parts(&split.tokens().to_vec(), count, |target| target as u32)
    }

    /// Those of a text whose target i, counted from its second token, has `number(i)`; it is read in parts side by side.
    fn in_parts(text: &[u32], count: usize, number: impl Fn(usize) -> u32) -> Self {
        let (mut tokens, mut numbers, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts(text.len().saturating_sub(1), PARTS) {
            let start = tokens.len();
            tokens.extend_from_slice(&text[part.begin + 1..=part.judged.end]);
            // What a part reads to warm up, the one before is asked for.
            numbers.resize(start + part.judged.start - part.begin, count as u32);
            numbers.extend(part.judged.map(&number));
            sequences.push(Lesson { first: text[part.begin], range: start..tokens.len() });
        }
        Self { tokens, sequences, numbers, count, is_trie: false }
    }

    /// Those of windows of `length` tokens: a number for each class of contexts.
    pub fn of_windows(split: &Split, length: usize, count: usize, class: impl Fn(usize) -> usize) -> Self {
        let tokens = split.tokens().to_vec();
        let Some(boundary) = split.boundary() else {
            // A text's first windows are not full.
            let number = |target: usize| {
                (target + 1).checked_sub(length).map_or(count as u32, |example| class(example) as u32)
            };
            return Self::in_parts(&tokens, count, number);
        };
        let mut start = 0;
        let word = |word: &[u32]| {
            start += word.len();
            Lesson { first: boundary, range: start - word.len()..start }
        };
        let sequences = tokens.split_inclusive(|&token| token == boundary).map(word).collect();
        let numbers = (0..tokens.len()).map(|place| class(place) as u32).collect();
        Self { tokens, sequences, numbers, count, is_trie: false }
    }
}
