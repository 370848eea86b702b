//! How often each n-gram occurs.

use std::cmp::Ordering;
use std::hash::Hasher;

use rustc_hash::FxHasher;

use crate::data::Examples;

/// What an n-gram model has learned: how often each n-gram occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The different n-grams, each its context and then its target.
    ///
    /// # Shapes
    /// (M, order)
    pub grams: Vec<u32>,
    /// How often each occurs.
    ///
    /// # Shapes
    /// (M,)
    pub counts: Vec<u32>,
}

impl Counts {
    /// Counts the examples, whose context is the order less one.
    #[must_use]
    pub fn of(examples: &Examples) -> Self {
        let found = Table::of(examples).into_found();
        // As many tokens as fit, in the order in which they count, are one number to sort by.
        let largest = found.iter().flat_map(|&(i, _)| examples.gram(i as usize)).max().copied().unwrap_or(0);
        let bits = (u32::BITS - largest.leading_zeros()).max(1);
        let key = |gram: &[u32]| {
            let context = gram.len() - 1;
            let padding = std::iter::repeat_n(0, examples.context_length() - context);
            let tokens = gram[..context].iter().rev().copied().chain(padding).chain([gram[context]]);
            tokens.take((u64::BITS / bits) as usize).fold(0, |key, token| key << bits | u64::from(token))
        };
        let keyed = |(i, often): (u32, u32)| (key(examples.gram(i as usize)), i, often);
        let mut found: Vec<(u64, u32, u32)> = found.into_iter().map(keyed).collect();
        let gram = |i: u32| examples.gram(i as usize);
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| compare(gram(a.1), gram(b.1))));
        let mut counts = Self {
            grams: Vec::with_capacity(found.len() * (examples.context_length() + 1)),
            counts: Vec::with_capacity(found.len()),
        };
        for (_, i, often) in found {
            counts.grams.extend(examples.context(i as usize));
            counts.grams.push(examples.target(i as usize));
            counts.counts.push(often);
        }
        counts
    }

    /// Puts the n-grams in order: by their contexts, of which the newest token counts first, and then by their targets.
    pub(super) fn sort(&mut self, order: usize) {
        if self.grams.chunks_exact(order).is_sorted_by(|a, b| compare(a, b).is_le()) {
            return;
        }
        let grams: Vec<&[u32]> = self.grams.chunks_exact(order).collect();
        let mut places: Vec<usize> = (0..grams.len()).collect();
        places.sort_unstable_by(|&a, &b| compare(grams[a], grams[b]));
        let sorted = places.iter().flat_map(|&place| grams[place]).copied().collect();
        self.counts = places.iter().map(|&place| self.counts[place]).collect();
        self.grams = sorted;
    }
}

/// The order of n-grams, with or without the boundaries before their words: those are token 0.
fn compare(a: &[u32], b: &[u32]) -> Ordering {
    match (a.split_last(), b.split_last()) {
        (Some((a, before_a)), Some((b, before_b))) => {
            before_a.iter().rev().cmp(before_b.iter().rev()).then(a.cmp(b))
        }
        _ => Ordering::Equal,
    }
}

/// A hash table of the different n-grams of examples: of each the first example that has it, and how many have it. A place
/// takes 8 bytes, and nothing is needed for each example.
struct Table<'e> {
    examples: &'e Examples,
    /// One more than the example, or 0; a power of two of places, at least a quarter of them free.
    places: Vec<(u32, u32)>,
    len: usize,
}

impl<'e> Table<'e> {
    fn of(examples: &'e Examples) -> Self {
        let mut table = Self { examples, places: vec![(0, 0); 1 << 10], len: 0 };
        for i in 0..examples.len() {
            let place = table.place(i);
            if table.places[place].0 == 0 {
                table.places[place].0 = i as u32 + 1;
                table.len += 1;
            }
            table.places[place].1 += 1;
            if table.len * 4 > table.places.len() * 3 {
                table.grow();
            }
        }
        table
    }

    /// Where the n-gram of an example is, or would be.
    fn place(&self, i: usize) -> usize {
        let mask = self.places.len() - 1;
        let mut hasher = FxHasher::default();
        let gram = self.examples.gram(i);
        gram.iter().for_each(|&token| hasher.write_u32(token));
        let mut at = hasher.finish() as usize & mask;
        while let (after @ 1.., _) = self.places[at]
            && self.examples.gram(after as usize - 1) != gram
        {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let twice = vec![(0, 0); 2 * self.places.len()];
        for (after, often) in std::mem::replace(&mut self.places, twice) {
            if after > 0 {
                let place = self.place(after as usize - 1);
                self.places[place] = (after, often);
            }
        }
    }

    /// The first example of each n-gram, and how many have it.
    fn into_found(self) -> Vec<(u32, u32)> {
        let mut found = self.places;
        found.retain_mut(|(after, _)| {
            *after = after.wrapping_sub(1);
            *after != u32::MAX
        });
        found.shrink_to_fit();
        found
    }
}
