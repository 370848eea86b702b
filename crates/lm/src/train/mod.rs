//! Training: from examples to weights.

mod budget;
mod counted;
mod diagnose;
mod fit;
mod init_from;
mod state;
mod step;
mod teacher;
#[cfg(test)]
mod tests;
mod training;

use charloom_nn::{AdamW, Group, LearningRate, Muon, Optimizer, RmsProp, Schedule, Sgd};
use charloom_tensor::kernels::Pool;
use charloom_tensor::rng::TorchGenerator;
use charloom_tensor::{Entry, Params};

use crate::choices::nearest;
use crate::config::{self, Config, DecayOn, TrainConfig};
use crate::data::{Data, Split, Vocab};
use crate::feed::Feed;
use crate::models::{self, Neural, Precision};
use crate::{Error, Result};

pub use counted::save_counted;
use diagnose::Diagnostics;
pub use fit::{End, Event, Observer, Outcome, Unwatched, check_stop, run};
use state::EvaluationState;
pub(crate) use step::StepRecording;
use step::{StepArgs, Stepper};
use teacher::SoftTargets;
pub(crate) use teacher::resolve_teacher;
pub use training::{Evaluate, FitOptions, Training, fit};

/// The threads that a training uses.
pub enum Threads {
    /// One or this number, whichever is measured to be faster.
    Measured(usize),
    /// The threads of this pool.
    Pool(Pool),
}

impl Default for Threads {
    /// Measured, with the number of cores that this process may use.
    fn default() -> Self {
        Self::Measured(crate::threads::available())
    }
}

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
    /// The characters that the run `init_from` does not have.
    new_characters: Vec<char>,
    train: Split,
    /// The part of `train` that evaluations score.
    sample: Split,
    val: Split,
    model: Neural,
    /// The model with the moving average of the weights, if `ema` is set; updated by `evaluated_model`.
    averaged: Option<Neural>,
    generator: TorchGenerator,
    feed: Box<dyn Feed>,
    stepper: Stepper,
    learning_rate: LearningRate,
    /// The learning rate of each step, in place of its schedule.
    rates: Option<Vec<f64>>,
    /// A factor of the learning rate besides its schedule; see [`Trainer::scale_lr`].
    lr_factor: f64,
    optimizer: Optimizer<f32>,
    step: u64,
    evaluations: EvaluationState,
    diagnostics: Option<Diagnostics>,
}

impl Trainer {
    /// A training from the beginning.
    ///
    /// # Errors
    /// A configuration that is not valid, or too large for this data; no examples to train on; a run
    /// `init_from` that does not fit.
    pub fn new(config: &Config, data: &Data) -> Result<Self> {
        Self::begin(config, data, init_from::load)
    }

    /// As [`Trainer::new`]. `init` may overwrite the drawn weights; it returns the characters that it has no
    /// weights for.
    fn begin(
        config: &Config,
        data: &Data,
        init: impl FnOnce(&mut Neural, &Config, &Vocab) -> Result<Vec<char>>,
    ) -> Result<Self> {
        let mut config = config.clone();
        config.resolve(data.mode());
        models::fill(&mut config.model)?;
        models::fill_from_data(&mut config, data)?;
        let mut generator = models::generator(&config, data);
        let mut model = Neural::new(&config, data.vocab.len(), &mut generator)?;
        check_frozen(&model.params, &config.train.freeze)?;
        let new_characters = init(&mut model, &config, &data.vocab)?;
        let is_averaged = config.train.ema > 0.0;
        let averaged = is_averaged
            .then(|| Neural::new(&config, data.vocab.len(), &mut TorchGenerator::new(config.train.seed)));
        let (mut feed, _) = feed::<f32>(&model, &model.params, &data.splits.train, &config.train)?;
        let sample = budget::resolve(&mut config.train, &model, &data.splits, feed.targets())?;
        let soft_targets = match &mut config.train.teacher {
            None => None,
            Some(teacher) => {
                resolve_teacher(teacher)?;
                Some(SoftTargets::new(teacher, &data.vocab, &feed.add_teacher(&data.splits.train))?)
            }
        };
        let optimizer = optimizer(&model.params, &config.train);
        Ok(Self {
            vocab: data.vocab.clone(),
            new_characters,
            train: data.splits.train.clone(),
            sample,
            val: data.splits.val.clone(),
            stepper: Stepper::new(&model, &*feed, &config.train, soft_targets.as_ref())?,
            model,
            averaged: averaged.transpose()?,
            generator,
            feed,
            learning_rate: learning_rate(&config.train),
            rates: None,
            lr_factor: 1.0,
            optimizer,
            step: 0,
            evaluations: EvaluationState::default(),
            diagnostics: None,
            config,
        })
    }

