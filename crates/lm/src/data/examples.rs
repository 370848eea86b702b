//! Examples: a context of T tokens and the token that follows it.

use std::iter::repeat_n;
use std::sync::OnceLock;

use super::int_map::IntMap;
use super::split::Split;
use super::tokens::Tokens;
use crate::error::{Error, Result};

/// The examples of a split, in the order of a notebook's loop: word after word, character after character.
///
/// They are a view of the split's tokens. In [`Mode::Lines`](super::Mode::Lines) contexts are padded with
/// boundaries in front, and a word's last target is the boundary: n characters give n + 1 examples. In
/// [`Mode::Text`](super::Mode::Text) every context is full: n characters give n - T examples.
///
/// # Shapes
/// T, the context's length, may be 0: then all contexts are equal.
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
    /// These three are computed when first needed.
    ids: OnceLock<ContextIds>,
    targets: OnceLock<Targets>,
    largest: OnceLock<u32>,
}

/// The most examples of which a feed asks for context ids, which take about 30 bytes for each example: with
/// more, each example has a row of its own.
const MAX_WITH_IDS: usize = 1 << 20;
/// The same for contexts of at most `SHORT_BITS` bits, which one character of most texts is: so few of them
/// differ that ids save nine tenths of a step's work, and they take 4 bytes for each example.
const MAX_SHORT_WITH_IDS: usize = 1 << 21;
const SHORT_BITS: usize = 8;

/// An id for each different context.
#[derive(Debug)]
struct ContextIds {
    /// The id of each example's context, shifted left by `target_bits`, plus the example's target: both are
    /// used together.
    packed: Vec<u32>,
    /// 0 if id and target do not fit into 32 bits: then `packed` holds only the ids.
    target_bits: u32,
    /// The first example with each id.
    first: Vec<u32>,
}

/// The targets that follow each different context.
#[derive(Debug)]
struct Targets {
    /// Where the targets of each id begin in `all`, and the end.
    offsets: Vec<u32>,
    /// The different targets of each id in ascending order, and how often each occurs.
    all: Vec<(u32, u32)>,
}

impl Examples {
    /// The examples of a split, with contexts of `length` tokens.
    ///
    /// # Errors
    /// A split of 2^32 tokens or more.
    pub fn new(split: &Split, length: usize) -> Result<Self> {
        let tokens = split.tokens().len();
        if u32::try_from(tokens).is_err() {
            return Err(Error::usage(format!("{tokens} tokens are more than 32 bits count")));
        }
        let split = split.clone();
        Ok(Self { length, split, ids: OnceLock::new(), targets: OnceLock::new(), largest: OnceLock::new() })
    }

