//! N-grams: counts of what follows each context, smoothed. The baseline that a network has to beat.

mod kind;

use rustc_hash::FxHashMap;

pub(super) use kind::NGramKind;
pub use kind::NGramSettings;

use super::window::WindowReader;
use super::{LanguageModel, Reach, Reader, Tell};
use crate::config::Smoothing;
use crate::data::{Examples, Split, Vocab};
use crate::error::{Error, Result};
use crate::files::NamedTensor;

/// The largest order.
const MAX_ORDER: usize = 12;

/// What its tensors are called in a checkpoint.
const NAMES: [&str; 2] = ["ngram.grams", "ngram.counts"];

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
        let mut counts = Self::default();
        for d in 0..examples.distinct_len() {
            for &(target, often) in examples.distinct_targets(d) {
                counts.grams.extend(examples.distinct_context(d));
                counts.grams.push(target);
                counts.counts.push(often);
            }
        }
        counts
    }
}

/// An n-gram model: a character's probability given the `order - 1` before it.
///
/// Every smoothing here is an interpolation, from no context (uniform, 1/V) to the longest that was seen:
/// `p(w | c) = share(c, w) + rest(c) p(w | c without its oldest token)`.
///
/// - Add-k looks at the longest context only: `p(w | c) = (n(c, w) + k) / (n(c) + k V)`.
/// - Modified Kneser-Ney: `share = (n - D(n)) / n(c)`, `rest` the discounts' sum over `n(c)`. For the longest
///   context n is the count; for a shorter one the number of different tokens before it, so that a token
///   counts for the variety of its contexts. A context that begins at a boundary has nothing before it and keeps
///   its count. D(1), D(2) and D(3 or more) are estimated for each length.
///
/// # Source
/// Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling", equations 26-29.
///
/// ```
/// use charloom::data::{DataConfig, Mode};
/// use charloom::config::Smoothing;
/// use charloom::data::{Corpus, Examples};
/// use charloom::evaluation::evaluate;
/// use charloom::models::NGram;
/// use charloom::data::{Split, Vocab};
/// let corpus = Corpus::from_bytes("names", b"emma\nemily", &DataConfig::default())?;
/// let vocab = Vocab::of(Mode::Lines, [&corpus]);
/// let split = Split::of(&corpus, &vocab)?;
/// let examples = Examples::new(&split, 1)?;
/// let bigram = NGram::fit(&examples, vocab.len(), vocab.boundary(), Smoothing::AddK, 1.0)?;
/// assert!(evaluate(&bigram, &split)?.unwrap().loss < (vocab.len() as f64).ln());
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NGram {
    vocab_size: usize,
    counts: Counts,
    /// One for each context length, from 0.
    levels: Vec<Level>,
}

/// The contexts of one length.
#[derive(Clone, Debug, Default)]
struct Level {
    /// (Number of the context without its oldest token, that token) to the context's number.
    numbers: FxHashMap<u64, u32>,
    /// Number of the context without its oldest token.
    shorter: Vec<u32>,
    /// Oldest token.
    oldest: Vec<u32>,
    /// Where each context's shares begin, and the end.
    offsets: Vec<u32>,
    /// Tokens and their shares.
    shares: Vec<(u32, f64)>,
    /// What is left for the shorter context.
    rest: Vec<f64>,
}

/// A context's number, a token, and its n.
type Entry = (u32, u32, u64);

impl NGram {
    /// Counts examples and smooths. The order is their context and one; `k` is for [`Smoothing::AddK`] only.
    ///
    /// # Errors
    /// No examples; an order above 12; a k that is not positive.
    pub fn fit(
        examples: &Examples,
        vocab_size: usize,
        boundary: Option<u32>,
        smoothing: Smoothing,
        k: f64,
    ) -> Result<Self> {
        let order = examples.context_length() + 1;
        Self::from_counts(order, vocab_size, boundary, Counts::of(examples), smoothing, k)
    }

