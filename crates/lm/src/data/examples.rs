//! Examples: a context of T tokens and the token that follows it.

use std::iter::repeat_n;
use std::sync::OnceLock;

use super::keyed::Keyed;
use super::split::Split;
use super::tokens::Tokens;
use crate::error::{Error, Result};

/// The examples of a split, in the order of a notebook's loop: word after word, character after character.
///
/// They are a view of the split's tokens. In [`Mode::Lines`](super::Mode::Lines) a word's contexts begin with
/// boundaries, and its last target is the boundary: n characters give n + 1 examples. In
/// [`Mode::Text`](super::Mode::Text) every context is full, so a split of n characters gives n - T.
///
/// # Shapes
/// T, the context, may be 0: then only the targets differ.
///
/// ```
/// use charloom::data::{Corpus, DataConfig, Examples, Mode, Split, Vocab};
/// let corpus = Corpus::from_bytes("names", b"emma", &DataConfig::default())?;
/// let vocab = Vocab::of(Mode::Lines, [&corpus]);
/// let examples = Examples::new(&Split::of(&corpus, &vocab)?, 3)?;
/// let all: Vec<String> = (0..examples.len())
///     .map(|i| {
///         let context: Vec<u32> = examples.context(i).collect();
///         format!("{} -> {}", vocab.decode(&context), vocab.decode(&[examples.target(i)]))
///     })
///     .collect();
/// assert_eq!(all, ["... -> e", "..e -> m", ".em -> m", "emm -> a", "mma -> ."]);
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Debug)]
pub struct Examples {
    length: usize,
    split: Split,
    /// Each made when first asked for.
    classes: OnceLock<Classes>,
    targets: OnceLock<Targets>,
    largest: OnceLock<u32>,
}

/// The most examples among which equal contexts are found by whoever can do without: it takes about 30 bytes each.
const MOST_CLASSED: usize = 1 << 20;
/// The same of contexts of so few bits, a character of most texts: there are hardly any different ones, so that a step does a
/// tenth of the work. It takes 4 bytes each.
const MOST_SHORT_CLASSED: usize = 1 << 21;
const SHORT_BITS: usize = 8;

/// Which contexts are equal.
#[derive(Debug)]
struct Classes {
    /// The class of each example, and in the lowest `target_bits` its target, since who asks for one wants both.
    of: Vec<u32>,
    /// 0 if the two do not fit into 32 bits: then it is the class alone.
    target_bits: u32,
    /// The first example of each class.
    first: Vec<u32>,
}

/// What follows equal contexts.
#[derive(Debug)]
struct Targets {
    /// Where each class begins in `all`, and the end.
    offsets: Vec<u32>,
    /// The different targets of each class's examples, and how often each occurs.
    all: Vec<(u32, u32)>,
}

impl Examples {
    /// The examples of a split at context `length`.
    ///
    /// # Errors
    /// More examples than 32 bits count.
    pub fn new(split: &Split, length: usize) -> Result<Self> {
        let tokens = split.tokens().len();
        if u32::try_from(tokens).is_err() {
            return Err(Error::usage(format!("{tokens} tokens are more than 32 bits count")));
        }
        let split = split.clone();
        Ok(Self {
            length,
            split,
            classes: OnceLock::new(),
            targets: OnceLock::new(),
            largest: OnceLock::new(),
        })
    }

