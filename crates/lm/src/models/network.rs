//! What the neural models share: parameters on a tape, and layers that know where.

use std::path::Path;
use std::sync::Arc;

use charloom_nn::{
    AllReduce, BatchNorm1d, Embedding, Init, Initializer, Layer, Linear, ReduceScatter, Sequential,
};
use charloom_tensor::kernels::Partners;
use charloom_tensor::{Element, Graph, Id, Indices, Tape, Var, can_be_cut, rng::TorchGenerator};

use super::{LanguageModel, linear, mlp};
use crate::config::{self, Config, ModelKind};
use crate::files::NamedTensor;
use crate::{Checkpoint, Error, Result};

/// The most rows that are evaluated at once.
const ROWS: usize = 512;
/// The most numbers in the widest layer of that.
const NUMBERS: usize = 1 << 20;

/// A neural model, [`ModelKind::Mlp`] or [`ModelKind::Linear`], with its parameters.
///
/// ```
/// use charloom::models::{LanguageModel, Network};
/// use charloom::Config;
/// use charloom_tensor::rng::TorchGenerator;
///
/// let mut network = Network::<f32>::new(&Config::default(), 27, &mut TorchGenerator::new(42))?;
/// assert_eq!(network.tape().parameter_count(), 27 * 6 + 3 * 6 * 200 + 200 + 200 * 27 + 27);
/// let mut log_probs = [0.0; 27];
/// network.log_probs(&[0, 0, 5], &mut log_probs);
/// assert!((log_probs.iter().map(|p| p.exp()).sum::<f32>() - 1.0).abs() < 1e-5);
/// # Ok::<(), charloom::Error>(())
/// ```
pub struct Network<E: Element = f32> {
    tape: Tape<E>,
    context: usize,
    vocab: usize,
    /// None: the input is one-hot.
    embedding: Option<Embedding>,
    layers: Sequential,
    /// The numbers in the widest layer of one row.
    widest: usize,
    /// Recorded when first asked for probabilities.
    judge: Option<Judge>,
}

/// A layer's output on a recorded way through a network.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The layer's path, as `layers.1`.
    pub name: String,
    /// What it computes, as torch names it: `Linear`, `Tanh`.
    pub op: &'static str,
    /// (B, H)
    pub output: Id,
}

/// The recorded forward pass that [`LanguageModel::log_probs`] replays.
#[derive(Clone, Copy)]
struct Judge {
    contexts: Indices,
    logits: Id,
    graph: Graph,
    rows: usize,
}

impl<E: Element> Network<E> {
    /// A model for a vocabulary of `vocab` characters, its parameters drawn in the order of their declaration.
    ///
    /// # Errors
    /// A configuration that is not valid, or of an n-gram model, which has no parameters to draw.
    pub fn new(config: &Config, vocab: usize, generator: &mut TorchGenerator) -> Result<Self> {
        config.validate()?;
        config.validate_sizes(vocab)?;
        let tape = Tape::new();
        let model = &config.model;
        let mut init = Initializer::new(
            match model.init {
                config::Init::UnitNormal => Init::UnitNormal,
                config::Init::KaimingNormal => Init::KaimingNormal,
                config::Init::Torch => Init::Torch,
                config::Init::UnitColumns => Init::UnitColumns,
            },
            generator,
        );
        let (embedding, layers) = match model.kind {
            ModelKind::Mlp => mlp::layers(&tape, model, vocab, config.train.seed, &mut init),
            ModelKind::Linear => (None, linear::layers(&tape, model, vocab, &mut init)),
            ModelKind::Ngram => return Err(Error::usage("--model ngram counts; it is no neural network")),
        };
        let input = model.context * embedding.map_or(vocab, |_| model.embed);
        let hidden = if model.kind == ModelKind::Mlp { model.hidden.as_slice() } else { &[] };
        let widest = hidden.iter().copied().fold(input.max(vocab), usize::max);
        Ok(Self { tape, context: model.context, vocab, embedding, layers, widest, judge: None })
    }

