//! The set of a split's words.

use super::split::Split;
use super::tokens::{TokenBuffer, Tokens};

/// The different words of a split: a hash table of their positions in its tokens, 4 bytes a slot.
#[derive(Clone, Debug)]
pub struct WordSet {
    split: Split,
    /// Open addressing: a slot holds start + 1, or 0 if it is free. The length is a power of two, at most
    /// three quarters full.
    slots: Vec<u32>,
}

impl WordSet {
    /// The set of all words of a split.
    pub fn new(split: &Split) -> Self {
        let mut set = Self::empty(split);
        split.each_word(|start, word| {
            set.add(start, word);
        });
        set
    }

    /// An empty set with room for all words of a split.
    pub fn empty(split: &Split) -> Self {
        let words = split.boundary().map_or(0, |boundary| split.tokens().count(boundary));
        Self { split: split.clone(), slots: vec![0; (words + words / 3 + 1).next_power_of_two()] }
    }

    /// Adds the word with its boundary that begins at `start` in the split. If an equal word is there
    /// already, returns where that begins.
    pub fn add(&mut self, start: usize, word: Tokens<'_>) -> Option<usize> {
        match self.find(word) {
            Ok(first) => Some(first),
            Err(free) => {
                self.slots[free] = start as u32 + 1;
                None
            }
        }
    }

    /// Whether a word, given without its boundary, is in the set.
    pub fn contains(&self, word: &[u32]) -> bool {
        let ended = word.iter().copied().chain(self.split.boundary());
        self.find(TokenBuffer::of(ended, self.split.buffer()).tokens()).is_ok()
    }

    /// Where a word, given with its boundary, begins in the split; else the free slot for it.
    pub fn find(&self, word: Tokens<'_>) -> Result<usize, usize> {
        let (mask, tokens) = (self.slots.len() - 1, self.split.tokens());
        let mut at = word.hash() as usize & mask;
        loop {
            let slot = self.slots[at] as usize;
            if slot == 0 {
                return Err(at);
            }
            let (start, end) = (slot - 1, slot - 1 + word.len());
            if end <= tokens.len() && tokens.slice(start..end) == word {
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
        let (mut set, mut first) = (WordSet::empty(&splits.val), HashMap::new());
        splits.val.each_word(|start, word| {
            let before = *first.entry(word.to_vec()).or_insert(start);
            assert_eq!(set.add(start, word), (before < start).then_some(before));
        });
        for word in splits.test.words() {
            let ended: Vec<u32> = word.iter().chain(splits.test.boundary()).collect();
            assert_eq!(set.contains(&word.to_vec()), first.contains_key(&ended));
        }
        assert!(!set.contains(&[1; 1000]));
    }
}
