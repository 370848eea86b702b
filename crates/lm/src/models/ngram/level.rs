//! The contexts of one length, and the counts of the tokens after each.

use std::ops::Range;

use super::packed_ints::PackedInts;

/// The contexts of one length, sorted by their tokens, newest first. So contexts that extend the same shorter
/// one by an older token are adjacent.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// `starts[s]..starts[s + 1]` are the contexts that extend the shorter context s; empty for length 0.
    pub starts: Vec<u32>,
    /// The oldest token of each context.
    pub oldest: PackedInts,
    /// `offsets[c]..offsets[c + 1]` are the places of context c's targets.
    offsets: Vec<u32>,
    /// The targets, and n of each: its count, or in a shorter Kneser-Ney level its continuation count.
    targets: PackedInts,
    counts: PackedInts,
    /// D(0), D(1), D(2) and D(3 or more), which are subtracted from n.
    discount: [f64; 4],
    /// The sum of each context's n. The denominator is `sums[c] + added`: k V for add-k, 0 for Kneser-Ney.
    sums: PackedInts,
    added: f64,
    /// The weight of the shorter context's distribution: 1 - the sum of the context's shares.
    backoff: Vec<f64>,
}

impl Level {
    /// The number of contexts.
    pub fn len(&self) -> usize {
        self.oldest.len()
    }

    /// The number of distinct n-grams, a context and a target each.
    pub fn grams(&self) -> usize {
        self.targets.len()
    }

    /// The index of the context that extends the shorter context of this index by this older token.
    pub fn find(&self, shorter: usize, token: u32) -> Option<usize> {
        let among = self.starts[shorter] as usize..self.starts[shorter + 1] as usize;
        self.oldest.find(among, token.into())
    }

    /// The places of a context's targets.
    fn places(&self, context: usize) -> Range<usize> {
        self.offsets[context] as usize..self.offsets[context + 1] as usize
    }

    /// n of the target at a place.
    fn n_at(&self, place: usize) -> u32 {
        self.counts.at(place) as u32
    }

    /// The targets of a context, in order, and n of each.
    pub fn targets(&self, context: usize) -> impl Iterator<Item = (u32, u32)> {
        self.places(context).map(|place| (self.targets.at(place) as u32, self.n_at(place)))
    }

    /// Every n.
    pub fn counts(&self) -> impl Iterator<Item = u32> {
        (0..self.counts.len()).map(|place| self.n_at(place))
    }

    /// Sets n to the continuation counts: the number of distinct tokens before each n-gram, from the next
    /// longer level. Where the context begins with the boundary, before which nothing stands, n is the count.
    pub fn count_continuations(&mut self, longer: &Self, boundary: Option<u32>) {
        self.offsets.clear();
        self.offsets.push(0);
        let mut here = Vec::new();
        for context in 0..self.len() {
            let begins = boundary.is_some_and(|boundary| u64::from(boundary) == self.oldest.at(context));
            here.clear();
            for longer_one in longer.starts[context] as usize..longer.starts[context + 1] as usize {
                let counted = |(target, n)| (target, if begins { n } else { 1 });
                here.extend(longer.targets(longer_one).map(counted));
            }
            here.sort_unstable_by_key(|&(target, _)| target);
            for same in here.chunk_by(|a, b| a.0 == b.0) {
                // The counts in a file may be any, so the sum saturates; those of a text are fewer than its
                // tokens.
                let n = same.iter().fold(0u32, |sum, one| sum.saturating_add(one.1));
                self.targets.push(same[0].0.into());
                self.counts.push(n.into());
            }
            self.offsets.push(self.targets.len() as u32);
        }
        self.targets.shrink();
        self.counts.shrink();
    }

    /// Sets the shares, (n - D(n)) / (sum + added), and the backoff weights.
    pub fn smooth(&mut self, discount: [f64; 4], added: f64) {
        (self.discount, self.added) = (discount, added);
        for context in 0..self.len() {
            self.sums.push(self.targets(context).map(|(_, n)| u64::from(n)).sum());
        }
        self.sums.shrink();
        let backoff = |context| {
            let denominator = self.denominator(context);
            let shares = self.targets(context).map(|(_, n)| self.share(denominator, n));
            shares.fold(1.0, |rest, share| rest - share).max(0.0)
        };
        self.backoff = (0..self.len()).map(backoff).collect();
    }

