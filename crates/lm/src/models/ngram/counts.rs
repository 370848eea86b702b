//! How often each n-gram occurs.

use std::cmp::Ordering;
use std::hash::Hasher;
use std::ops::Range;

use rustc_hash::FxHasher;

use crate::Result;
use crate::data::{Examples, Tokens};

/// What an n-gram model has learned: how often each n-gram occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The distinct n-grams, each its context and then its target.
    ///
    /// # Shapes
    /// (M, order)
    pub grams: Vec<u32>,
    /// The count of each.
    ///
    /// # Shapes
    /// (M,)
    pub counts: Vec<u32>,
}

impl Counts {
    /// Sorts the n-grams: by their contexts, newest token first, and then by their targets.
    pub(super) fn sort(&mut self, order: usize) {
        if are_sorted(order, &self.grams) {
            return;
        }
        let compare = |a: &[u32], b: &[u32]| compare(a.iter().copied(), b.iter().copied());
        let grams: Vec<&[u32]> = self.grams.chunks_exact(order).collect();
        let mut places: Vec<usize> = (0..grams.len()).collect();
        places.sort_unstable_by(|&a, &b| compare(grams[a], grams[b]));
        let sorted = places.iter().flat_map(|&place| grams[place]).copied().collect();
        self.counts = places.iter().map(|&place| self.counts[place]).collect();
        self.grams = sorted;
    }
}

/// Checks that there is a count above 0 for each n-gram of `order` tokens, all below `vocab_size`.
///
/// # Errors
/// One of these does not hold.
pub(super) fn check(order: usize, vocab_size: usize, grams: &[u32], counts: &[u32]) -> Result<()> {
    let fits = counts.len().checked_mul(order) == Some(grams.len())
        && u32::try_from(counts.len()).is_ok()
        && grams.iter().all(|&token| (token as usize) < vocab_size)
        && counts.iter().all(|&count| count > 0);
    if fits { Ok(()) } else { Err(super::unfit(order, vocab_size)) }
}

/// Whether n-grams are sorted as by [`Counts::sort`].
pub(super) fn are_sorted(order: usize, grams: &[u32]) -> bool {
    let compare = |a: &[u32], b: &[u32]| compare(a.iter().copied(), b.iter().copied());
    grams.chunks_exact(order).is_sorted_by(|a, b| compare(a, b).is_le())
}

/// The order of [`Counts::sort`]. N-grams may lack the boundaries before their words, which are token 0.
fn compare(a: impl DoubleEndedIterator<Item = u32>, b: impl DoubleEndedIterator<Item = u32>) -> Ordering {
    let (mut a, mut b) = (a.rev(), b.rev());
    let targets = a.next().cmp(&b.next());
    a.cmp(b).then(targets)
}

/// The most examples that are counted at once: meanwhile a distinct n-gram takes about 30 bytes.
const MAX_AT_ONCE: usize = 1 << 18;

/// Calls `found` with each distinct n-gram of the examples, in order, and its count.
pub(super) fn each(examples: &Examples, found: impl FnMut(&[u32], u32)) {
    each_in_parts(examples, MAX_AT_ONCE, found);
}

/// As [`each`], but at most about `most` examples at a time. They are divided by the newest token of their
/// contexts, by which n-grams are sorted first, so that all come in order.
fn each_in_parts(examples: &Examples, most: usize, mut found: impl FnMut(&[u32], u32)) {
    let bits = (u32::BITS - examples.largest().leading_zeros()).max(1);
    // The sort key: the first tokens in the sort order, as many as fit into 64 bits.
    let key = |gram: Tokens<'_>| {
        let context = gram.slice(0..gram.len() - 1);
        let padding = std::iter::repeat_n(0, examples.context_length() - context.len());
        let tokens = context.iter().rev().chain(padding).chain([gram.at(context.len())]);
        tokens.take((u64::BITS / bits) as usize).fold(0, |key, token| key << bits | u64::from(token))
    };
    let gram = |i: u32| examples.gram(i as usize);
    let mut one = Vec::with_capacity(examples.context_length() + 1);
    for part in parts(examples, most) {
        let of_part = (0..examples.len()).filter(|&i| part.contains(&examples.newest(i)));
        let found_here = Table::of(examples, of_part).into_found();
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

/// Of more examples than this, the number of distinct n-grams is extrapolated.
const MAX_LOOKED_AT: usize = 1 << 18;

/// An estimate of the number of distinct n-grams: of few examples their number, which is an upper bound; of
/// more an extrapolation.
pub(super) fn estimate(examples: &Examples) -> u64 {
    estimate_by(examples, MAX_LOOKED_AT)
}

/// Heaps' law from the first m = `looked_at` examples: with d(n) distinct n-grams in n examples and `b =
/// log2(d(m) / d(m / 2))`, it is `d(n) = d(m) (n / m)^b`.
fn estimate_by(examples: &Examples, looked_at: usize) -> u64 {
    let different = |n: usize| Table::of(examples, 0..n).len as f64;
    let n = examples.len();
    if n <= looked_at {
        return n as u64;
    }
    let [half, all] = [looked_at / 2, looked_at].map(different);
    let b = (all / half).log2();
    (all * (n as f64 / looked_at as f64).powf(b)).min(n as f64) as u64
}

/// Ranges of tokens. Those of a range are the newest of at most `most` examples' contexts, unless it is a
/// single frequent token.
fn parts(examples: &Examples, most: usize) -> Vec<Range<u32>> {
    let mut often = vec![0usize; examples.largest() as usize + 1];
    (0..examples.len()).for_each(|i| often[examples.newest(i) as usize] += 1);
    let (mut parts, mut start, mut sum) = (Vec::new(), 0, 0);
    for (token, often) in (0u32..).zip(often) {
        if sum > 0 && sum + often > most {
            parts.push(start..token);
            (start, sum) = (token, 0);
        }
        sum += often;
    }
    parts.push(start..u32::MAX);
    parts
}

/// A hash table of distinct n-grams: the first example that has each, and the number of them. A slot takes 8
/// bytes; nothing is stored for each example.
struct Table<'e> {
    examples: &'e Examples,
    /// (1 + example, count), or (0, 0) if free. The number of slots is a power of two, and at least a quarter
    /// of them are free.
    slots: Vec<(u32, u32)>,
    len: usize,
}