    /// N, the number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.split.tokens().len().saturating_sub(self.first_target())
    }

    /// Whether there are so many examples that finding equal contexts would take more memory than all the
    /// rest.
    #[must_use]
    pub fn are_too_many_for_ids(&self) -> bool {
        let is_short = self.length.saturating_mul(self.token_bits() as usize) <= SHORT_BITS;
        self.len() > if is_short { MAX_SHORT_WITH_IDS } else { MAX_WITH_IDS }
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
        let at = i + self.first_target();
        let before = self.split.tokens().slice(at.saturating_sub(self.length)..at);
        // Only the tokens after the last boundary are of this word; boundaries stand for those before.
        let boundary = self.split.boundary();
        let word = match before.iter().rposition(|token| Some(token) == boundary) {
            Some(end) => before.slice(end + 1..before.len()),
            None => before,
        };
        repeat_n(boundary.unwrap_or_default(), self.length - word.len()).chain(word.iter())
    }

    /// The n-gram of example i: its context, without boundaries in front, and its target.
    ///
    /// # Panics
    /// As [`Examples::context`].
    pub(crate) fn gram(&self, i: usize) -> Tokens<'_> {
        let (at, tokens) = (i + self.first_target(), self.split.tokens());
        let mut start = at.saturating_sub(self.length);
        if let Some(boundary) = self.split.boundary()
            && let Some(end) = tokens.slice(start..at).iter().rposition(|token| token == boundary)
        {
            start += end + 1;
        }
        tokens.slice(start..at + 1)
    }

    /// The target of example i.
    ///
    /// # Panics
    /// If i is not below [`Examples::len`].
    #[must_use]
    pub fn target(&self, i: usize) -> u32 {
        self.split.tokens().at(i + self.first_target())
    }

    /// The last token of example i's context; 0 if T is 0.
    pub(crate) fn newest(&self, i: usize) -> u32 {
        let place = i + self.first_target();
        if self.length == 0 || place == 0 { 0 } else { self.split.tokens().at(place - 1) }
    }

    /// The largest token.
    pub(crate) fn largest(&self) -> u32 {
        *self.largest.get_or_init(|| self.split.tokens().largest().unwrap_or(0))
    }

    /// How many bits the largest token takes, at least 1.
    fn token_bits(&self) -> u32 {
        (u32::BITS - self.largest().leading_zeros()).max(1)
    }

    /// The position of the first target.
    fn first_target(&self) -> usize {
        if self.split.boundary().is_some() { 0 } else { self.length }
    }

    /// How many different contexts there are.
    #[must_use]
    pub fn distinct_len(&self) -> usize {
        self.ids().first.len()
    }

    /// The d-th different context, in the order of first appearance.
    ///
    /// # Panics
    /// If d is not below [`Examples::distinct_len`].
    pub fn distinct_context(&self, d: usize) -> impl Iterator<Item = u32> {
        self.context(self.ids().first[d] as usize)
    }

    /// The different targets of the d-th different context in ascending order, and how often each occurs.
    ///
    /// # Panics
    /// If d is not below [`Examples::distinct_len`].
    #[must_use]
    pub fn distinct_targets(&self, d: usize) -> &[(u32, u32)] {
        let Targets { offsets, all } = self.targets.get_or_init(|| self.count_targets());
        &all[offsets[d] as usize..offsets[d + 1] as usize]
    }

    /// The id of example i's context: the d of [`Examples::distinct_context`].
    ///
    /// # Panics
    /// If i is not below [`Examples::len`].
    #[must_use]
    pub fn context_id(&self, i: usize) -> usize {
        let ContextIds { packed, target_bits, .. } = self.ids();
        (packed[i] >> target_bits) as usize
    }

    /// For each example `id << bits | target`, and `bits`; `None` if they do not fit into 32 bits.
    pub(crate) fn with_targets(&self) -> Option<(&[u32], u32)> {
        let ContextIds { packed, target_bits, .. } = self.ids();
        (*target_bits > 0).then_some((packed, *target_bits))
    }

    fn ids(&self) -> &ContextIds {
        self.ids.get_or_init(|| self.find_ids())
    }

    /// Counts the targets of each id.
    fn count_targets(&self) -> Targets {
        let ContextIds { packed, target_bits, first } = self.ids();
        let mut offsets = vec![0u32; first.len() + 1];
        for &id_and_target in packed {
            offsets[(id_and_target >> target_bits) as usize + 1] += 1;
        }
        for i in 1..offsets.len() {
            offsets[i] += offsets[i - 1];
        }
        let mut next = offsets.clone();
        let mut each = vec![0; packed.len()];
        let (tokens, first_target) = (self.split.tokens(), self.first_target());
        for (i, &id_and_target) in packed.iter().enumerate() {
            let next = &mut next[(id_and_target >> target_bits) as usize];
            each[*next as usize] = tokens.at(first_target + i);
            *next += 1;
        }
        let mut all: Vec<(u32, u32)> = Vec::new();
        for id in 0..first.len() {
            let targets = &mut each[offsets[id] as usize..offsets[id + 1] as usize];
            if targets.len() > 1 {
                targets.sort_unstable();
            }
            let begin = all.len();
            offsets[id] = begin as u32;
            for &target in targets.iter() {
                match all[begin..].last_mut() {
                    Some((last, often)) if *last == target => *often += 1,
                    _ => all.push((target, 1)),
                }
            }
        }
        offsets[first.len()] = all.len() as u32;
        Targets { offsets, all }
    }

    /// Gives each different context an id.
    ///
    /// As many tokens as fit are packed into a 64-bit key, and each new key gets the next id. A long context
    /// takes several rounds, the newest tokens first, with the id so far as part of the key. Keys are
    /// compared in full, never by a hash alone.
    fn find_ids(&self) -> ContextIds {
        let bits = self.token_bits();
        let first = vec![0; usize::from(!self.is_empty())];
        let mut ids = ContextIds { packed: vec![0; self.len()], target_bits: 0, first };
        let mut done = 0;
        while done < self.length {
            // 0 while there is only one id.
            let id_bits = usize::BITS - (ids.first.len().max(1) - 1).leading_zeros();
            let take = (((64 - id_bits) / bits) as usize).min(self.length - done);
            self.refine(&mut ids, [done, take], bits, id_bits);
            done += take;
        }
        if (ids.first.len() as u64) << bits <= 1 << u32::BITS {
            ids.target_bits = bits;
            let (tokens, first) = (self.split.tokens(), self.first_target());
            for (i, id) in ids.packed.iter_mut().enumerate() {
                *id = *id << bits | tokens.at(first + i);
            }
        }
        ids
    }

    /// Refines the ids, of `id_bits` bits: examples keep a common id only if they also agree in the `take`
    /// tokens before the newest `done`. Key: `id << (take * bits) | those tokens`; ids are renumbered by
    /// first appearance.
    fn refine(&self, ids: &mut ContextIds, [done, take]: [usize; 2], bits: u32, id_bits: u32) {
        let (tokens, skipped) = (self.split.tokens(), self.first_target());
        let key_bits = take as u32 * bits;
        let mask = u64::MAX >> (u64::BITS - key_bits);
        let (boundary, padding) = match self.split.boundary() {
            Some(boundary) => (boundary, (0..take).fold(0, |all, _| all << bits | u64::from(boundary))),
            // No token has this value.
            None => (u32::MAX, 0),
        };
        let mut slots = IntMap::new(id_bits + key_bits, u32::MAX);
        let ContextIds { packed: ids, first, .. } = ids;
        first.clear();
        // The `take` tokens before the newest `done` of the next example's context.
        let mut window = padding;
        // The usual case, a short context over a small vocabulary: the same as below, in a fifth of the time.
        if let (IntMap::Table(table), Some(bytes), 0, 0) = (&mut slots, tokens.as_bytes(), done, id_bits) {
            let shifted = |window: u64, byte: u8| match u32::from(byte) == boundary {
                true => padding,
                false => (window << bits | u64::from(byte)) & mask,
            };
            let skipped = skipped.min(bytes.len());
            window = bytes[..skipped].iter().fold(window, |window, &byte| shifted(window, byte));
            let bytes = &bytes[skipped..];
            // With an index, since outside the `dist` profile an iterator takes twice as long.
            let mut i = 0;
            while i < bytes.len() && i < ids.len() {
                ids[i] = id_in(&mut table[window as usize], i, first);
                window = shifted(window, bytes[i]);
                i += 1;
            }
            return;
        }
        // The number of tokens between the last boundary and the next target.
        let mut before = 0;
        for at in 0..tokens.len() {
            if at >= skipped {
                let id = &mut ids[at - skipped];
                let key = if id_bits == 0 { window } else { u64::from(*id) << key_bits | window };
                *id = id_in(slots.at(key), at - skipped, first);
            }
            if tokens.at(at) == boundary {
                (before, window) = (0, padding);
                continue;
            }
            before += 1;
            if before > done {
                window = (window << bits | u64::from(tokens.at(at - done))) & mask;
            }
        }
    }
}

/// The id in a slot; an empty slot gets the next id, of which example i is the first.
#[inline(always)]
fn id_in(slot: &mut u32, i: usize, first: &mut Vec<u32>) -> u32 {
    if *slot == u32::MAX {
        *slot = first.len() as u32;
        first.push(i as u32);
    }
    *slot
}
