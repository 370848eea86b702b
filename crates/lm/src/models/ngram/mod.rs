//! N-grams: counts of what follows each context, smoothed. The baseline that a network has to beat.

mod counts;
mod kind;
mod level;
mod packed_ints;

pub use counts::Counts;
pub(super) use kind::NGramKind;
pub use kind::NGramSettings;
use level::{Level, LevelBuilder};

use std::sync::Arc;

use super::window::WindowReader;
use super::{LanguageModel, Progress, Reach, Reader};
use crate::config::Smoothing;
use crate::data::{Examples, Split, Vocab};
use crate::error::{Error, Result};
use crate::files::{Computed, NamedTensor};

/// The largest order.
const MAX_ORDER: usize = 12;

/// The names of its tensors in a checkpoint.
const NAMES: [&str; 2] = ["ngram.grams", "ngram.counts"];

/// An n-gram model: a character's probability given the `order - 1` before it.
///
/// Every smoothing here is an interpolation, from no context (uniform, 1/V) to the longest that was seen:
/// `p(w | c) = share(c, w) + backoff(c) p(w | c without its oldest token)`.
///
/// - Add-k looks at the longest context only: `p(w | c) = (n(c, w) + k) / (n(c) + k V)`.
/// - Modified Kneser-Ney: `share = (n - D(n)) / n(c)`, `backoff` the sum of the discounts D over `n(c)`. For
///   the longest context n is the count; for a shorter one it is the number of distinct tokens seen before
///   the n-gram, so that a token counts for the variety of its contexts. A context that begins at a boundary
///   has nothing before it and keeps its count. D(1), D(2) and D(3 or more) are estimated for each length.
///
/// # Source
/// Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling", equations
/// 26-29.
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
    /// One level for each context length, from 0.
    levels: Arc<[Level]>,
}

impl NGram {
    /// Counts examples and smooths the counts. The order is the examples' context length + 1; `k` is used by
    /// [`Smoothing::AddK`] only.
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
        let mut levels = LevelBuilder::new(order);
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
        counts::check(order, vocab_size, &counts.grams, &counts.counts)?;
        counts.sort(order);
        let Counts { grams, counts } = counts;
        Self::smoothed(LevelBuilder::of(order, &grams, &counts), vocab_size, boundary, smoothing, k)
    }

    /// The model of these n-grams.
    fn smoothed(
        levels: LevelBuilder,
        vocab_size: usize,
        boundary: Option<u32>,
        smoothing: Smoothing,
        k: f64,
    ) -> Result<Self> {
        let mut levels = levels.finish();
        let order = levels.len();
        if levels[order - 1].grams() == 0 {
            return Err(Error::Failed(
                "no examples to count; give more text or a lower ``order``".to_owned(),
            ));
        }
        let add_k = k * vocab_size as f64;
        for length in (0..order).rev() {
            let (shorter, longer) = levels.split_at_mut(length + 1);
            let level = &mut shorter[length];
            if let (Some(longer), true) = (longer.first(), smoothing == Smoothing::KneserNey) {
                level.count_continuations(longer, boundary.filter(|_| length > 0));
            }
            match smoothing {
                Smoothing::AddK => level.smooth([0.0; 4], add_k),
                Smoothing::KneserNey => level.smooth(discounts(level), 0.0),
            }
        }
        Ok(Self { vocab_size, levels: levels.into() })
    }

    /// `ngram.grams` and `ngram.counts`, from which [`NGram::from_tensors`] rebuilds the model. They are
    /// generated while they are written, not held in memory.
    ///
    /// # Shapes
    /// (M, order) and (M,), M the number of distinct n-grams.
    #[must_use]
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let (order, m) = (self.order(), self.levels[self.order() - 1].grams());
        let (of_grams, of_counts) = (self.clone(), self.clone());
        let grams = Computed::new(m * order, move |to| of_grams.each(|gram, _| to(gram)));
        let counts = Computed::new(m, move |to| of_counts.each(|_, n| to(&[n])));
        vec![
            NamedTensor::computed(NAMES[0], &[m, order], grams),
            NamedTensor::computed(NAMES[1], &[m], counts),
        ]
    }

    /// The model that a checkpoint holds.
    ///
    /// # Errors
    /// Tensors that are missing, too many, or do not fit the configuration and the vocabulary.
    pub fn from_tensors(settings: &NGramSettings, vocab: &Vocab, tensors: &[NamedTensor]) -> Result<Self> {
        let order = settings.order;
        let of = |name: &str| tensors.iter().find(|tensor| tensor.name == name).and_then(NamedTensor::to_u32);
        let (Some(grams), Some(counts), 2) = (of(NAMES[0]), of(NAMES[1]), tensors.len()) else {
            let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
            let message =
                format!("an n-gram model has {} of u32, not {}", NAMES.join(" and "), names.join(", "));
            return Err(Error::Failed(message));
        };
        let (size, boundary, smoothing, k) = (vocab.len(), vocab.boundary(), settings.smoothing, settings.k);
        check(order, smoothing, k)?;
        counts::check(order, size, &grams, &counts)?;
        // Sorted, as charloom writes them: nothing is copied.
        if counts::are_sorted(order, &grams) {
            return Self::smoothed(LevelBuilder::of(order, &grams, &counts), size, boundary, smoothing, k);
        }
        let counts = Counts { grams: grams.into_owned(), counts: counts.into_owned() };
        Self::from_counts(order, size, boundary, counts, smoothing, k)
    }

    /// N, the number of characters of an n-gram.
    #[must_use]
    pub fn order(&self) -> usize {
        self.levels.len()
    }

    /// The n-grams and their counts, from which [`NGram::from_counts`] rebuilds the model.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let m = self.levels[self.order() - 1].grams();
        let mut counts =
            Counts { grams: Vec::with_capacity(m * self.order()), counts: Vec::with_capacity(m) };
        self.each(|gram, n| {
            counts.grams.extend_from_slice(gram);
            counts.counts.push(n);
        });
        counts
    }

    /// Calls `found` with each n-gram, in order, and its count.
    fn each(&self, mut found: impl FnMut(&[u32], u32)) {
        let top = self.order() - 1;
        let longest = &self.levels[top];
        // `path[length]` is the index of this length's suffix of the context at hand.
        let mut path = vec![0; self.order()];
        let mut gram = vec![0; self.order()];
        for context in 0..longest.len() {
            path[top] = context;
            for length in (1..=top).rev() {
                while self.levels[length].starts[path[length - 1] + 1] as usize <= path[length] {
                    path[length - 1] += 1;
                }
                gram[top - length] = self.levels[length].oldest.at(path[length]) as u32;
            }
            for (target, n) in longest.targets(context) {
                gram[top] = target;
                found(&gram, n);
            }
        }
    }
}