    /// The denominator of the shares.
    fn denominator(&self, context: usize) -> f64 {
        self.sums.at(context) as f64 + self.added
    }

    fn share(&self, denominator: f64, n: u32) -> f64 {
        (f64::from(n) - self.discount[n.min(3) as usize]) / denominator
    }

    /// A token's probability after this context, from `p`, that after the shorter one: share + backoff p.
    pub fn interpolate_one(&self, context: usize, token: u32, p: f64) -> f64 {
        let p = p * self.backoff[context];
        let found = self.targets.find(self.places(context), token.into());
        found.map_or(p, |place| p + self.share(self.denominator(context), self.n_at(place)))
    }

    /// The same of all tokens: turns the row of probabilities after the shorter context into those after this
    /// one.
    pub fn interpolate(&self, context: usize, row: &mut [f64]) {
        let (backoff, denominator) = (self.backoff[context], self.denominator(context));
        row.iter_mut().for_each(|p| *p *= backoff);
        for (token, n) in self.targets(context) {
            row[token as usize] += self.share(denominator, n);
        }
    }
}

/// Builds levels from sorted n-grams. Only the longest level gets its targets.
pub(super) struct LevelBuilder {
    levels: Vec<Level>,
    /// The context of the last n-gram added.
    last: Option<Vec<u32>>,
}

impl LevelBuilder {
    pub fn new(order: usize) -> Self {
        Self { levels: vec![Level::default(); order], last: None }
    }

    /// The levels of these n-grams, which are sorted, and of their counts.
    pub fn of(order: usize, grams: &[u32], counts: &[u32]) -> Self {
        let mut levels = Self::new(order);
        grams.chunks_exact(order).zip(counts).for_each(|(gram, &n)| levels.add(gram, n));
        levels
    }

    /// Adds an n-gram, its context and then its target, with count n. In a file it may repeat the last one;
    /// then n is added to that one's count.
    pub fn add(&mut self, gram: &[u32], n: u32) {
        let Self { levels, last } = self;
        let order = levels.len();
        let (target, context) = (gram[order - 1], &gram[..order - 1]);
        let same = last
            .as_ref()
            .map(|last| context.iter().rev().zip(last.iter().rev()).take_while(|(a, b)| a == b).count());
        for length in same.map_or(0, |same| same + 1)..order {
            if let Some(longer) = levels.get_mut(length + 1) {
                let start = longer.oldest.len() as u32;
                longer.starts.push(start);
            }
            levels[length].oldest.push(if length > 0 { context[order - 1 - length].into() } else { 0 });
        }
        let longest = &mut levels[order - 1];
        longest.offsets.resize(longest.oldest.len(), longest.targets.len() as u32);
        let before = longest.targets.len().checked_sub(1).filter(|_| same == Some(order - 1));
        match before.filter(|&before| longest.targets.at(before) == u64::from(target)) {
            Some(before) => longest.counts.replace_last(longest.n_at(before).saturating_add(n).into()),
            None => {
                longest.targets.push(target.into());
                longest.counts.push(n.into());
            }
        }
        let last = last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(context);
    }

    /// The levels, from no context to the longest.
    pub fn finish(self) -> Vec<Level> {
        let Self { mut levels, .. } = self;
        for level in levels.iter_mut().skip(1) {
            level.starts.push(level.oldest.len() as u32);
        }
        for level in &mut levels {
            // Levels but the longest have no targets yet: all their offsets are 0.
            level.offsets.resize(level.oldest.len() + 1, level.targets.len() as u32);
            [&mut level.oldest, &mut level.targets, &mut level.counts]
                .into_iter()
                .for_each(PackedInts::shrink);
            [&mut level.starts, &mut level.offsets].into_iter().for_each(Vec::shrink_to_fit);
        }
        levels
    }
}