    /// Where its parameters are.
    #[must_use]
    pub fn tape(&self) -> &Tape<E> {
        &self.tape
    }

    /// The numbers in the widest layer of one row.
    #[must_use]
    pub fn widest(&self) -> usize {
        self.widest
    }

    /// Records the logits of the character after each context.
    ///
    /// # Shapes
    /// contexts (B, T) -> (B, V)
    pub fn logits(&self, contexts: Indices) -> Var<'_, E> {
        self.layers.forward(self.input(contexts))
    }

    /// Records every layer for itself, to be looked at: what [`Network::logits`] does, without dropout.
    #[must_use]
    pub fn trace(&self, contexts: Indices) -> Vec<Traced> {
        let mut x = self.input(contexts);
        let embedding =
            self.embedding.map(|_| Traced { name: "embedding".to_owned(), op: "Embedding", output: x.id() });
        let mut traced: Vec<Traced> = embedding.into_iter().collect();
        for (i, layer) in self.layers.layers.iter().enumerate() {
            if !matches!(layer, Layer::Dropout(_)) {
                x = layer.forward(x);
                traced.push(Traced { name: format!("layers.{i}"), op: layer.name(), output: x.id() });
            }
        }
        traced
    }

    /// (B, T) -> (B, T E), or one-hot (B, T V)
    fn input(&self, contexts: Indices) -> Var<'_, E> {
        let x = match &self.embedding {
            Some(embedding) => embedding.forward(&self.tape, contexts),
            None => self.tape.one_hot(contexts, self.vocab),
        };
        x.flatten(1)
    }

    fn judge(&self) -> Judge {
        let rows = (NUMBERS / self.widest).clamp(1, ROWS);
        let contexts = self.tape.indices(&[rows, self.context], &vec![0; rows * self.context]);
        let mark = self.tape.mark();
        // Dropout does nothing in evaluation, so it is left out.
        let layers = self.layers.layers.iter().filter(|layer| !matches!(layer, Layer::Dropout(_)));
        let logits = layers.fold(self.input(contexts), |x, layer| layer.forward(x)).id();
        let graph = self.tape.graph_since(mark);
        self.tape.fuse(graph, &[logits]);
        Judge { contexts, logits, graph, rows }
    }
}

impl Network<f32> {
    /// Whether two partners can have a half of each hidden layer's units: nothing in between looks across units.
    pub(crate) fn can_be_halved(&self) -> bool {
        let Some((Layer::Linear(_), hidden)) = self.layers.layers.split_last() else { return false };
        let alone = |layer: &Layer| match layer {
            Layer::Linear(linear) => can_be_cut(self.tape.var(linear.weight).shape().dims()[0]),
            Layer::BatchNorm1d(_) | Layer::Tanh(_) | Layer::Relu(_) | Layer::Gelu(_) => true,
            _ => false,
        };
        !hidden.is_empty() && hidden.iter().all(alone)
    }

