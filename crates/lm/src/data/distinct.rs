//! Which words a split has.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use super::split::Split;

/// The different words of a split: a hash table of where they begin in its tokens, 4 bytes a place.
#[derive(Clone, Debug)]
pub struct Distinct {
    split: Split,
    /// One more than where a word begins, or 0; a power of two of them, at least a quarter free.
    places: Vec<u32>,
    len: usize,
}

impl Distinct {
    pub fn new(split: &Split) -> Self {
        let words = split.words().count();
        let places = vec![0; (words + words / 3 + 1).next_power_of_two()];
        let mut distinct = Self { split: split.clone(), places, len: 0 };
        let mut start = 0;
        for word in split.words() {
            if let Err(free) = distinct.find(word.iter()) {
                distinct.places[free] = start + 1;
                distinct.len += 1;
            }
            start += word.len() as u32 + 1;
        }
        distinct
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn contains(&self, word: impl Iterator<Item = u32> + Clone) -> bool {
        self.find(word).is_ok()
    }

    /// The place of a word, or the free one where it would be.
    fn find(&self, word: impl Iterator<Item = u32> + Clone) -> Result<usize, usize> {
        let mask = self.places.len() - 1;
        let mut hasher = FxHasher::default();
        word.clone().for_each(|token| hasher.write_u32(token));
        let (mut at, tokens) = (hasher.finish() as usize & mask, self.split.tokens());
        loop {
            match self.places[at] {
                0 => return Err(at),
                after => {
                    let mut there = tokens.part(after as usize - 1..tokens.len()).iter();
                    if word.clone().all(|token| there.next() == Some(token))
                        && there.next() == self.split.boundary()
                    {
                        return Ok(at);
                    }
                }
            }
            at = (at + 1) & mask;
        }
    }
}