impl<'e> Table<'e> {
    /// The table of some of the examples.
    fn of(examples: &'e Examples, some: impl Iterator<Item = usize>) -> Self {
        let mut table = Self { examples, slots: vec![(0, 0); 1 << 10], len: 0 };
        for i in some {
            let slot = table.slot(i);
            if table.slots[slot].0 == 0 {
                table.slots[slot].0 = i as u32 + 1;
                table.len += 1;
            }
            table.slots[slot].1 += 1;
            if table.len * 4 > table.slots.len() * 3 {
                table.grow();
            }
        }
        table
    }

    /// The slot of an example's n-gram, or the free one where it belongs.
    fn slot(&self, i: usize) -> usize {
        let mask = self.slots.len() - 1;
        let mut hasher = FxHasher::default();
        let gram = self.examples.gram(i);
        gram.iter().for_each(|token| hasher.write_u32(token));
        let mut at = hasher.finish() as usize & mask;
        while let (after @ 1.., _) = self.slots[at]
            && self.examples.gram(after as usize - 1) != gram
        {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let twice = vec![(0, 0); 2 * self.slots.len()];
        for (after, often) in std::mem::replace(&mut self.slots, twice) {
            if after > 0 {
                let slot = self.slot(after as usize - 1);
                self.slots[slot] = (after, often);
            }
        }
    }

    /// The first example of each n-gram, and its count.
    fn into_found(self) -> Vec<(u32, u32)> {
        let mut found = self.slots;
        found.retain_mut(|(after, _)| {
            *after = after.wrapping_sub(1);
            *after != u32::MAX
        });
        found.shrink_to_fit();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Corpus, DataConfig, Mode, Split, Vocab};

    fn examples(text: &str, order: usize) -> Examples {
        let config = DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() };
        let corpus = Corpus::from_bytes("text", text, &config).unwrap();
        Examples::new(&Split::of(&corpus, &Vocab::of(Mode::Lines, [&corpus])).unwrap(), order - 1).unwrap()
    }

    /// 12,500 lines of 7 letters.
    fn random() -> String {
        let mut x = 1u32;
        let mut letter = |i| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i % 8 == 7 { '\n' } else { char::from(b'a' + ((x >> 16) % 26) as u8) }
        };
        (0..100_000).map(&mut letter).collect()
    }

    fn counted(examples: &Examples) -> (usize, u64) {
        let (mut different, mut all) = (0, 0);
        each(examples, |_, n| {
            different += 1;
            all += u64::from(n);
        });
        (different, all)
    }

    #[test]
    fn examples_that_are_many_are_counted_in_parts_and_each_n_gram_once_and_in_order() {
        let examples = examples(&random(), 4);
        let most = MAX_AT_ONCE / 16;
        assert!(parts(&examples, most).len() > 2);
        let mut last: Option<Vec<u32>> = None;
        let (mut all, mut different) = (0, 0);
        each_in_parts(&examples, most, |gram, n| {
            let compared = last.as_ref().map(|last| compare(last.iter().copied(), gram.iter().copied()));
            assert!(compared.is_none_or(Ordering::is_lt));
            last = Some(gram.to_vec());
            all += n as usize;
            different += 1;
        });
        assert_eq!(all, examples.len());
        assert_eq!(different, Table::of(&examples, 0..examples.len()).len);
    }

    #[test]
    fn how_many_n_grams_there_are_is_known_from_a_part() {
        for (text, order) in [(random(), 5), (random(), 2), ("abcde\nedcba\naaa\n".repeat(4_000), 5)] {
            let examples = examples(&text, order);
            let (estimated, (different, _)) =
                (estimate_by(&examples, MAX_LOOKED_AT / 16) as f64, counted(&examples));
            let ratio = estimated / different as f64;
            assert!((0.7..1.4).contains(&ratio), "order {order}: {estimated}, and there are {different}");
        }
        assert_eq!(estimate(&examples("ab\nba\n", 2)), 6);
    }
}
