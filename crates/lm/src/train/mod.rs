//! Training: from examples to weights.

mod batches;
mod diagnose;
mod halves;
mod run;
mod state;
#[cfg(test)]
mod tests;

use charloom_nn::{AdamW, LearningRate, Optimizer, Schedule, Sgd, clip_grad_norm};
use charloom_tensor::rng::TorchGenerator;
use charloom_tensor::{Element, Graph, Id, Indices, kernels, ops::Targets};

use crate::config::{self, Batch, Config, TrainConfig};
use crate::data::Data;
use crate::data::Examples;
use crate::data::Vocab;
use crate::models::Network;
use crate::{Error, Result};

pub(crate) use batches::Batches;
use diagnose::Diagnostics;
use halves::Halves;
pub use run::{End, Event, Outcome, run};
use state::Progress;

/// The most numbers in the widest layer of a step's graph.
const MAX_NUMBERS: usize = 1 << 30;

/// A model in training: parameters, generator, optimizer, and how far it has come.
///
/// Parameters are drawn first, then each step's minibatch, from one generator, as a notebook does it.
///
/// ```
/// use charloom::{Config, data::Data, train::Trainer};
///
/// let config = Config::from_toml("[model]\nhidden = [16]\n[train]\nsteps = 50", "my.toml".as_ref())?;
/// let data = Data::load(&config.data, None)?;
/// let mut trainer = Trainer::new(&config, &data)?;
/// let first = trainer.step()?;
/// for _ in 0..50 {
///     trainer.step()?;
/// }
/// assert!(trainer.step()? < first);
/// # Ok::<(), charloom::Error>(())
/// ```
pub struct Trainer {
    config: Config,
    vocab: Vocab,
    val: Examples,
    network: Network<f32>,
    generator: TorchGenerator,
    batches: Batches,
    graph: StepGraph,
    learning_rate: LearningRate,
    /// What the learning rate is multiplied with besides its schedule.
    lr_factor: f64,
    optimizer: Optimizer<f32>,
    step: u64,
    progress: Progress,
    diagnostics: Option<Diagnostics>,
    /// With more threads than one, but not more than these, each of two has half of the units.
    halved_up_to: usize,
    /// For two threads; made when first used.
    halves: Option<Halves>,
    /// Whether the newest parameters and moments are there, not in `network` and `optimizer`.
    in_halves: bool,
}

/// The recorded loss of a minibatch, and what is set anew in each step.
#[derive(Clone, Copy)]
pub(crate) struct StepGraph {
    /// (rows, T)
    contexts: Indices,
    /// (B,)
    targets: Indices,
    /// (B,): the row of each example; None if example i has row i.
    rows: Option<Indices>,
    pub loss: Id,
    pub graph: Graph,
}

impl Trainer {
    /// A training from the beginning.
    ///
    /// # Errors
    /// A configuration that is not valid, or too large for this data; no examples to train on.
    pub fn new(config: &Config, data: &Data) -> Result<Self> {
        let mut config = config.clone();
        config.resolve(data.mode());
        let mut generator = TorchGenerator::new(config.train.seed);
        let network = Network::<f32>::new(&config, data.vocab.len(), &mut generator)?;
        let length = config.model.context;
        let train = Examples::new(&data.splits.train, length)?;
        if train.is_empty() {
            let message = format!("no examples to train on at --context {length}; give more text");
            return Err(Error::data(&data.source.path, message));
        }
        let (batches, graph) = record(&network, train, config.train.batch, true)?;
        let optimizer = optimizer(&network, &config.train);
        let halved_up_to = Halves::most_threads(&config.train, &network);
        Ok(Self {
            vocab: data.vocab.clone(),
            val: Examples::new(&data.splits.val, length)?,
            network,
            generator,
            batches,
            graph,
            learning_rate: learning_rate(&config.train),
            lr_factor: 1.0,
            optimizer,
            step: 0,
            progress: Progress::default(),
            diagnostics: None,
            halved_up_to,
            halves: None,
            in_halves: false,
            config,
        })
    }

    /// Makes one update; returns the minibatch's loss before it.
    ///
    /// # Units
    /// Nats per character.
    ///
    /// # Errors
    /// A loss that is not finite; the parameters are then as they were before the step.
    pub fn step(&mut self) -> Result<f32> {
        self.step_at(self.lr())
    }

    /// The same at another learning rate than the schedule's.
    ///
    /// # Units
    /// As [`Trainer::step`].
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_at(&mut self, lr: f64) -> Result<f32> {
        self.batches.draw(&mut self.generator);
        let halved = (2..=self.halved_up_to).contains(&kernels::threads()) && !self.is_to_look();
        let loss = if halved { self.step_in_halves(lr)? } else { self.step_whole(lr) };
        if !loss.is_finite() {
            return Err(self.diverged(&format!("the loss is {loss}")));
        }
        self.step += 1;
        Ok(loss)
    }

    /// One update with the minibatch that was drawn, unless its loss is not finite.
    fn step_whole(&mut self, lr: f64) -> f32 {
        self.make_whole();
        self.look();
        let tape = self.network.tape();
        tape.set_training(true);
        tape.set_step(self.step);
        self.batches.write(tape, &self.graph);
        tape.replay(self.graph.graph);
        let loss = tape.var(self.graph.loss).item();
        if loss.is_finite() {
            let clip = self.config.train.clip;
            // Whoever looks at this step finds its gradients.
            if clip > 0.0 || self.is_to_look() {
                tape.backward(self.graph.loss);
                if clip > 0.0 {
                    clip_grad_norm(tape, clip);
                }
                self.optimizer.step(tape, lr);
            } else {
                self.optimizer.descend(tape, self.graph.loss, lr);
            }
            self.look_back();
        }
        loss
    }

