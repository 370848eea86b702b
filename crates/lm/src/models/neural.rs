//! A neural model: its parameters, and layers that refer to them by id.

use std::path::Path;

use charloom_nn::{Initializer, Scope};
use charloom_tensor::{Params, Tape, rng::TorchGenerator};

use super::decoder::{self, DecoderReader, SlidingWindow};
use super::stack_reader::stack_reader;
use super::state_reader::StateReader;
use super::window::count_distinct;
use super::{
    Adapt, LanguageModel, Learning, Net, NeuralKind, Progress, Reach, Reader, Stack, Visit, adapt, kind,
};
use crate::config::{Config, ModelConfig};
use crate::data::Split;
use crate::feed::BURN_IN;
use crate::files::NamedTensor;
use crate::{Checkpoint, Error, Result};

/// The largest split, in tokens, whose equal contexts are counted to estimate the work of an evaluation.
const MAX_COUNTED: usize = 1 << 20;

/// A neural model: its parameters and its layers.
///
/// ```
/// use charloom::models::{LanguageModel, Neural};
/// use charloom::Config;
/// use charloom_tensor::rng::TorchGenerator;
///
/// let model = Neural::new(&Config::default(), 27, &mut TorchGenerator::new(42))?;
/// assert_eq!(model.params.parameter_count(), 27 * 6 + 3 * 6 * 200 + 200 + 200 * 27 + 27);
/// let mut log_probs = [0.0; 27];
/// let mut reader = model.reader();
/// let mut state = reader.start(1, 0);
/// reader.read(&mut state, &[5]);
/// reader.log_probs(&state, &mut log_probs);
/// assert!((log_probs.iter().map(|p| p.exp()).sum::<f32>() - 1.0).abs() < 1e-5);
/// # Ok::<(), charloom::Error>(())
/// ```
pub struct Neural {
    /// The parameters, and buffers such as running statistics.
    pub params: Params<f32>,
    /// The layers.
    pub net: Net,
    vocab: usize,
    /// The name of its kind, for messages.
    kind: String,
}

impl Neural {
    /// A model for a vocabulary of `vocab` characters. Its parameters are drawn in the order of their
    /// declaration.
    ///
    /// # Errors
    /// A configuration that is not valid, or of a model that counts, which has no parameters to draw.
    pub fn new(config: &Config, vocab: usize, generator: &mut TorchGenerator) -> Result<Self> {
        config.validate()?;
        super::check_sizes(config, vocab)?;
        let kind = layers(config)?;
        let init = kind.init(&config.model)?;
        let mut params = Params::new();
        let mut scope = Scope::draw(&mut params, Initializer::new(init, generator));
        let net = kind.net(&config.model, vocab, config.train.seed, &mut scope)?;
        Ok(Self { params, net, vocab, kind: config.model.kind.clone() })
    }

    /// The model of these parameters and layers.
    #[cfg(test)]
    pub(super) fn of(params: Params<f32>, net: Net, vocab: usize) -> Self {
        Self { params, net, vocab, kind: String::new() }
    }

    /// The layers over a window.
    ///
    /// # Errors
    /// A model of another kind.
    pub fn stack(&self) -> Result<&Stack> {
        self.net.stack().ok_or_else(|| {
            let of = |name| Config { model: ModelConfig::of(name), ..Config::default() };
            let names = super::all().map(|kind| kind.name());
            let others: Vec<&str> =
                names.filter(|name| super::has_window(&of(name)).unwrap_or(false)).collect();
            let (kind, others) = (&self.kind, others.join(", "));
            Error::usage(format!(
                "a model of kind {kind:?} has no layers over a window of characters; one of kind {others} has"
            ))
        })
    }

    /// The model of a checkpoint; `path` is for messages.
    ///
    /// # Errors
    /// Weights that do not fit the configuration and the vocabulary, all of them named.
    pub fn from_checkpoint(checkpoint: &Checkpoint, path: &Path) -> Result<Self> {
        Self::check(checkpoint, path)?;
        let mut model = Self::new(&checkpoint.config, checkpoint.vocab.len(), &mut TorchGenerator::new(0))
            .map_err(|error| Error::model(path, error))?;
        model.load(checkpoint, path)?;
        Ok(model)
    }

    /// Checks that the weights of a checkpoint fit its configuration and vocabulary, before anything is
    /// allocated: a small file may claim huge sizes.
    ///
    /// # Errors
    /// As [`Neural::from_checkpoint`].
    pub(crate) fn check(checkpoint: &Checkpoint, path: &Path) -> Result<()> {
        let shapes = super::shapes_and_net(&checkpoint.config, checkpoint.vocab.len());
        if let Some((shapes, _)) = shapes.map_err(|error| Error::model(path, error))? {
            let expected: Vec<_> = shapes.tensors().map(|(n, dims)| (n.to_owned(), dims.to_vec())).collect();
            checkpoint.expect(&expected, path)?;
        }
        Ok(())
    }

    /// Loads the weights of a checkpoint.
    ///
    /// # Errors
    /// As [`Neural::from_checkpoint`].
    pub fn load(&mut self, checkpoint: &Checkpoint, path: &Path) -> Result<()> {
        let entries = self.params.entries();
        let expected: Vec<_> = entries.iter().map(|e| (e.name.clone(), e.shape.dims().to_vec())).collect();
        checkpoint.expect(&expected, path)?;
        for id in self.params.ids().collect::<Vec<_>>() {
            let name = &self.params.entry(id).name;
            let data = checkpoint.tensor(name).and_then(NamedTensor::as_f32);
            self.params.write(id, data.expect("a tensor that was expected, and is there"));
        }
        Ok(())
    }

