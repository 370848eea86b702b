//! The contexts of one length, and what follows each.

/// The contexts of one length, in the order of their tokens, of which the newest counts first: so those that go on from one
/// shorter context, by one older token, lie beside each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// Where those that go on from each shorter context begin, and the end; nothing of the shortest.
    pub starts: Vec<u32>,
    /// Their oldest token.
    pub oldest: Vec<u32>,
    /// Where each one's targets begin, and the end.
    pub offsets: Vec<u32>,
    /// Targets and the n of each.
    pub counted: Vec<(u32, u32)>,
    /// D(0), D(1), D(2) and D(3 or more), what is taken off n.
    discount: [f64; 4],
    /// What n is a share of.
    totals: Vec<f64>,
    /// What is left for the shorter context.
    rest: Vec<f64>,
}

/// A context's number, a target, and its n.
pub(super) type Entry = (u32, u32, u32);

impl Level {
    /// How many contexts there are.
    pub fn len(&self) -> usize {
        self.oldest.len()
    }

    /// The number of the context that goes on from the shorter one of this number by this token.
    pub fn find(&self, shorter: usize, token: u32) -> Option<usize> {
        let start = self.starts[shorter] as usize;
        let among = &self.oldest[start..self.starts[shorter + 1] as usize];
        among.binary_search(&token).ok().map(|place| start + place)
    }

    /// The targets of a context and the n of each.
    pub fn targets(&self, context: usize) -> &[(u32, u32)] {
        &self.counted[self.offsets[context] as usize..self.offsets[context + 1] as usize]
    }

    /// All contexts' numbers, each as often as it has targets, with these.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let of_context = |context: usize| {
            self.targets(context).iter().map(move |&(target, n)| (context as u32, target, n))
        };
        (0..self.len()).flat_map(of_context)
    }

    /// Takes these entries, in any order, and adds up the n of those that are there more than once.
    pub fn fill(&mut self, mut entries: Vec<Entry>) {
        entries.sort_unstable_by_key(|&(context, target, _)| (context, target));
        self.offsets = vec![0; self.len() + 1];
        for same in entries.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (context, target, _) = same[0];
            // The numbers of a file may be any; those of a text are fewer than its tokens.
            let n = same.iter().fold(0u32, |sum, entry| sum.saturating_add(entry.2));
            self.counted.push((target, n));
            self.offsets[context as usize + 1] += 1;
        }
        self.counted.shrink_to_fit();
        for i in 1..self.offsets.len() {
            self.offsets[i] += self.offsets[i - 1];
        }
    }

    /// Settles the shares: (n - D(n)) / (total + more).
    pub fn settle(&mut self, discount: [f64; 4], more: f64) {
        self.discount = discount;
        self.totals = (0..self.len())
            .map(|context| {
                self.targets(context).iter().map(|&(_, n)| u64::from(n)).sum::<u64>() as f64 + more
            })
            .collect();
        let rest = |context| {
            let shares = self.targets(context).iter().map(|&(_, n)| self.share(context, n));
            shares.fold(1.0, |rest, share| rest - share).max(0.0)
        };
        self.rest = (0..self.len()).map(rest).collect();
    }

    fn share(&self, context: usize, n: u32) -> f64 {
        (f64::from(n) - self.discount[n.min(3) as usize]) / self.totals[context]
    }

    /// Takes a token's probability after the shorter context to that after this one.
    pub fn mix_one(&self, context: usize, token: u32, p: f64) -> f64 {
        let (targets, p) = (self.targets(context), p * self.rest[context]);
        let found = targets.binary_search_by_key(&token, |&(target, _)| target);
        found.map_or(p, |place| p + self.share(context, targets[place].1))
    }

    /// Takes the row from the shorter context's probabilities to this context's.
    pub fn mix(&self, context: usize, row: &mut [f64]) {
        let rest = self.rest[context];
        row.iter_mut().for_each(|p| *p *= rest);
        for &(token, n) in self.targets(context) {
            row[token as usize] += self.share(context, n);
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
            levels[length].oldest.push(if length > 0 { context[order - 1 - length] } else { 0 });
        }
        let longest = &mut levels[order - 1];
        longest.offsets.resize(longest.oldest.len(), longest.counted.len() as u32);
        match longest.counted.last_mut() {
            Some((before, sum)) if same == Some(order - 1) && *before == target => {
                *sum = sum.saturating_add(n)
            }
            _ => longest.counted.push((target, n)),
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
            level.offsets.resize(level.oldest.len() + 1, level.counted.len() as u32);
            level.counted.shrink_to_fit();
        }
        levels
    }
}
