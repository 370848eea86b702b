//! Which words a split has.

use super::split::Split;
use super::tokens::{Row, Tokens};

/// The different words of a split: a hash table of where they begin in its tokens, 4 bytes a place.
#[derive(Clone, Debug)]
pub struct Distinct {
    split: Split,
    /// One more than where a word begins, or 0; a power of two of them, at least a quarter free.
    places: Vec<u32>,
}

impl Distinct {
    /// All of its words.
    pub fn new(split: &Split) -> Self {
        let mut distinct = Self::empty(split);
        split.each_word(|start, word| {
            distinct.add(start, word);
        });
        distinct
    }

    /// None of its words yet.
    pub fn empty(split: &Split) -> Self {
        let words = split.boundary().map_or(0, |boundary| split.tokens().count(boundary));
        Self { split: split.clone(), places: vec![0; (words + words / 3 + 1).next_power_of_two()] }
    }

    /// Adds the word, with its end, that begins here in the split; where it came first, if it is there already.
    pub fn add(&mut self, start: usize, word: Tokens<'_>) -> Option<usize> {
        match self.find(word) {
            Ok(first) => Some(first),
            Err(free) => {
                self.places[free] = start as u32 + 1;
                None
            }
        }
    }

    /// Whether a word, of tokens without its end, is there.
    pub fn contains(&self, word: &[u32]) -> bool {
        let ended = word.iter().copied().chain(self.split.boundary());
        self.find(Row::of(ended, self.split.row()).tokens()).is_ok()
    }

    /// Where a word, with its end, begins in the split, or the place of the table where it would be.
    pub fn find(&self, word: Tokens<'_>) -> Result<usize, usize> {
        let (mask, tokens) = (self.places.len() - 1, self.split.tokens());
        let mut at = word.hash() as usize & mask;
        loop {
            let after = self.places[at] as usize;
            if after == 0 {
                return Err(at);
            }
            let (start, end) = (after - 1, after - 1 + word.len());
            if end <= tokens.len() && tokens.part(start..end) == word {
                return Ok(start);
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Data, DataConfig};
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn each_word_is_found_where_it_came_first() {
        let splits = Data::load(&DataConfig::default(), None).unwrap().splits;
        let (mut distinct, mut first) = (Distinct::empty(&splits.val), HashMap::new());
        splits.val.each_word(|start, word| {
            let before = *first.entry(word.to_vec()).or_insert(start);
            assert_eq!(distinct.add(start, word), (before < start).then_some(before));
        });
        for word in splits.test.words() {
            let ended: Vec<u32> = word.iter().chain(splits.test.boundary()).collect();
            assert_eq!(distinct.contains(&word.to_vec()), first.contains_key(&ended));
        }
        assert!(!distinct.contains(&[1; 1000]));
    }
}