    /// One of two partners' halves of such a model, all zero, under the same names: of the first weight and of everything
    /// between two layers the units' half, of the other weights that of their inputs.
    pub(crate) fn half(&self, side: usize, partners: &Arc<Partners<f32>>) -> Self {
        let tape = Tape::with_partner(side, partners);
        let shape = |id: Id| self.tape.var(id).shape();
        let zeros =
            |name: &str, shape: &[usize]| tape.parameter(name, shape, &vec![0.0; shape.iter().product()]);
        let whole = |embedding: Embedding| zeros("embedding.weight", shape(embedding.weight).dims());
        let embedding = self.embedding.map(|embedding| Embedding { weight: whole(embedding) });
        let last = self.layers.layers.len() - 1;
        let mut layers: Vec<Layer> = Vec::new();
        for (i, &layer) in self.layers.layers.iter().enumerate() {
            let name = format!("layers.{i}");
            match layer {
                Layer::Linear(linear) => {
                    let of = shape(linear.weight);
                    let (outputs, inputs) = (of.dims()[0], of.dims()[1]);
                    let of = if i == 0 { [outputs / 2, inputs] } else { [outputs, inputs / 2] };
                    let none = vec![0.0; of[0] * of[1]];
                    let weight = tape.parameter_by_columns(&format!("{name}.weight"), of, &none);
                    let kept = if i == last { outputs } else { outputs / 2 };
                    let bias = linear.bias.map(|_| zeros(&format!("{name}.bias"), &[kept]));
                    if i == 0 {
                        layers.push(Linear { weight, bias }.into());
                    } else {
                        layers.push(Linear { weight, bias: None }.into());
                        layers.push(match i == last {
                            true => AllReduce { bias }.into(),
                            false => ReduceScatter { bias }.into(),
                        });
                    }
                }
                Layer::BatchNorm1d(norm) => {
                    layers.push(BatchNorm1d::new(&tape, &name, shape(norm.weight).len() / 2).into());
                }
                alone => layers.push(alone),
            }
        }
        let layers = Sequential::new(layers);
        let &Self { context, vocab, widest, .. } = self;
        Self { tape, context, vocab, embedding, layers, widest, judge: None }
    }

    /// The model of a checkpoint; `path` is for messages.
    ///
    /// # Errors
    /// Weights that do not fit the configuration and the vocabulary, all of them named.
    pub fn from_checkpoint(checkpoint: &Checkpoint, path: &Path) -> Result<Self> {
        let mut network = Self::new(&checkpoint.config, checkpoint.vocab.len(), &mut TorchGenerator::new(0))
            .map_err(|error| Error::model(path, error))?;
        network.load(checkpoint, path)?;
        Ok(network)
    }

    /// Takes up the weights of a checkpoint.
    ///
    /// # Errors
    /// As [`Network::from_checkpoint`].
    pub fn load(&mut self, checkpoint: &Checkpoint, path: &Path) -> Result<()> {
        let entries = self.tape.entries();
        let expected: Vec<_> = entries.iter().map(|e| (e.name.clone(), e.shape.dims().to_vec())).collect();
        checkpoint.expect(&expected, path)?;
        for entry in &entries {
            let data = checkpoint.tensor(&entry.name).and_then(NamedTensor::as_f32);
            self.tape.write_entry(entry, data.expect("a tensor that was expected, and is there"));
        }
        Ok(())
    }

    /// Its weights, and the running statistics of its norms.
    #[must_use]
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let tensor = |e: &charloom_tensor::Entry| {
            NamedTensor::f32(e.name.as_str(), e.shape.dims(), self.tape.read_entry(e))
        };
        self.tape.entries().iter().map(tensor).collect()
    }
}

impl LanguageModel for Network<f32> {
    fn context(&self) -> usize {
        self.context
    }

    fn vocab_size(&self) -> usize {
        self.vocab
    }

    fn log_probs(&mut self, contexts: &[u32], out: &mut [f32]) {
        let (length, vocab) = (self.context, self.vocab);
        assert_eq!(contexts.len() / length, out.len() / vocab, "log_probs: a row of `out` for each context");
        self.tape.set_training(false);
        self.tape.set_row_limit(None);
        let judge = self.judge.unwrap_or_else(|| self.judge());
        self.judge = Some(judge);
        let tape = &self.tape;
        let chunks = contexts.chunks(judge.rows * length).zip(out.chunks_mut(judge.rows * vocab));
        for (contexts, out) in chunks {
            let rows = contexts.len() / length;
            tape.set_indices(judge.contexts, |all| all[..contexts.len()].copy_from_slice(contexts));
            tape.set_row_limit(Some(rows));
            tape.replay(judge.graph);
            tape.var(judge.logits).with_data(|logits| f32::log_softmax_rows(logits, vocab, out));
        }
    }
}