impl NGram {
    /// The log-probability of each token after each context; `row` is scratch space for one distribution.
    fn log_probs(&self, contexts: &[u32], row: &mut [f64], out: &mut [f32]) {
        let length = self.order() - 1;
        for (i, out) in out.chunks_exact_mut(self.vocab_size).enumerate() {
            row.fill(1.0 / self.vocab_size as f64);
            let mut number = 0;
            self.levels[0].interpolate(number, row);
            for (level, &token) in self.levels[1..].iter().zip(contexts[i * length..][..length].iter().rev())
            {
                let Some(longer) = level.find(number, token) else { break };
                number = longer;
                level.interpolate(number, row);
            }
            for (out, p) in out.iter_mut().zip(&*row) {
                *out = libm::log(*p) as f32;
            }
        }
    }

    /// The log-probability of one token after one context.
    fn log_prob(&self, context: &[u32], token: u32) -> f32 {
        let mut p = self.levels[0].interpolate_one(0, token, 1.0 / self.vocab_size as f64);
        let mut number = 0;
        for (level, &oldest) in self.levels[1..].iter().zip(context.iter().rev()) {
            let Some(longer) = level.find(number, oldest) else { break };
            number = longer;
            p = level.interpolate_one(number, token, p);
        }
        libm::log(p) as f32
    }

    fn window_reader(&self) -> WindowReader<'_> {
        let mut row = vec![0.0; self.vocab_size];
        let predict =
            Box::new(move |contexts: &[u32], out: &mut [f32]| self.log_probs(contexts, &mut row, out));
        let predict_one = Box::new(|context: &[u32], token| self.log_prob(context, token));
        WindowReader {
            length: self.order() - 1,
            vocab: self.vocab_size,
            predict,
            predict_one: Some(predict_one),
        }
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

    fn score_split(&self, split: &Split, progress: Progress<'_>) -> Result<Vec<f32>> {
        self.window_reader().score_split(split, progress)
    }

    fn total_loss(&self, split: &Split, progress: Progress<'_>) -> Result<(f64, usize)> {
        self.window_reader().total_loss(split, progress)
    }
}

/// Checks the settings of an n-gram model.
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

/// D(0) = 0, D(1), D(2) and D(3 or more), estimated from N_i, the number of n-grams with n = i: `D(i) = i -
/// (i + 1) Y N_{i+1} / N_i`, where `Y = N_1 / (N_1 + 2 N_2)`.
///
/// Short contexts have too few rare n-grams to estimate from; then they are 0, 1/2, 1 and 3/2.
fn discounts(level: &Level) -> [f64; 4] {
    let mut having = [0.0f64; 5];
    for n in level.counts().filter(|&n| n <= 4) {
        having[n as usize] += 1.0;
    }
    let [_, one, two, three, four] = having;
    let y = one / (one + 2.0 * two);
    let estimated =
        [0.0, 1.0 - 2.0 * y * two / one, 2.0 - 3.0 * y * three / two, 3.0 - 4.0 * y * four / three];
    let sound = (1..4).all(|i| estimated[i] > 0.0 && estimated[i] <= i as f64);
    if sound { estimated } else { [0.0, 0.5, 1.0, 1.5] }
}