    /// Its weights, and the running statistics of its norms.
    #[must_use]
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let ids = self.params.ids().zip(self.params.entries());
        ids.map(|(id, e)| NamedTensor::f32(e.name.as_str(), e.shape.dims(), self.params.read(id))).collect()
    }

    /// The logits of the token after `tokens`. A window longer than these is filled on the left with `first`.
    ///
    /// # Errors
    /// A model that has no layers over a window.
    pub fn logits(&self, first: u32, tokens: &[u32]) -> Result<Vec<f32>> {
        let stack = self.stack()?.without_dropout();
        let mut window = vec![first; stack.context];
        window.extend(tokens);
        let tape = Tape::with(&self.params);
        tape.set_training(false);
        let window = tape.indices(&[1, stack.context], &window[tokens.len()..]);
        Ok(stack.logits(&tape, window).data())
    }
}

/// The kind of a configuration's model, if it is a neural network.
fn layers(config: &Config) -> Result<&'static dyn NeuralKind> {
    match kind(&config.model)?.learning() {
        Learning::ByGradients(kind) => Ok(kind),
        Learning::ByCounting(_) => {
            let kind = &config.model.kind;
            Err(Error::setting("model", format!("{kind} counts; it is no neural network")))
        }
        Learning::OfMembers => {
            let kind = &config.model.kind;
            Err(Error::setting("model", format!("{kind} is no neural network; name one of its members")))
        }
    }
}

impl LanguageModel for Neural {
    fn vocab_size(&self) -> usize {
        self.vocab
    }

    fn reach(&self) -> Reach {
        self.net.reach()
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        match &self.net {
            Net::Window(stack) => Box::new(stack_reader(&self.params, stack, self.vocab)),
            Net::Recurrent(net) => {
                let (widths, net) = (net.state_widths(), net.without_dropout());
                Box::new(StateReader::new(&self.params, self.vocab, &widths, |tape, tokens, before| {
                    net.read(tape, tokens, None, before)
                }))
            }
            Net::Attention(decoder) => Box::new(DecoderReader::new(&self.params, decoder)),
            Net::Cell(cell) => Box::new(StateReader::new(
                &self.params,
                self.vocab,
                &[cell.width()],
                |tape, tokens, before| {
                    let [after, logits] = cell.step_f32(tape, tokens, before[0]);
                    (vec![after], logits)
                },
            )),
        }
    }

    fn score_split(&self, split: &Split, progress: Progress<'_>) -> Result<Vec<f32>> {
        match &self.net {
            Net::Window(stack) => stack_reader(&self.params, stack, self.vocab).score_split(split, progress),
            Net::Attention(decoder) => decoder::score_split(&self.params, decoder, split, progress),
            Net::Recurrent(_) | Net::Cell(_) => {
                super::score::score_split(&mut *self.reader(), self.vocab, split, progress)
            }
        }
    }

    fn evaluation_work(&self, split: &Split) -> Result<usize> {
        match (&self.net, split.tokens().len()) {
            // Equal contexts are computed once. In more tokens than that, even counting them takes long.
            (Net::Window(stack), 1..=MAX_COUNTED) => count_distinct(split, stack.context),
            (Net::Attention(decoder), _) => Ok(decoder::work(decoder, split)),
            (_, tokens) => Ok(tokens),
        }
    }

    fn predict_adapting(
        &self,
        split: &Split,
        adapt: &Adapt<'_>,
        visit: Visit<'_>,
        progress: Progress<'_>,
    ) -> Result<()> {
        match &self.net {
            Net::Window(stack) => adapt::predict_windows(&self.params, stack, split, adapt, visit, progress),
            Net::Recurrent(_) if split.boundary().is_none() => {
                adapt::predict_streams(&self.params, &self.net, split, adapt, visit, progress)
            }
            // A line longer than a window is read in windows: `before` tokens of context, then a segment.
            Net::Recurrent(_) => {
                let (segment, before) = (adapt.segment, BURN_IN);
                let sliding_window = SlidingWindow { context: before + segment, stride: segment };
                adapt::predict_trees(&self.params, &self.net, sliding_window, split, adapt, visit, progress)
            }
            Net::Attention(decoder) => adapt::predict_trees(
                &self.params,
                &self.net,
                decoder.sliding_window,
                split,
                adapt,
                visit,
                progress,
            ),
            Net::Cell(_) => Ok(()),
        }
    }

    fn can_adapt(&self, _: &Split) -> bool {
        !matches!(self.net, Net::Cell(_))
    }

    fn total_loss(&self, split: &Split, progress: Progress<'_>) -> Result<(f64, usize)> {
        match &self.net {
            Net::Window(stack) => stack_reader(&self.params, stack, self.vocab).total_loss(split, progress),
            Net::Attention(decoder) => decoder::total_loss(&self.params, decoder, split, progress),
            Net::Recurrent(_) | Net::Cell(_) => {
                Ok(super::score::total_loss(self.score_split(split, progress)?))
            }
        }
    }
}
