//! What a feed's teacher is asked.

use std::ops::Range;

use crate::data::{Examples, Split};

/// Sequences of tokens, and of each token which distribution it is drawn from, by a number: a batch's targets have numbers
/// too ([`Feed::taught`](super::Feed::taught)).
pub(crate) struct Lessons {
    /// What is read before each sequence.
    pub first: u32,
    pub tokens: Vec<u32>,
    /// Where each sequence lies; those of a trie are sorted.
    pub sequences: Vec<Range<usize>>,
    /// The number of each token's distribution; `count` or more: it is not asked for.
    pub numbers: Vec<u32>,
    /// How many numbers there are.
    pub count: usize,
    /// Whether equal numbers mean equal beginnings of sequences.
    pub is_trie: bool,
}

impl Lessons {
    /// Those of sorted, different words, each with its boundary: a number for each different beginning.
    pub fn of_trie(boundary: u32, tokens: &[u32], sequences: Vec<Range<usize>>) -> Self {
        let longest = sequences.iter().map(Range::len).max().unwrap_or(0);
        // The number at each depth of the last word.
        let mut path = vec![0; longest];
        let (mut numbers, mut count, mut before) = (Vec::with_capacity(tokens.len()), 1, 0..0);
        for word in &sequences {
            let same = tokens[before].iter().zip(&tokens[word.clone()]).take_while(|(a, b)| a == b).count();
            for (depth, number) in path.iter_mut().enumerate().take(word.len()) {
                if depth > same {
                    *number = count;
                    count += 1;
                }
                numbers.push(*number);
            }
            before = word.clone();
        }
        let tokens = tokens.to_vec();
        Self { first: boundary, tokens, sequences, numbers, count: count as usize, is_trie: true }
    }

    /// Those of a text that is read from its beginning: a number for each place.
    pub fn of_text(split: &Split) -> Self {
        let (first, tokens) =
            split.tokens().split_first().map_or((0, &[][..]), |(&first, rest)| (first, rest));
        let numbers = (0..tokens.len() as u32).collect();
        let sequences = std::iter::once(0..tokens.len()).collect();
        Self { first, tokens: tokens.to_vec(), sequences, numbers, count: tokens.len(), is_trie: true }
    }

    /// Those of windows: a number for each class of contexts.
    pub fn of_windows(examples: &Examples, split: &Split) -> Self {
        let (tokens, length) = (split.tokens(), examples.context_length());
        let count = examples.distinct_len();
        let not_asked = count as u32;
        let (first, skipped) = match split.boundary() {
            Some(boundary) => (boundary, 0),
            // A text's first token is read, not judged, and its first windows are not full.
            None => (tokens.first().copied().unwrap_or(0), 1),
        };
        let number = |place: usize| match split.boundary() {
            Some(_) => examples.class(place) as u32,
            None => place.checked_sub(length).map_or(not_asked, |example| examples.class(example) as u32),
        };
        let numbers = (skipped..tokens.len()).map(number).collect();
        let tokens = tokens.get(skipped..).unwrap_or_default().to_vec();
        let mut start = 0;
        let sequences = match split.boundary() {
            None => std::iter::once(0..tokens.len()).collect(),
            Some(boundary) => tokens
                .split_inclusive(|&token| token == boundary)
                .map(|word| {
                    start += word.len();
                    start - word.len()..start
                })
                .collect(),
        };
        Self { first, tokens, sequences, numbers, count, is_trie: false }
    }
}