    /// The same on two threads.
    fn step_in_halves(&mut self, lr: f64) -> Result<f32> {
        let halves = match &mut self.halves {
            Some(halves) => halves,
            none => none.insert(Halves::new(&self.config.train, &self.network, &self.batches)?),
        };
        if !self.in_halves {
            halves.take(&self.network, &self.optimizer, self.step);
            self.in_halves = true;
        }
        Ok(halves.step(&self.batches, lr))
    }

    /// Brings parameters and moments back to where all but the halves look for them.
    fn make_whole(&mut self) {
        if let Some(halves) = self.halves.as_ref().filter(|_| self.in_halves) {
            halves.give(&self.network, &mut self.optimizer, self.step);
        }
        self.in_halves = false;
    }

    /// The learning rate of the next step.
    #[must_use]
    pub fn lr(&self) -> f64 {
        self.learning_rate.at(self.step, self.config.train.steps) * self.lr_factor
    }

    /// Multiplies the learning rate of all steps to come; what it is by then is saved with the state.
    pub fn scale_lr(&mut self, by: f64) {
        self.lr_factor *= by;
    }

    /// N, the number of examples that minibatches are drawn from.
    #[must_use]
    pub fn examples(&self) -> usize {
        self.batches.examples().len()
    }

    /// Updates made.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// Every setting, with defaults made explicit.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The characters.
    #[must_use]
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// The model as it is now.
    pub fn network(&mut self) -> &mut Network<f32> {
        self.make_whole();
        &mut self.network
    }

    /// The model as it is now, for good.
    #[must_use]
    pub fn into_network(mut self) -> Network<f32> {
        self.make_whole();
        self.network
    }

    fn diverged(&self, what: &str) -> Error {
        let (step, lr) = (self.step, self.config.train.lr);
        Error::Failed(format!("step {step}: {what}; a --lr lower than {lr} or --clip 1 may help"))
    }
}

/// Minibatches of these examples, and the recorded loss of one.
pub(crate) fn record<E: Element>(
    network: &Network<E>,
    train: Examples,
    batch: Batch,
    may_merge: bool,
) -> Result<(Batches, StepGraph)> {
    let graph = record_step(network, &train, batch, may_merge)?;
    let size = batch_size(&train, batch);
    Ok((Batches::new(train, size, batch == Batch::Full, graph.rows.is_some()), graph))
}

fn batch_size(train: &Examples, batch: Batch) -> usize {
    match batch {
        Batch::Size(size) => size,
        Batch::Full => train.len(),
    }
}

/// Records a minibatch's loss. Where the model allows it, examples of equal contexts share a row.
fn record_step<E: Element>(
    network: &Network<E>,
    train: &Examples,
    batch: Batch,
    may_merge: bool,
) -> Result<StepGraph> {
    let tape = network.tape();
    let size = batch_size(train, batch);
    let start = tape.mark();
    for merged in [may_merge, false] {
        let rows = if merged { size.min(train.distinct_len()) } else { size };
        if rows.checked_mul(network.widest()).is_none_or(|numbers| numbers > MAX_NUMBERS) {
            let message =
                format!("--batch {batch}: {rows} rows of up to {} numbers are too many", network.widest());
            return Err(Error::usage(format!("{message}; choose a smaller batch or smaller layers")));
        }
        let contexts = tape.indices(&[rows, train.context_length()], &vec![0; rows * train.context_length()]);
        let targets = tape.indices(&[size], &vec![0; size]);
        let rows_of = merged.then(|| tape.indices(&[size], &vec![0; size]));
        // Recording computes: in evaluation mode it leaves running statistics alone.
        tape.set_training(false);
        let mark = tape.mark();
        let loss = network.logits(contexts).cross_entropy(Targets {
            tokens: targets,
            rows: rows_of,
            ignore_index: None,
        });
        let graph = tape.graph_since(mark);
        if !merged || tape.mergeable(graph) {
            tape.fuse(graph, &[loss.id()]);
            // Makes room for the counts of as many rows as there can be.
            tape.set_rows(&vec![1; rows]);
            return Ok(StepGraph { contexts, targets, rows: rows_of, loss: loss.id(), graph });
        }
        tape.truncate(start);
    }
    unreachable!("the second way needs nothing of the model")
}

pub(crate) fn learning_rate(train: &TrainConfig) -> LearningRate {
    let schedule = match train.schedule {
        config::Schedule::Constant => Schedule::Constant,
        config::Schedule::Drops => Schedule::Drops(train.lr_drops.clone()),
        config::Schedule::Cosine => Schedule::Cosine,
        config::Schedule::Linear => Schedule::Linear,
        config::Schedule::Wsd => Schedule::Wsd { decay: train.decay },
    };
    LearningRate { base: train.lr, warmup: train.warmup, schedule }
}

fn optimizer(network: &Network<f32>, train: &TrainConfig) -> Optimizer<f32> {
    let tape = network.tape();
    match train.optimizer {
        config::Optimizer::Sgd => Optimizer::Sgd(Sgd::new(tape, train.momentum, train.weight_decay)),
        config::Optimizer::AdamW => {
            Optimizer::AdamW(AdamW::new(tape, [train.beta1, train.beta2], train.eps, train.weight_decay))
        }
    }
}
