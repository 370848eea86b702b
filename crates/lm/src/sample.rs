//! New words, or new text, drawn from a model.

use std::collections::{HashMap, HashSet, VecDeque};

use charloom_tensor::rng::{StreamRng, TorchGenerator};
use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::config::Stream;
use crate::data::Mode;
use crate::data::Splits;
use crate::data::Vocab;
use crate::error::{Error, Result};
use crate::models::LanguageModel;

/// How many words in a row may be no news before [`SampleOptions::novel`] and [`SampleOptions::unique`] give up.
pub const ATTEMPTS: u32 = 10_000;

/// How many words are drawn side by side.
const BATCH: u64 = 1024;

/// How many numbers of distributions are kept, 32 MiB.
const KEPT: usize = 1 << 23;

/// What to sample, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleOptions {
    /// How many words or texts.
    pub n: u64,
    /// The generators' seed.
    pub seed: u64,
    /// Logits are divided by it: below 1 likelier, above 1 stranger; 0 takes the likeliest, and draws nothing.
    pub temperature: f64,
    /// Only the k likeliest tokens; 0: all.
    pub top_k: usize,
    /// Only the likeliest tokens that together have this probability, after `top_k`; 1: all.
    pub top_p: f64,
    /// What each begins with.
    pub prefix: String,
    /// The fewest characters of a word: before, the boundary is not drawn.
    pub min_length: usize,
    /// The most characters, the prefix with them; a word that reaches it is cut off, a text ends there.
    pub max_length: usize,
    /// Leave out words of the training split.
    pub novel: bool,
    /// Leave out words that were sampled before.
    pub unique: bool,
    /// Where the random numbers come from.
    pub stream: Stream,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            n: 20,
            seed: 2_147_483_647,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            prefix: String::new(),
            min_length: 0,
            max_length: 500,
            novel: false,
            unique: false,
            stream: Stream::Words,
        }
    }
}

/// Whether a sampled word is one that the data has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Novelty {
    /// In no split.
    New,
    /// In the training split.
    InTrain,
    /// In the validation split, and not in training.
    InVal,
    /// In the test split only.
    InTest,
}

impl std::fmt::Display for Novelty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::InTrain => "in train",
            Self::InVal => "in validation",
            Self::InTest => "in test",
        })
    }
}

/// The words of the splits, to tell new ones by.
#[derive(Clone, Debug, Default)]
pub struct Known {
    words: HashMap<Vec<u32>, Novelty>,
}

impl Known {
    /// The words of these splits; none of a text.
    #[must_use]
    pub fn of(splits: &Splits) -> Self {
        let mut words = HashMap::new();
        let parts = [
            (&splits.test, Novelty::InTest),
            (&splits.val, Novelty::InVal),
            (&splits.train, Novelty::InTrain),
        ];
        for (split, novelty) in parts {
            words.extend(split.words().map(|word| (word.to_vec(), novelty)));
        }
        Self { words }
    }

    fn novelty(&self, word: &[u32]) -> Novelty {
        self.words.get(word).copied().unwrap_or(Novelty::New)
    }
}

/// A word or text that was sampled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// The characters, the prefix with them.
    pub text: String,
    /// Their tokens, without boundaries.
    #[serde(skip)]
    pub tokens: Vec<u32>,
    /// The logarithm of the model's probability of what was drawn (after the prefix, and with the boundary),
    /// whatever the temperature.
    ///
    /// # Units
    /// Nats.
    pub log_prob: f64,
    /// Whether a word was cut off at the greatest length.
    pub truncated: bool,
    /// Whether it is known; none if there is nothing to compare with.
    pub novelty: Option<Novelty>,
}

/// An iterator over samples; it draws them in batches, and keeps no more than one.
///
/// In [`Mode::Lines`] a word begins after T boundaries and ends at the next. In [`Mode::Text`] a text begins after T
/// line breaks ([`Vocab::start`]) and has `max_length` characters.
#[derive(Debug)]
pub struct Sampler<'a, M: ?Sized> {
    model: &'a mut M,
    vocab: &'a Vocab,
    options: SampleOptions,
    known: Option<&'a Known>,
    /// The prefix's tokens.
    prefix: Vec<u32>,
    torch: TorchGenerator,
    /// The next word to draw, and how many are still wanted.
    next: u64,
    wanted: u64,
    /// How many words in a row were no news.
    failures: u32,
    seen: HashSet<Vec<u32>>,
    ready: VecDeque<Sample>,
    rows: Rows,
}

/// The distributions met so far, by context.
#[derive(Debug, Default)]
struct Rows {
    /// (Context, and 1 if the boundary is not allowed) to a row of `log_probs` and `probs`.
    numbers: FxHashMap<Vec<u32>, usize>,
    log_probs: Vec<f32>,
    /// What is drawn from: tempered and cut, not normalized.
    probs: Vec<f32>,
}