    /// The model of counts made before.
    ///
    /// # Errors
    /// As [`NGram::fit`]; counts that do not fit the order or the vocabulary.
    pub fn from_counts(
        order: usize,
        vocab_size: usize,
        boundary: Option<u32>,
        counts: Counts,
        smoothing: Smoothing,
        k: f64,
    ) -> Result<Self> {
        if !(1..=MAX_ORDER).contains(&order) {
            return Err(Error::setting("order", format!("{order}: must be from 1 to {MAX_ORDER}")));
        }
        if smoothing == Smoothing::AddK && !(k > 0.0 && k.is_finite()) {
            return Err(Error::setting("k", format!("{k}: must be a number above 0")));
        }
        let n = counts.counts.len();
        let fits = n.checked_mul(order) == Some(counts.grams.len())
            && u32::try_from(n).is_ok()
            && counts.grams.iter().all(|&token| (token as usize) < vocab_size)
            && counts.counts.iter().all(|&count| count > 0);
        if !fits {
            let message = format!("the n-gram counts do not fit order {order} and {vocab_size} tokens");
            return Err(Error::Failed(message));
        }
        if n == 0 {
            return Err(Error::Failed(
                "no examples to count; give more text or a lower ``order``".to_owned(),
            ));
        }
        let (mut levels, contexts) = contexts(order, &counts);
        let entries = (0..n).map(|i| {
            let target = counts.grams[i * order + order - 1];
            (contexts[i], target, u64::from(counts.counts[i]))
        });
        let mut entries = merged(entries.collect());
        for length in (0..order).rev() {
            match smoothing {
                Smoothing::AddK if length + 1 < order => levels[length].fill(&[], |_, _| 0.0),
                Smoothing::AddK => {
                    levels[length].fill(&entries, |n, total| n / (total + k * vocab_size as f64))
                }
                Smoothing::KneserNey => {
                    let discount = discounts(&entries);
                    levels[length].fill(&entries, |n, total| (n - discount[(n as usize).min(3)]) / total);
                }
            }
            if length > 0 {
                let below = &levels[length - 1];
                let fewer = entries.iter().map(|&(context, target, count)| {
                    let shorter = levels[length].shorter[context as usize];
                    let begins = length > 1 && boundary == Some(below.oldest[shorter as usize]);
                    (shorter, target, if begins { count } else { 1 })
                });
                entries = merged(fewer.collect());
            }
        }
        Ok(Self { vocab_size, counts, levels })
    }

    /// What [`NGram::from_tensors`] takes back: `ngram.grams` and `ngram.counts`.
    ///
    /// # Shapes
    /// (M, order) and (M,), M the number of different n-grams.
    #[must_use]
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let Counts { grams, counts } = &self.counts;
        let m = counts.len();
        vec![
            NamedTensor::u32(NAMES[0], &[m, self.order()], grams.clone()),
            NamedTensor::u32(NAMES[1], &[m], counts.clone()),
        ]
    }

    /// The model that a checkpoint holds.
    ///
    /// # Errors
    /// Tensors that are missing, too many, or do not fit the configuration and the vocabulary.
    pub fn from_tensors(settings: &NGramSettings, vocab: &Vocab, tensors: &[NamedTensor]) -> Result<Self> {
        let order = settings.order;
        let of = |name: &str| tensors.iter().find(|tensor| tensor.name == name).and_then(NamedTensor::as_u32);
        let (Some(grams), Some(counts), 2) = (of(NAMES[0]), of(NAMES[1]), tensors.len()) else {
            let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
            let message =
                format!("an n-gram model has {} of u32, not {}", NAMES.join(" and "), names.join(", "));
            return Err(Error::Failed(message));
        };
        let counts = Counts { grams: grams.to_vec(), counts: counts.to_vec() };
        Self::from_counts(order, vocab.len(), vocab.boundary(), counts, settings.smoothing, settings.k)
    }

    /// N, the number of characters of an n-gram.
    #[must_use]
    pub fn order(&self) -> usize {
        self.levels.len()
    }

    /// What it has learned; [`NGram::from_counts`] takes it back.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl NGram {
    /// The logarithm of the probability of each token after each context; `row` has room for one distribution.
    fn log_probs(&self, contexts: &[u32], row: &mut [f64], out: &mut [f32]) {
        let length = self.order() - 1;
        for (i, out) in out.chunks_exact_mut(self.vocab_size).enumerate() {
            row.fill(1.0 / self.vocab_size as f64);
            let mut number = 0;
            self.levels[0].mix(number, row);
            for (level, &token) in self.levels[1..].iter().zip(contexts[i * length..][..length].iter().rev())
            {
                let Some(&longer) = level.numbers.get(&key(number, token)) else { break };
                number = longer;
                level.mix(number, row);
            }
            for (out, p) in out.iter_mut().zip(&*row) {
                *out = libm::log(*p) as f32;
            }
        }
    }

    fn window_reader(&self) -> WindowReader<'_> {
        let mut row = vec![0.0; self.vocab_size];
        let ask = Box::new(move |contexts: &[u32], out: &mut [f32]| self.log_probs(contexts, &mut row, out));
        WindowReader { length: self.order() - 1, vocab: self.vocab_size, ask }
    }
}

