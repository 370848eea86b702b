//! The contexts of one length, and what follows each.

use std::ops::Range;

use super::narrow::Narrow;

/// The contexts of one length, in the order of their tokens, of which the newest counts first: so those that go on from one
/// shorter context, by one older token, lie beside each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// Where those that go on from each shorter context begin, and the end; nothing of the shortest.
    pub starts: Vec<u32>,
    /// Their oldest token.
    pub oldest: Narrow,
    /// Where each one's targets begin, and the end.
    offsets: Vec<u32>,
    /// Targets, and the n of each.
    targets: Narrow,
    counts: Narrow,
    /// D(0), D(1), D(2) and D(3 or more), what is taken off n.
    discount: [f64; 4],
    /// The sum of each context's n, and what is added to it, of which n is a share.
    sums: Narrow,
    more: f64,
    /// What is left for the shorter context.
    rest: Vec<f64>,
}

impl Level {
    /// How many contexts there are.
    pub fn len(&self) -> usize {
        self.oldest.len()
    }

    /// How many different n-grams there are, a context and a target each.
    pub fn grams(&self) -> usize {
        self.targets.len()
    }

    /// The number of the context that goes on from the shorter one of this number by this token.
    pub fn find(&self, shorter: usize, token: u32) -> Option<usize> {
        let among = self.starts[shorter] as usize..self.starts[shorter + 1] as usize;
        self.oldest.find(among, token.into())
    }

    /// The places of a context's targets.
    fn places(&self, context: usize) -> Range<usize> {
        self.offsets[context] as usize..self.offsets[context + 1] as usize
    }

    /// The n at a place.
    fn n(&self, place: usize) -> u32 {
        self.counts.at(place) as u32
    }

    /// The targets of a context, in order, and the n of each.
    pub fn targets(&self, context: usize) -> impl Iterator<Item = (u32, u32)> {
        self.places(context).map(|place| (self.targets.at(place) as u32, self.n(place)))
    }

    /// Every n.
    pub fn counts(&self) -> impl Iterator<Item = u32> {
        (0..self.counts.len()).map(|place| self.n(place))
    }

    /// Counts what the longer contexts do: each target's different contexts, but its n where the shorter context begins
    /// with the boundary, before which nothing stands.
    pub fn count(&mut self, longer: &Self, boundary: Option<u32>) {
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
                // The numbers of a file may be any; those of a text are fewer than its tokens.
                let n = same.iter().fold(0u32, |sum, one| sum.saturating_add(one.1));
                self.targets.push(same[0].0.into());
                self.counts.push(n.into());
            }
            self.offsets.push(self.targets.len() as u32);
        }
        self.targets.shrink();
        self.counts.shrink();
    }

    /// Settles the shares: (n - D(n)) / (sum + more).
    pub fn settle(&mut self, discount: [f64; 4], more: f64) {
        (self.discount, self.more) = (discount, more);
        for context in 0..self.len() {
            self.sums.push(self.targets(context).map(|(_, n)| u64::from(n)).sum());
        }
        self.sums.shrink();
        let rest = |context| {
            let total = self.total(context);
            let shares = self.targets(context).map(|(_, n)| self.share(total, n));
            shares.fold(1.0, |rest, share| rest - share).max(0.0)
        };
        self.rest = (0..self.len()).map(rest).collect();
    }

    /// What n is a share of.
    fn total(&self, context: usize) -> f64 {
        self.sums.at(context) as f64 + self.more
    }

    fn share(&self, total: f64, n: u32) -> f64 {
        (f64::from(n) - self.discount[n.min(3) as usize]) / total
    }

    /// Takes a token's probability after the shorter context to that after this one.
    pub fn mix_one(&self, context: usize, token: u32, p: f64) -> f64 {
        let p = p * self.rest[context];
        let found = self.targets.find(self.places(context), token.into());
        found.map_or(p, |place| p + self.share(self.total(context), self.n(place)))
    }

    /// Takes the row from the shorter context's probabilities to this context's.
    pub fn mix(&self, context: usize, row: &mut [f64]) {
        let (rest, total) = (self.rest[context], self.total(context));
        row.iter_mut().for_each(|p| *p *= rest);
        for (token, n) in self.targets(context) {
            row[token as usize] += self.share(total, n);
        }
    }
}

/// Levels in the making: they are given n-grams in order. Only the longest gets its targets.
pub(super) struct Growing {
    levels: Vec<Level>,
    /// The context of the last n-gram, if there was one.
    last: Option<Vec<u32>>,
}

impl Growing {
    pub fn new(order: usize) -> Self {
        Self { levels: vec![Level::default(); order], last: None }
    }

    /// The levels of these n-grams, which are in order, and of how often each occurs.
    pub fn of(order: usize, grams: &[u32], counts: &[u32]) -> Self {
        let mut levels = Self::new(order);
        grams.chunks_exact(order).zip(counts).for_each(|(gram, &n)| levels.add(gram, n));
        levels
    }

    /// Adds an n-gram, its context and then its target, that occurs n times. It may be the last one again, as a file may have it.
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
            Some(before) => longest.counts.replace_last(longest.n(before).saturating_add(n).into()),
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
            // Of all but the longest no targets are there yet.
            level.offsets.resize(level.oldest.len() + 1, level.targets.len() as u32);
            [&mut level.oldest, &mut level.targets, &mut level.counts].into_iter().for_each(Narrow::shrink);
            [&mut level.starts, &mut level.offsets].into_iter().for_each(Vec::shrink_to_fit);
        }
        levels
    }
}