    /// The same training on these threads. Any number of threads gives the same bits.
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.stepper = self.stepper.with_threads(threads);
        self
    }

    /// Makes one update; returns the minibatch's loss before it.
    ///
    /// # Units
    /// Nats per character.
    ///
    /// # Errors
    /// A loss that is not finite; the parameters and BatchNorm's running statistics are then as they were before
    /// the step.
    pub fn step(&mut self) -> Result<f32> {
        let lr = self.lr();
        self.before_update();
        let batches = self.config.train.accumulate;
        let mut sum = 0.0;
        for batch in 0..batches {
            self.feed.draw(&mut self.generator);
            let mut args = StepArgs {
                model: &mut self.model,
                optimizer: &mut self.optimizer,
                feed: &mut *self.feed,
                lr,
                step: self.step,
                batch: [batch, batches],
            };
            let loss = self.stepper.step(&mut args);
            if !loss.is_finite() {
                return Err(self.diverged(&format!("the loss is {loss}")));
            }
            sum += f64::from(loss);
        }
        self.step += 1;
        self.after_update();
        Ok((sum / batches as f64) as f32)
    }

    /// Writes the newest parameters and optimizer state back to `self.model` and `self.optimizer`, if the
    /// shards hold them.
    fn sync_model(&mut self) {
        self.stepper.sync(&mut self.model, &mut self.optimizer, self.step);
    }

    /// The model that is evaluated and saved: with the average of the weights, if one is kept.
    fn evaluated_model(&mut self) -> &Neural {
        self.sync_model();
        let (Some(averaged), Some(average)) = (&mut self.averaged, self.optimizer.average()) else {
            return &self.model;
        };
        averaged.params.values_mut().copy_from_slice(average);
        averaged.params.buffers_mut().copy_from_slice(self.model.params.buffers());
        averaged
    }

    /// The learning rate of the next step.
    #[must_use]
    pub fn lr(&self) -> f64 {
        let rate = self.rates.as_ref().and_then(|rates| rates.get(self.step as usize).copied());
        rate.unwrap_or_else(|| self.learning_rate.at(self.step, self.config.train.steps)) * self.lr_factor
    }

    /// Multiplies the learning rate of all steps to come. The factor is saved with the state.
    pub fn scale_lr(&mut self, by: f64) {
        self.lr_factor *= by;
    }

    /// N, the number of examples that minibatches are drawn from.
    #[must_use]
    pub fn examples(&self) -> usize {
        self.feed.examples()
    }

    /// The number of targets of a step, or its average.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.feed.targets()
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

    /// The characters that the run `init_from` does not have: their rows stay as drawn. Empty without such a
    /// run.
    #[must_use]
    pub fn new_characters(&self) -> &[char] {
        &self.new_characters
    }

    /// The characters.
    #[must_use]
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// The model as it is now, with averaged weights if `ema` is set.
    pub fn model(&mut self) -> &Neural {
        self.evaluated_model()
    }

    /// As [`Trainer::model`]; the training ends.
    #[must_use]
    pub fn into_model(mut self) -> Neural {
        self.evaluated_model();
        self.averaged.unwrap_or(self.model)
    }

    fn diverged(&self, what: &str) -> Error {
        let (step, lr) = (self.step, self.config.train.lr);
        Error::Diverged(format!("step {step}: {what}; a ``lr`` lower than {lr} or ``clip`` 1 may help"))
    }
}