/// A word while it is drawn.
struct Draft {
    tokens: Vec<u32>,
    log_prob: f64,
    random: StreamRng,
    done: bool,
    truncated: bool,
}

impl<'a, M: LanguageModel + ?Sized> Sampler<'a, M> {
    /// Prepares to sample; `known` is what [`Sample::novelty`] is told by.
    ///
    /// # Errors
    /// Options out of range; a prefix with unknown characters or as long as the greatest length; `novel` without
    /// `known`; `novel` and `unique` for texts.
    pub fn new(
        model: &'a mut M,
        vocab: &'a Vocab,
        options: SampleOptions,
        known: Option<&'a Known>,
    ) -> Result<Self> {
        let SampleOptions { temperature, top_p, min_length, max_length, .. } = options;
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::usage(format!("--temperature {temperature}: must be a number from 0 up")));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Error::usage(format!("--top-p {top_p}: must be above 0 and at most 1")));
        }
        let prefix = vocab.encode(&options.prefix);
        let prefix = prefix.map_err(|e| Error::usage(format!("--prefix {:?}: {e}", options.prefix)))?;
        if max_length < min_length.max(prefix.len() + 1) {
            return Err(Error::usage(format!(
                "--max-length {max_length}: must be at least --min-length, and more than the length of --prefix"
            )));
        }
        if vocab.mode() == Mode::Text && (options.novel || options.unique) {
            return Err(Error::usage(
                "--novel and --unique are for words, and this model writes running text",
            ));
        }
        if options.novel && known.is_none() {
            return Err(Error::usage("--novel needs the training data to compare with; name it with --data"));
        }
        Ok(Self {
            torch: TorchGenerator::new(options.seed),
            wanted: options.n,
            model,
            vocab,
            options,
            known,
            prefix,
            next: 0,
            failures: 0,
            seen: HashSet::new(),
            ready: VecDeque::new(),
            rows: Rows::default(),
        })
    }

    /// Whether it ended before n because [`ATTEMPTS`] words in a row were no news.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.failures >= ATTEMPTS
    }

    /// Draws the next words, side by side.
    fn batch(&mut self) -> Result<()> {
        let size = match self.options.stream {
            Stream::Words => self.wanted.min(BATCH).min((KEPT / self.model.vocab_size()) as u64).max(1),
            Stream::Torch => 1,
        };
        let mut drafts: Vec<Draft> = (self.next..self.next + size)
            .map(|i| Draft {
                tokens: self.prefix.clone(),
                log_prob: 0.0,
                random: StreamRng::new(self.options.seed, i),
                done: false,
                truncated: false,
            })
            .collect();
        self.next += size;
        let (mut keys, mut numbers) = (Vec::new(), Vec::new());
        while drafts.iter().any(|draft| !draft.done) {
            keys.clear();
            for draft in drafts.iter().filter(|draft| !draft.done) {
                self.push_key(&draft.tokens, &mut keys);
            }
            self.look_up(&keys, &mut numbers)?;
            for (draft, &row) in drafts.iter_mut().filter(|draft| !draft.done).zip(&numbers) {
                self.draw(draft, row);
            }
        }
        for draft in drafts {
            self.finish(draft);
        }
        Ok(())
    }

    /// Appends the context after these tokens, and 1 if the boundary is not allowed yet.
    fn push_key(&self, tokens: &[u32], keys: &mut Vec<u32>) {
        let length = self.model.context();
        let have = tokens.len().min(length);
        keys.resize(keys.len() + length - have, self.vocab.start());
        keys.extend_from_slice(&tokens[tokens.len() - have..]);
        keys.push(u32::from(self.vocab.boundary().is_some() && tokens.len() < self.options.min_length));
    }

    /// The row of each key; the model is asked for those not met yet, all at once.
    fn look_up(&mut self, keys: &[u32], numbers: &mut Vec<usize>) -> Result<()> {
        let (length, vocab) = (self.model.context(), self.model.vocab_size());
        let keys = keys.chunks_exact(length + 1);
        if self.rows.probs.len() + keys.len() * vocab > KEPT {
            self.rows = Rows::default();
        }
        let rows = &mut self.rows;
        let old = rows.numbers.len();
        let (mut contexts, mut forbidden) = (Vec::new(), Vec::new());
        numbers.clear();
        for key in keys {
            let number = rows.numbers.get(key).copied().unwrap_or_else(|| {
                contexts.extend_from_slice(&key[..length]);
                forbidden.push(key[length] == 1);
                rows.numbers.insert(key.to_vec(), rows.numbers.len());
                rows.numbers.len() - 1
            });
            numbers.push(number);
        }
        let new = rows.numbers.len() - old;
        if new == 0 {
            return Ok(());
        }
        rows.log_probs.resize((old + new) * vocab, 0.0);
        self.model.log_probs(&contexts, &mut rows.log_probs[old * vocab..]);
        for (i, forbidden) in forbidden.into_iter().enumerate() {
            let row = &rows.log_probs[(old + i) * vocab..][..vocab];
            if row.iter().any(|p| p.is_nan()) {
                let message = "the model gives a probability that is not a number; it is broken";
                return Err(Error::Failed(message.to_owned()));
            }
            distribution(row, forbidden, &self.options, &mut rows.probs);
        }
        Ok(())
    }

    fn draw(&mut self, draft: &mut Draft, row: usize) {
        let vocab = self.model.vocab_size();
        let probs = &self.rows.probs[row * vocab..][..vocab];
        let token = if self.options.temperature == 0.0 {
            probs.iter().position(|&p| p > 0.0).unwrap_or(0)
        } else {
            match self.options.stream {
                Stream::Torch => self.torch.multinomial(probs),
                Stream::Words => category(probs, draft.random.uniform_f64()),
            }
        };
        draft.log_prob += f64::from(self.rows.log_probs[row * vocab + token]);
        if Some(token as u32) == self.vocab.boundary() {
            draft.done = true;
            return;
        }
        draft.tokens.push(token as u32);
        draft.done = draft.tokens.len() >= self.options.max_length;
        draft.truncated = draft.done && self.vocab.boundary().is_some();
    }

    /// Keeps a word, if it is wanted.
    fn finish(&mut self, draft: Draft) {
        if self.wanted == 0 || self.gave_up() {
            return;
        }
        let words = self.vocab.mode() == Mode::Lines;
        let novelty = self.known.filter(|_| words).map(|known| known.novelty(&draft.tokens));
        let old = self.options.novel && novelty == Some(Novelty::InTrain);
        if old || (self.options.unique && !self.seen.insert(draft.tokens.clone())) {
            self.failures += 1;
            return;
        }
        self.failures = 0;
        self.wanted -= 1;
        self.ready.push_back(Sample {
            text: self.vocab.decode(&draft.tokens),
            tokens: draft.tokens,
            log_prob: draft.log_prob,
            truncated: draft.truncated,
            novelty,
        });
    }
}

