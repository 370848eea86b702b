//! How often each n-gram occurs.

use std::cmp::Ordering;
use std::hash::Hasher;
use std::ops::Range;

use rustc_hash::FxHasher;

use crate::data::{Examples, Tokens};

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
    /// Puts the n-grams in order: by their contexts, of which the newest token counts first, and then by their targets.
    pub(super) fn sort(&mut self, order: usize) {
        let compare = |a: &[u32], b: &[u32]| compare(a.iter().copied(), b.iter().copied());
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
fn compare(a: impl DoubleEndedIterator<Item = u32>, b: impl DoubleEndedIterator<Item = u32>) -> Ordering {
    let (mut a, mut b) = (a.rev(), b.rev());
    let targets = a.next().cmp(&b.next());
    a.cmp(b).then(targets)
}

/// The most examples that are counted at once: what is counted takes some 30 bytes for each different n-gram on the way.
const PART: usize = 1 << 19;

/// Calls `found` with each different n-gram of the examples, in order, and how often it occurs.
///
/// Many examples are counted in parts, by the newest token of their contexts, which is what n-grams are in order of first.
pub(super) fn each(examples: &Examples, mut found: impl FnMut(&[u32], u32)) {
    let bits = (u32::BITS - examples.largest().leading_zeros()).max(1);
    // As many tokens as fit, in the order in which they count, are one number to sort by.
    let key = |gram: Tokens<'_>| {
        let context = gram.part(0..gram.len() - 1);
        let padding = std::iter::repeat_n(0, examples.context_length() - context.len());
        let tokens = context.iter().rev().chain(padding).chain([gram.at(context.len())]);
        tokens.take((u64::BITS / bits) as usize).fold(0, |key, token| key << bits | u64::from(token))
    };
    let gram = |i: u32| examples.gram(i as usize);
    let mut one = Vec::with_capacity(examples.context_length() + 1);
    for part in parts(examples) {
        let found_here = Table::of(examples, &part).into_found();
        let keyed = |(i, often): (u32, u32)| (key(gram(i)), i, often);
        let mut sorted: Vec<(u64, u32, u32)> = found_here.into_iter().map(keyed).collect();
        sorted
            .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| compare(gram(a.1).iter(), gram(b.1).iter())));
        for (_, i, often) in sorted {
            one.clear();
            one.extend(examples.context(i as usize).chain([examples.target(i as usize)]));
            found(&one, often);
        }
    }
}

/// Ranges of tokens, of which each is the newest of about [`PART`] examples' contexts.
fn parts(examples: &Examples) -> Vec<Range<u32>> {
    let mut often = vec![0usize; examples.largest() as usize + 1];
    (0..examples.len()).for_each(|i| often[examples.newest(i) as usize] += 1);
    let (mut parts, mut start, mut sum) = (Vec::new(), 0, 0);
    for (token, often) in (0u32..).zip(often) {
        if sum > 0 && sum + often > PART {
            parts.push(start..token);
            (start, sum) = (token, 0);
        }
        sum += often;
    }
    parts.push(start..u32::MAX);
    parts
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
    /// Those whose context's newest token is one of `newest`.
    fn of(examples: &'e Examples, newest: &Range<u32>) -> Self {
        let mut table = Self { examples, places: vec![(0, 0); 1 << 10], len: 0 };
        for i in (0..examples.len()).filter(|&i| newest.contains(&examples.newest(i))) {
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
        gram.iter().for_each(|token| hasher.write_u32(token));
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