/// The feed of a training, and its recorded loss. Equal rows are merged if the numbers stay the same.
///
/// # Errors
/// No examples; a batch that is too large.
pub(crate) fn feed<E: Precision>(
    model: &Neural,
    params: &Params<E>,
    train: &Split,
    config: &TrainConfig,
) -> Result<(Box<dyn Feed>, StepRecording<E>)> {
    for merged in [true, false] {
        let feed = model.net.feed(train, config, merged)?;
        if let Some(step) = step::record(params, &model.net, &*feed, config.batch)? {
            return Ok((feed, step));
        }
    }
    unreachable!("the second way merges nothing")
}

pub(crate) fn learning_rate(train: &TrainConfig) -> LearningRate {
    let schedule = match train.schedule {
        config::Schedule::Constant => Schedule::Constant,
        config::Schedule::Drops => Schedule::Drops(train.lr_drops.clone()),
        config::Schedule::Stages => Schedule::Stages(train.lr_at.clone()),
        config::Schedule::Cosine => Schedule::Cosine,
        config::Schedule::Linear => Schedule::Linear,
        config::Schedule::Wsd => Schedule::Wsd { decay: train.decay },
    };
    let floor = if train.lr > 0.0 { train.lr_min / train.lr } else { 0.0 };
    let warmup = match train.warmup_steps {
        0 => train.warmup,
        steps => steps as f64 / train.steps.max(1) as f64,
    };
    LearningRate { base: train.lr, floor, warmup, schedule }
}

fn optimizer(params: &Params<f32>, train: &TrainConfig) -> Optimizer<f32> {
    let decay = train.weight_decay;
    let adamw = AdamW { betas: [train.beta1, train.beta2], eps: train.eps };
    let optimizer = match train.optimizer {
        config::Optimizer::Sgd => {
            Optimizer::sgd(params, Sgd { momentum: train.momentum, nesterov: train.nesterov }, decay)
        }
        config::Optimizer::AdamW => Optimizer::adamw(params, adamw, decay),
        config::Optimizer::RmsProp => {
            Optimizer::rmsprop(params, RmsProp { alpha: train.alpha, eps: train.eps }, decay)
        }
        config::Optimizer::Muon => Optimizer::muon(params, Muon { momentum: 0.95, adamw }, decay),
    };
    let is_frozen = |entry: &Entry| train.freeze.iter().any(|name| is_of(entry, name));
    let has_no_decay = |entry: &Entry| train.decay_on == DecayOn::Matrices && entry.shape.rank() < 2;
    let is_grouped = !train.freeze.is_empty() || train.decay_on == DecayOn::Matrices;
    let optimizer = match is_grouped {
        false => optimizer,
        true => optimizer.grouped(params, |entry, group| Group {
            lr_factor: if is_frozen(entry) { 0.0 } else { group.lr_factor },
            weight_decay: if has_no_decay(entry) { 0.0 } else { group.weight_decay },
        }),
    };
    if train.ema > 0.0 { optimizer.averaging(params, train.ema) } else { optimizer }
}

/// Whether a name is the parameter's, or that of a module it is in.
fn is_of(entry: &Entry, name: &str) -> bool {
    entry.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Checks that each name to be frozen has parameters, and that some are left to train.
fn check_frozen(params: &Params<f32>, freeze: &[String]) -> Result<()> {
    let known = || params.trained().map(|entry| entry.name.as_str()).collect::<Vec<_>>();
    if let Some(name) = freeze.iter().find(|name| !params.trained().any(|entry| is_of(entry, name))) {
        let hint = match nearest(name, &known()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("it has {}", known().join(", ")),
        };
        return Err(Error::setting("freeze", format!(": the model has no parameter {name:?}; {hint}")));
    }
    if !freeze.is_empty() && params.trained().all(|entry| freeze.iter().any(|name| is_of(entry, name))) {
        return Err(Error::setting("freeze", ": all parameters are named, and none is left to train"));
    }
    Ok(())
}