    /// N, the number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.split.tokens().len().saturating_sub(self.first())
    }

    /// Whether there are so many that to know which contexts are equal would take more memory than all the rest.
    #[must_use]
    pub fn are_many(&self) -> bool {
        let is_short = self.length.saturating_mul(self.token_bits() as usize) <= SHORT_BITS;
        self.len() > if is_short { MOST_SHORT_CLASSED } else { MOST_CLASSED }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// T, the context's length.
    #[must_use]
    pub fn context_length(&self) -> usize {
        self.length
    }

    /// The context of example i: T tokens.
    ///
    /// # Panics
    /// If i is not below [`Examples::len`].
    pub fn context(&self, i: usize) -> impl Iterator<Item = u32> {
        let at = i + self.first();
        let before = self.split.tokens().part(at.saturating_sub(self.length)..at);
        // What stands before the word is boundaries, the one that ended the last word the nearest.
        let boundary = self.split.boundary();
        let word = match before.iter().rposition(|token| Some(token) == boundary) {
            Some(end) => before.part(end + 1..before.len()),
            None => before,
        };
        repeat_n(boundary.unwrap_or_default(), self.length - word.len()).chain(word.iter())
    }

    /// The context of example i without the boundaries before it, and the target: equal for equal n-grams.
    ///
    /// # Panics
    /// As [`Examples::context`].
    pub(crate) fn gram(&self, i: usize) -> Tokens<'_> {
        let (at, tokens) = (i + self.first(), self.split.tokens());
        let mut start = at.saturating_sub(self.length);
        if let Some(boundary) = self.split.boundary()
            && let Some(end) = tokens.part(start..at).iter().rposition(|token| token == boundary)
        {
            start += end + 1;
        }
        tokens.part(start..at + 1)
    }

    /// The target of example i.
    ///
    /// # Panics
    /// If i is not below [`Examples::len`].
    #[must_use]
    pub fn target(&self, i: usize) -> u32 {
        self.split.tokens().at(i + self.first())
    }

    /// The token before the target of example i, 0 where there is none.
    pub(crate) fn newest(&self, i: usize) -> u32 {
        let place = i + self.first();
        if self.length == 0 || place == 0 { 0 } else { self.split.tokens().at(place - 1) }
    }

    /// The largest token.
    pub(crate) fn largest(&self) -> u32 {
        *self.largest.get_or_init(|| self.split.tokens().largest().unwrap_or(0))
    }

    /// How many bits a token takes.
    fn token_bits(&self) -> u32 {
        (u32::BITS - self.largest().leading_zeros()).max(1)
    }

    /// Which token is the first target.
    fn first(&self) -> usize {
        if self.split.boundary().is_some() { 0 } else { self.length }
    }

    /// How many different contexts there are.
    #[must_use]
    pub fn distinct_len(&self) -> usize {
        self.classes().first.len()
    }

    /// The d-th different context, in the order of first appearance.
    ///
    /// # Panics
    /// If d is not below [`Examples::distinct_len`].
    pub fn distinct_context(&self, d: usize) -> impl Iterator<Item = u32> {
        self.context(self.classes().first[d] as usize)
    }

    /// The different targets that follow the d-th different context, in order, and how often each does.
    ///
    /// # Panics
    /// If d is not below [`Examples::distinct_len`].
    #[must_use]
    pub fn distinct_targets(&self, d: usize) -> &[(u32, u32)] {
        let Targets { offsets, all } = self.targets.get_or_init(|| self.follow());
        &all[offsets[d] as usize..offsets[d + 1] as usize]
    }

    /// Which of the different contexts example i has.
    ///
    /// # Panics
    /// If i is not below [`Examples::len`].
    #[must_use]
    pub fn class(&self, i: usize) -> usize {
        let Classes { of, target_bits, .. } = self.classes();
        (of[i] >> target_bits) as usize
    }

    /// The class of each example, above its target in so many bits; None if they do not fit.
    pub(crate) fn with_targets(&self) -> Option<(&[u32], u32)> {
        let Classes { of, target_bits, .. } = self.classes();
        (*target_bits > 0).then_some((of, *target_bits))
    }

    fn classes(&self) -> &Classes {
        self.classes.get_or_init(|| self.group())
    }

    /// Which targets the examples of each class have.
    fn follow(&self) -> Targets {
        let Classes { of, target_bits, first } = self.classes();
        let mut offsets = vec![0u32; first.len() + 1];
        for &of in of {
            offsets[(of >> target_bits) as usize + 1] += 1;
        }
        for i in 1..offsets.len() {
            offsets[i] += offsets[i - 1];
        }
        let mut next = offsets.clone();
        let mut each = vec![0; of.len()];
        let (tokens, before) = (self.split.tokens(), self.first());
        for (i, &of) in of.iter().enumerate() {
            let next = &mut next[(of >> target_bits) as usize];
            each[*next as usize] = tokens.at(before + i);
            *next += 1;
        }
        let mut all: Vec<(u32, u32)> = Vec::new();
        for class in 0..first.len() {
            let of_class = &mut each[offsets[class] as usize..offsets[class + 1] as usize];
            if of_class.len() > 1 {
                of_class.sort_unstable();
            }
            let begin = all.len();
            offsets[class] = begin as u32;
            for &target in of_class.iter() {
                match all[begin..].last_mut() {
                    Some((last, often)) if *last == target => *often += 1,
                    _ => all.push((target, 1)),
                }
            }
        }
        offsets[first.len()] = all.len() as u32;
        Targets { offsets, all }
    }

    /// Which contexts are equal.
    ///
    /// As many tokens as fit are packed into a number, and equal numbers numbered again; a long context takes
    /// several rounds, the newest tokens first, in which the class so far is part of the number. So nothing is compared by a
    /// hash alone.
    fn group(&self) -> Classes {
        let bits = self.token_bits();
        let first = vec![0; usize::from(!self.is_empty())];
        let mut classes = Classes { of: vec![0; self.len()], target_bits: 0, first };
        let mut done = 0;
        while done < self.length {
            // The only class so far takes no bits.
            let have = usize::BITS - (classes.first.len().max(1) - 1).leading_zeros();
            let take = (((64 - have) / bits) as usize).min(self.length - done);
            self.regroup(&mut classes, [done, take], bits, have);
            done += take;
        }
        if (classes.first.len() as u64) << bits <= 1 << u32::BITS {
            classes.target_bits = bits;
            let (tokens, first) = (self.split.tokens(), self.first());
            for (i, of) in classes.of.iter_mut().enumerate() {
                *of = *of << bits | tokens.at(first + i);
            }
        }
        classes
    }

    /// Tells apart what is of one class so far, a number of `have` bits, but differs in the `take` tokens, of so many bits
    /// each, before the newest `done`. Classes are numbered in the order of first appearance.
    fn regroup(&self, classes: &mut Classes, [done, take]: [usize; 2], bits: u32, have: u32) {
        let (tokens, skipped) = (self.split.tokens(), self.first());
        let packed = take as u32 * bits;
        let mask = u64::MAX >> (u64::BITS - packed);
        let (boundary, begun) = match self.split.boundary() {
            Some(boundary) => (boundary, (0..take).fold(0, |all, _| all << bits | u64::from(boundary))),
            // No token is this.
            None => (u32::MAX, 0),
        };
        let mut known = Keyed::new(have + packed, u32::MAX);
        let Classes { of, first, .. } = classes;
        first.clear();
        // The `take` tokens before the next target and the newest `done`.
        let mut window = begun;
        // The rule is a short context of a small vocabulary: the same as below, in a fifth of the time.
        if let (Keyed::Table(table), Some(bytes), 0, 0) = (&mut known, tokens.as_bytes(), done, have) {
            let shifted = |window: u64, byte: u8| match u32::from(byte) == boundary {
                true => begun,
                false => (window << bits | u64::from(byte)) & mask,
            };
            let skipped = skipped.min(bytes.len());
            window = bytes[..skipped].iter().fold(window, |window, &byte| shifted(window, byte));
            let bytes = &bytes[skipped..];
            // In a plain build an iterator would take twice as long.
            let mut i = 0;
            while i < bytes.len() && i < of.len() {
                of[i] = numbered(&mut table[window as usize], i, first);
                window = shifted(window, bytes[i]);
                i += 1;
            }
            return;
        }
        // How many tokens of its word stand before the next target.
        let mut before = 0;
        for at in 0..tokens.len() {
            if at >= skipped {
                let class = &mut of[at - skipped];
                let key = if have == 0 { window } else { u64::from(*class) << packed | window };
                *class = numbered(known.at(key), at - skipped, first);
            }
            if tokens.at(at) == boundary {
                (before, window) = (0, begun);
                continue;
            }
            before += 1;
            if before > done {
                window = (window << bits | u64::from(tokens.at(at - done))) & mask;
            }
        }
    }
}

/// The class in a slot; if it has none, the next, of which example i is the first.
#[inline(always)]
fn numbered(slot: &mut u32, i: usize, first: &mut Vec<u32>) -> u32 {
    if *slot == u32::MAX {
        *slot = first.len() as u32;
        first.push(i as u32);
    }
    *slot
}
