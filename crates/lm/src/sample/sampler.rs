use std::collections::{HashSet, VecDeque};
use std::ops::RangeInclusive;

use charloom_tensor::rng::{StreamRng, TorchGenerator};

use super::weights::{TokenWeights, sample_categorical};
use super::{KnownWords, Novelty, Sample, SampleOptions};
use crate::config::RandomStream;
use crate::data::{Mode, Vocab};
use crate::error::Result;
use crate::models::{Distributions, LanguageModel, Reader, State};

/// How many words in a row [`SampleOptions::novel`] and [`SampleOptions::unique`] may reject before the
/// sampler gives up.
pub const MAX_ATTEMPTS: u32 = 10_000;
/// A search for samples that match a pattern gives up after this many characters without a match, counted as
/// by [`Sample::drawn`].
pub const MAX_MISSED_CHARACTERS: u64 = 1 << 22;

/// How many words are drawn side by side: at first few, so that these come soon, then as many as were drawn
/// so far.
const BATCHES: RangeInclusive<u64> = 32..=1024;
/// The most numbers in the distributions of a batch: 16 MiB.
const NUMBERS: usize = 1 << 22;

/// An iterator over samples; it draws them in batches, and keeps no more than one.
///
/// In [`Mode::Lines`] a word begins after a boundary and ends at the next. In [`Mode::Text`] a text begins
/// after a line break ([`Vocab::start`]) and has `max_length` characters.
///
/// ```
/// use charloom::data::{Data, DataConfig};
/// use charloom::models::{NGram, count};
/// use charloom::sample::{SampleOptions, Sampler};
/// use charloom::Config;
///
/// let config = Config::from_toml("[model]\nkind = 'ngram'", "my.toml".as_ref())?;
/// let data = Data::load(&config.data, None)?;
/// let (model, _) = count(&config, &data)?;
/// let options = SampleOptions { n: 3, ..SampleOptions::default() };
/// let words = Sampler::new(&*model, &data.vocab, options, None)?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(words.len(), 3);
/// # Ok::<(), charloom::Error>(())
/// ```
pub struct Sampler<'a> {
    vocab: &'a Vocab,
    options: SampleOptions,
    known: Option<&'a KnownWords>,
    reader: Box<dyn Reader + 'a>,
    /// V
    vocab_size: usize,
    /// The tokens that each word begins with.
    prefix: Vec<u32>,
    /// The reader's state after the prefix.
    beginning: State,
    distributions: Distributions,
    token_weights: TokenWeights,
    torch: TorchGenerator,
    /// The number of the next word to draw.
    next: u64,
    /// How many accepted words are still missing.
    wanted: u64,
    /// How many words in a row were rejected.
    failures: u32,
    seen: HashSet<Vec<u32>>,
    ready: VecDeque<Sample>,
}

/// A word while it is drawn.
struct Draft {
    tokens: Vec<u32>,
    log_prob: f64,
    random: StreamRng,
    truncated: bool,
}

impl<'a> Sampler<'a> {
    /// A sampler; [`Sample::novelty`] is found by comparing with `known`.
    ///
    /// # Errors
    /// Options out of range; a prefix with unknown characters or as long as `max_length`; `novel` without
    /// `known`; `novel` and `unique` for texts.
    pub fn new(
        model: &'a dyn LanguageModel,
        vocab: &'a Vocab,
        options: SampleOptions,
        known: Option<&'a KnownWords>,
    ) -> Result<Self> {
        let prefix = options.check(vocab, known.is_some())?;
        let mut reader = model.reader();
        let mut beginning = reader.start(1, vocab.start());
        prefix.iter().for_each(|&token| reader.read(&mut beginning, &[token]));
        Ok(Self {
            torch: TorchGenerator::new(options.seed),
            wanted: options.n,
            vocab,
            options,
            known,
            reader,
            vocab_size: model.vocab_size(),
            prefix,
            beginning,
            distributions: Distributions::default(),
            token_weights: TokenWeights::default(),
            next: 0,
            failures: 0,
            seen: HashSet::new(),
            ready: VecDeque::new(),
        })
    }