impl<M: LanguageModel + ?Sized> Iterator for Sampler<'_, M> {
    type Item = Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.wanted > 0 && !self.gave_up() {
            if let Err(e) = self.batch() {
                self.wanted = 0;
                return Some(Err(e));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// Appends what is drawn from: `exp(log p / temperature)` of the tokens that are allowed, else 0.
/// At temperature 0 only the likeliest (the first of equals) is.
fn distribution(log_probs: &[f32], no_boundary: bool, options: &SampleOptions, probs: &mut Vec<f32>) {
    let start = probs.len();
    let allowed = |token: usize| !(no_boundary && token == 0);
    let best =
        (0..log_probs.len()).filter(|&token| allowed(token)).map(|t| log_probs[t]).fold(f32::MIN, f32::max);
    if options.temperature == 0.0 {
        let likeliest = (0..log_probs.len()).position(|token| allowed(token) && log_probs[token] == best);
        probs.extend((0..log_probs.len()).map(|token| f32::from(Some(token) == likeliest)));
        return;
    }
    // Untempered, they are the probabilities themselves; tempered, the greatest is 1, so that nothing overflows.
    let shift = if options.temperature == 1.0 && !no_boundary { 0.0 } else { f64::from(best) };
    probs.extend(log_probs.iter().enumerate().map(|(token, &p)| {
        if allowed(token) { ((f64::from(p) - shift) / options.temperature).exp() as f32 } else { 0.0 }
    }));
    let row = &mut probs[start..];
    if options.top_k == 0 && options.top_p == 1.0 {
        return;
    }
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    let k = if options.top_k == 0 { row.len() } else { options.top_k.min(row.len()) };
    let total: f64 = order[..k].iter().map(|&token| f64::from(row[token])).sum();
    let mut sum = 0.0;
    let enough = order[..k].iter().position(|&token| {
        sum += f64::from(row[token]);
        sum >= options.top_p * total
    });
    for &token in &order[enough.map_or(k, |last| last + 1).min(k)..] {
        row[token] = 0.0;
    }
}

/// The first category whose cumulative probability is above `u` of the whole, u in [0, 1).
fn category(probs: &[f32], u: f64) -> usize {
    let total: f64 = probs.iter().map(|&p| f64::from(p)).sum();
    let mut sum = 0.0;
    let above = probs.iter().position(|&p| {
        sum += f64::from(p);
        sum > u * total
    });
    above.or_else(|| probs.iter().rposition(|&p| p > 0.0)).unwrap_or(0)
}