impl LanguageModel for NGram {
    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn reach(&self) -> Reach {
        Reach::Window(self.order() - 1)
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(self.window_reader())
    }

    fn score_split(&self, split: &Split, tell: Tell<'_>) -> Result<Vec<f32>> {
        self.window_reader().score_split(split, tell)
    }

    fn total_loss(&self, split: &Split, tell: Tell<'_>) -> Result<(f64, usize)> {
        self.window_reader().total_loss(split, tell)
    }
}

impl Level {
    /// Sets the shares of each context from its entries; what they leave is `rest`.
    fn fill(&mut self, entries: &[Entry], share: impl Fn(f64, f64) -> f64) {
        self.rest = vec![1.0; self.shorter.len()];
        self.offsets = vec![0; self.shorter.len() + 1];
        self.shares.reserve_exact(entries.len());
        for same in entries.chunk_by(|a, b| a.0 == b.0) {
            let total: u64 = same.iter().map(|entry| entry.2).sum();
            let context = same[0].0 as usize;
            for &(_, target, n) in same {
                let share = share(n as f64, total as f64);
                self.shares.push((target, share));
                self.rest[context] -= share;
            }
            self.rest[context] = self.rest[context].max(0.0);
            self.offsets[context + 1] = same.len() as u32;
        }
        for i in 1..self.offsets.len() {
            self.offsets[i] += self.offsets[i - 1];
        }
    }

    /// Takes the row from the shorter context's probabilities to this context's.
    fn mix(&self, context: u32, row: &mut [f64]) {
        let context = context as usize;
        for p in row.iter_mut() {
            *p *= self.rest[context];
        }
        for &(token, share) in
            &self.shares[self.offsets[context] as usize..self.offsets[context + 1] as usize]
        {
            row[token as usize] += share;
        }
    }
}

fn key(shorter: u32, oldest: u32) -> u64 {
    u64::from(shorter) << 32 | u64::from(oldest)
}

/// Numbers the contexts of every length: the levels, still without shares, and each n-gram's longest context.
fn contexts(order: usize, counts: &Counts) -> (Vec<Level>, Vec<u32>) {
    let mut levels = vec![Level { shorter: vec![0], oldest: vec![0], ..Level::default() }];
    let mut numbers = vec![0; counts.counts.len()];
    for length in 1..order {
        let mut level = Level::default();
        for (number, gram) in numbers.iter_mut().zip(counts.grams.chunks_exact(order)) {
            let (shorter, oldest) = (*number, gram[order - 1 - length]);
            *number = *level.numbers.entry(key(shorter, oldest)).or_insert_with(|| {
                level.shorter.push(shorter);
                level.oldest.push(oldest);
                level.shorter.len() as u32 - 1
            });
        }
        levels.push(level);
    }
    (levels, numbers)
}

/// Sorts entries by context and target, and adds up the n of equal ones.
fn merged(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_unstable_by_key(|&(context, target, _)| (context, target));
    entries.dedup_by(|next, first| {
        let same = (next.0, next.1) == (first.0, first.1);
        first.2 += if same { next.2 } else { 0 };
        same
    });
    entries
}

/// D(0), which nothing has, D(1), D(2) and D(3 or more) from how many entries have an n of 1, 2, 3 and 4.
///
/// Short contexts of few characters have too few rare entries to estimate from; then it is 1/2, 1, 3/2.
fn discounts(entries: &[Entry]) -> [f64; 4] {
    let mut having = [0.0f64; 5];
    for &(_, _, n) in entries.iter().filter(|entry| entry.2 <= 4) {
        having[n as usize] += 1.0;
    }
    let [_, one, two, three, four] = having;
    let y = one / (one + 2.0 * two);
    let estimated =
        [0.0, 1.0 - 2.0 * y * two / one, 2.0 - 3.0 * y * three / two, 3.0 - 4.0 * y * four / three];
    let sound = (1..4).all(|i| estimated[i] > 0.0 && estimated[i] <= i as f64);
    if sound { estimated } else { [0.0, 0.5, 1.0, 1.5] }
}
