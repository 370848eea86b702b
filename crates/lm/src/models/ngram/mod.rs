//! N-grams: counts of what follows each context, smoothed. The baseline that a network has to beat.

mod counts;
mod kind;
mod level;

pub use counts::Counts;
pub(super) use kind::NGramKind;
pub use kind::NGramSettings;
use level::{Entry, Growing, Level};

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
    /// One for each context length, from 0.
    levels: Vec<Level>,
}

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
        check(order, smoothing, k)?;
        if examples.largest() as usize >= vocab_size {
            return Err(unfit(order, vocab_size));
        }
        let mut levels = Growing::new(order);
        counts::each(examples, |gram, n| levels.add(gram, n));
        Self::smoothed(levels, vocab_size, boundary, smoothing, k)
    }

    /// The model of counts made before.
    ///
    /// # Errors
    /// As [`NGram::fit`]; counts that do not fit the order or the vocabulary.
    pub fn from_counts(
        order: usize,
        vocab_size: usize,
        boundary: Option<u32>,
        mut counts: Counts,
        smoothing: Smoothing,
        k: f64,
    ) -> Result<Self> {
        check(order, smoothing, k)?;
        let n = counts.counts.len();
        let fits = n.checked_mul(order) == Some(counts.grams.len())
            && u32::try_from(n).is_ok()
            && counts.grams.iter().all(|&token| (token as usize) < vocab_size)
            && counts.counts.iter().all(|&count| count > 0);
        if !fits {
            return Err(unfit(order, vocab_size));
        }
        counts.sort(order);
        let mut levels = Growing::new(order);
        counts.grams.chunks_exact(order).zip(&counts.counts).for_each(|(gram, &n)| levels.add(gram, n));
        drop(counts);
        Self::smoothed(levels, vocab_size, boundary, smoothing, k)
    }

    /// The model of these n-grams.
    fn smoothed(
        levels: Growing,
        vocab_size: usize,
        boundary: Option<u32>,
        smoothing: Smoothing,
        k: f64,
    ) -> Result<Self> {
        let mut levels = levels.finish();
        let order = levels.len();
        if levels[order - 1].counted.is_empty() {
            return Err(Error::Failed(
                "no examples to count; give more text or a lower ``order``".to_owned(),
            ));
        }
        let add_k = k * vocab_size as f64;
        for length in (0..order).rev() {
            if let (Some(longer), true) = (levels.get(length + 1), smoothing == Smoothing::KneserNey) {
                let entries = fewer(longer, &levels[length], boundary.filter(|_| length > 0));
                levels[length].fill(entries);
            }
            let level = &mut levels[length];
            match smoothing {
                Smoothing::AddK => level.settle([0.0; 4], add_k),
                Smoothing::KneserNey => level.settle(discounts(level), 0.0),
            }
        }
        Ok(Self { vocab_size, levels })
    }

    /// What [`NGram::from_tensors`] takes back: `ngram.grams` and `ngram.counts`.
    ///
    /// # Shapes
    /// (M, order) and (M,), M the number of different n-grams.
    #[must_use]
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let Counts { grams, counts } = self.counts();
        let m = counts.len();
        vec![NamedTensor::u32(NAMES[0], &[m, self.order()], grams), NamedTensor::u32(NAMES[1], &[m], counts)]
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
    pub fn counts(&self) -> Counts {
        let top = self.order() - 1;
        let longest = &self.levels[top];
        let mut counts = Counts {
            grams: Vec::with_capacity(longest.counted.len() * self.order()),
            counts: Vec::with_capacity(longest.counted.len()),
        };
        // The number of each length's context, of which the longest is the one at hand.
        let mut path = vec![0; self.order()];
        for context in 0..longest.len() {
            path[top] = context;
            for length in (1..=top).rev() {
                while self.levels[length].starts[path[length - 1] + 1] as usize <= path[length] {
                    path[length - 1] += 1;
                }
            }
            for &(target, n) in longest.targets(context) {
                counts.grams.extend((1..=top).rev().map(|length| self.levels[length].oldest[path[length]]));
                counts.grams.push(target);
                counts.counts.push(n);
            }
        }
        counts
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
                let Some(longer) = level.find(number, token) else { break };
                number = longer;
                level.mix(number, row);
            }
            for (out, p) in out.iter_mut().zip(&*row) {
                *out = libm::log(*p) as f32;
            }
        }
    }

    /// The same of one token after one context.
    fn log_prob(&self, context: &[u32], token: u32) -> f32 {
        let mut p = self.levels[0].mix_one(0, token, 1.0 / self.vocab_size as f64);
        let mut number = 0;
        for (level, &oldest) in self.levels[1..].iter().zip(context.iter().rev()) {
            let Some(longer) = level.find(number, oldest) else { break };
            number = longer;
            p = level.mix_one(number, token, p);
        }
        libm::log(p) as f32
    }

    fn window_reader(&self) -> WindowReader<'_> {
        let mut row = vec![0.0; self.vocab_size];
        let ask = Box::new(move |contexts: &[u32], out: &mut [f32]| self.log_probs(contexts, &mut row, out));
        let ask_one = Box::new(|context: &[u32], token| self.log_prob(context, token));
        WindowReader { length: self.order() - 1, vocab: self.vocab_size, ask, ask_one: Some(ask_one) }
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

/// What an n-gram model may be asked to be.
fn check(order: usize, smoothing: Smoothing, k: f64) -> Result<()> {
    if !(1..=MAX_ORDER).contains(&order) {
        return Err(Error::setting("order", format!("{order}: must be from 1 to {MAX_ORDER}")));
    }
    if smoothing == Smoothing::AddK && !(k > 0.0 && k.is_finite()) {
        return Err(Error::setting("k", format!("{k}: must be a number above 0")));
    }
    Ok(())
}

fn unfit(order: usize, vocab_size: usize) -> Error {
    Error::Failed(format!("the n-gram counts do not fit order {order} and {vocab_size} tokens"))
}

/// What the shorter contexts count of what the longer ones do: each target's different contexts, but its n where the shorter
/// context begins with the boundary, before which nothing stands.
fn fewer(longer: &Level, shorter: &Level, boundary: Option<u32>) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(longer.counted.len());
    let mut number = 0;
    for (context, target, n) in longer.entries() {
        while longer.starts[number + 1] <= context {
            number += 1;
        }
        let begins = boundary.is_some() && boundary == Some(shorter.oldest[number]);
        entries.push((number as u32, target, if begins { n } else { 1 }));
    }
    entries
}

/// D(0), which nothing has, D(1), D(2) and D(3 or more) from how many entries have an n of 1, 2, 3 and 4.
///
/// Short contexts of few characters have too few rare entries to estimate from; then it is 1/2, 1, 3/2.
fn discounts(level: &Level) -> [f64; 4] {
    let mut having = [0.0f64; 5];
    for &(_, n) in level.counted.iter().filter(|(_, n)| *n <= 4) {
        having[n as usize] += 1.0;
    }
    let [_, one, two, three, four] = having;
    let y = one / (one + 2.0 * two);
    let estimated =
        [0.0, 1.0 - 2.0 * y * two / one, 2.0 - 3.0 * y * three / two, 3.0 - 4.0 * y * four / three];
    let sound = (1..4).all(|i| estimated[i] > 0.0 && estimated[i] <= i as f64);
    if sound { estimated } else { [0.0, 0.5, 1.0, 1.5] }
}
