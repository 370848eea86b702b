//! Models: they read a text and predict the distribution of each next token.

mod adapt;
mod bow;
mod decoder;
mod kinds;
mod linear;
mod mixture;
mod mlp;
mod net;
mod neural;
mod ngram;
mod open;
mod recurrent;
mod recurrent_cell;
mod score;
mod shapes;
mod stack;
mod stack_reader;
mod state;
mod state_reader;
mod transformer;
mod wavenet;
mod window;

pub use adapt::{Adapt, AdaptRule};
pub use bow::BowSettings;
pub use decoder::{Attention, Block, Decoder, Mlp, SlidingWindow, TokenMixer};
pub use kinds::{
    CountingKind, Kind, Learning, NeuralKind, all, check, context, fill, fill_from_data, kind, register,
};
pub use linear::LinearSettings;
pub(crate) use mixture::member_prefix;
pub use mixture::{
    FittedWeights, Member, MemberSummary, Mixture, MixtureSettings, OpinionPool, Power, Predictions,
    fit_powers, fit_weights, mean_scores, members, predictions,
};
pub use mlp::MlpSettings;
pub use net::Net;
pub(crate) use net::{Recorded, window_targets};
pub use neural::Neural;
pub use ngram::{Counts, NGram, NGramSettings};
pub use open::{count, generator, has_no_steps, open, refuse_mixture};
pub use recurrent::{RecurrentNet, RecurrentSettings};
pub use recurrent_cell::{DynRecurrentCell, Precision, RecurrentCell};
pub use score::Visit;
pub(crate) use score::{predict_text, score_words};
pub(crate) use shapes::shapes_and_net;
pub use shapes::{
    check_sizes, has_window, multiplications, parameters, reads_whole_words, resolve_feed, steps_per_epoch,
};
pub use stack::{Stack, Traced};
pub use state::{Distributions, State};
pub use transformer::TransformerSettings;
pub use wavenet::WaveNetSettings;

use crate::Result;
use crate::data::Split;

/// How far back a model looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// At exactly the last T tokens; before the text's beginning the first token is repeated.
    Window(usize),
    /// At the last T tokens, or fewer at the beginning.
    AtMost(usize),
    /// At everything it has read.
    Unbounded,
}

/// A model of the next token given those before it.
///
/// A model is read-only and can be shared by threads; the working memory of reading is in its [`Reader`]s.
///
/// The likeliest character after `emm`:
///
/// ```
/// use charloom::prelude::*;
///
/// let model = ModelConfig::of("ngram").with("order", 3);
/// let mut config = Config { model, ..Config::default() };
/// let data = load_data(&mut config)?;
/// let (model, _) = models::count(&config, &data)?;
///
/// let mut reader = model.reader();
/// let mut state = reader.start(1, data.vocab.start());
/// for token in data.vocab.encode("emm")? {
///     reader.read(&mut state, &[token]);
/// }
/// let mut log_probs = vec![0.0; model.vocab_size()];
/// reader.log_probs(&state, &mut log_probs);
/// let likeliest = (0..log_probs.len()).max_by(|&a, &b| log_probs[a].total_cmp(&log_probs[b])).unwrap();
/// assert_eq!(data.vocab.characters()[likeliest], 'a');
/// # Ok::<(), Error>(())
/// ```
pub trait LanguageModel: Send + Sync {
    /// V, the number of tokens.
    fn vocab_size(&self) -> usize;

    /// How far back it looks.
    fn reach(&self) -> Reach;

    /// A reader of this model, with working memory of its own.
    fn reader(&self) -> Box<dyn Reader + '_>;

    /// The log-probability of every scored token of a split given those before it, in order. Scored are each
    /// word's characters and the boundary that ends it, or every character of a text but its first. `progress` is
    /// called with the share done.
    ///
    /// # Units
    /// Nats.
    ///
    /// # Errors
    /// Only those of `progress`.
    fn score_split(&self, split: &Split, progress: Progress<'_>) -> Result<Vec<f32>> {
        score::score_split(&mut *self.reader(), self.vocab_size(), split, progress)
    }

    /// About how many tokens are computed to score a split.
    ///
    /// # Errors
    /// More tokens than 32 bits count.
    fn evaluation_work(&self, split: &Split) -> Result<usize> {
        Ok(split.tokens().len())
    }

    /// Scores a split by dynamic evaluation: the model learns from each segment after it is scored, and is
    /// unchanged in the end. Calls `visit` for each scored token, in order. Does nothing if the model cannot
    /// adapt.
    ///
    /// # Errors
    /// As [`LanguageModel::score_split`].
    fn predict_adapting(&self, _: &Split, _: &Adapt<'_>, _: Visit<'_>, _: Progress<'_>) -> Result<()> {
        Ok(())
    }

    /// Whether this split can be scored by [`LanguageModel::predict_adapting`].
    fn can_adapt(&self, _: &Split) -> bool {
        false
    }

    /// As [`LanguageModel::score_split`], by dynamic evaluation: see [`LanguageModel::predict_adapting`]. None
    /// if the model cannot adapt.
    ///
    /// # Units
    /// Nats.
    ///
    /// # Errors
    /// As [`LanguageModel::score_split`].
    fn score_adapting(
        &self,
        split: &Split,
        adapt: &Adapt<'_>,
        progress: Progress<'_>,
    ) -> Result<Option<Vec<f32>>> {
        score::score_adapting(self, split, adapt, progress)
    }

    /// The sum of -log p over the scored tokens of a split, and their number.
    ///
    /// # Units
    /// Nats.
    ///
    /// # Errors
    /// As [`LanguageModel::score_split`].
    fn total_loss(&self, split: &Split, progress: Progress<'_>) -> Result<(f64, usize)> {
        Ok(score::total_loss(self.score_split(split, progress)?))
    }
}

/// Called now and then with the share done, from 0 to 1; its error aborts the computation.
pub type Progress<'a> = &'a mut dyn FnMut(f64) -> Result<()>;

/// Reads several sequences side by side.
///
/// A sequence's results are the same bits whatever sequences are read beside it.
pub trait Reader {
    /// The states of `n` sequences that have read only `first`: the boundary of words, or a text's first
    /// token.
    fn start(&mut self, n: usize, first: u32) -> State;

    /// Reads one more token in each sequence.
    fn read(&mut self, state: &mut State, tokens: &[u32]);

    /// The log-probabilities of the next token in each sequence.
    ///
    /// # Shapes
    /// `out`: (n, V)
    ///
    /// # Units
    /// Nats.
    fn log_probs(&mut self, state: &State, out: &mut [f32]);

    /// Finds each sequence's distribution of the next token in `known`. Equal ones can share an index, so
    /// that they are computed once.
    fn distributions(&mut self, state: &State, vocab: usize, known: &mut Distributions) {
        known.fill(state.rows, vocab, |out| self.log_probs(state, out));
    }

    /// The windows that it reads in: a chunk of a text has those of the whole text if it begins at a multiple of
    /// their stride. Without windows the stride is 1.
    fn sliding_window(&self) -> SlidingWindow {
        SlidingWindow { context: 1, stride: 1 }
    }
}