    /// Draws from this generator instead of one with the options' seed; [`RandomStream::Words`] uses neither.
    #[must_use]
    pub fn with_generator(mut self, generator: TorchGenerator) -> Self {
        self.torch = generator;
        self
    }

    /// Whether it ended before n words because [`MAX_ATTEMPTS`] words in a row were rejected.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.failures >= MAX_ATTEMPTS
    }

    /// How many words or texts were drawn so far, including rejected ones and those not yet returned.
    #[must_use]
    pub fn tried(&self) -> u64 {
        self.next
    }

    /// Draws the next words, side by side.
    fn batch(&mut self) -> Result<()> {
        let size = match self.options.stream {
            RandomStream::Words => {
                let most = self.wanted.min((NUMBERS / self.vocab_size) as u64).max(1);
                self.next.clamp(*BATCHES.start(), *BATCHES.end()).min(most)
            }
            RandomStream::Torch | RandomStream::TorchCdf => 1,
        };
        let draft = |i| Draft {
            tokens: self.prefix.clone(),
            log_prob: 0.0,
            random: StreamRng::new(self.options.seed, i),
            truncated: false,
        };
        let mut drafts: Vec<Draft> = (self.next..self.next + size).map(draft).collect();
        self.next += size;
        // The draft of each row of the state; the rows whose drafts go on, and the tokens they read next.
        let mut drafts_of: Vec<usize> = (0..drafts.len()).collect();
        let (mut going_on, mut tokens) = (Vec::with_capacity(drafts.len()), Vec::with_capacity(drafts.len()));
        let mut state = self.beginning.select(&vec![0; drafts.len()]);
        loop {
            self.reader.distributions(&state, self.vocab_size, &mut self.distributions);
            for (row, &draft) in drafts_of.iter().enumerate() {
                let draft = &mut drafts[draft];
                let number = self.distributions.rows()[row];
                let token = self.draw(draft, number)?;
                if draft.add(token, self.vocab.boundary(), self.options.max_length) {
                    going_on.push(row);
                    tokens.push(token);
                }
            }
            if going_on.is_empty() {
                break;
            }
            if going_on.len() < drafts_of.len() {
                state = state.select(&going_on);
                drafts_of = going_on.iter().map(|&row| drafts_of[row]).collect();
            }
            self.reader.read(&mut state, &tokens);
            going_on.clear();
            tokens.clear();
        }
        drafts.into_iter().for_each(|draft| self.finish(draft));
        Ok(())
    }

    /// Draws a draft's next token from the distribution of this number.
    fn draw(&mut self, draft: &mut Draft, number: usize) -> Result<u32> {
        let Self { distributions, token_weights, options, .. } = self;
        let no_boundary = self.vocab.boundary().is_some() && draft.tokens.len() < options.min_length;
        let weights = token_weights.of(distributions, number, no_boundary, options)?;
        let token = if options.temperature == 0.0 {
            weights.iter().position(|&w| w > 0.0).unwrap_or(0)
        } else {
            match options.stream {
                RandomStream::Torch => self.torch.multinomial_exponential(weights),
                RandomStream::TorchCdf => self.torch.multinomial_cumulative(weights),
                RandomStream::Words => sample_categorical(weights, draft.random.uniform_f64()),
            }
        };
        draft.log_prob += f64::from(distributions.log_probs(number)[token]);
        Ok(token as u32)
    }

    /// Adds a word to `ready`, unless it is rejected.
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

impl Draft {
    /// Adds a token; returns whether the draft goes on after it.
    fn add(&mut self, token: u32, boundary: Option<u32>, max_length: usize) -> bool {
        if Some(token) == boundary {
            return false;
        }
        self.tokens.push(token);
        let goes_on = self.tokens.len() < max_length;
        self.truncated = !goes_on && boundary.is_some();
        goes_on
    }
}

impl std::fmt::Debug for Sampler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler")
            .field("options", &self.options)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Iterator for Sampler<'_> {
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
