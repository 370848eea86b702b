//! Training: from examples to weights.

mod counted;
mod diagnose;
mod fit;
mod state;
#[cfg(test)]
mod tests;
mod ways;

use charloom_nn::{AdamW, LearningRate, Optimizer, Schedule, Sgd};
use charloom_tensor::Params;
use charloom_tensor::kernels::Pool;
use charloom_tensor::rng::TorchGenerator;

use crate::config::{self, Config, TrainConfig};
use crate::data::{Data, Split, Vocab};
use crate::feed::Feed;
use crate::models::{self, Neural, Precision};
use crate::{Error, Result};

pub use counted::save_counted;
use diagnose::Diagnostics;
pub use fit::{End, Event, Fit, Observer, Outcome, Unwatched, fit, run};
use state::Progress;
pub(crate) use ways::StepRecording;
use ways::{Ways, Work};

/// The threads that a training uses.
pub enum Threads {
    /// One or, if that is measured to be faster, so many.
    Measured(usize),
    /// Those of a pool.
    Pool(Pool),
}

impl Default for Threads {
    /// Measured, up to as many as the machine has cores for us.
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
    train: Split,
    val: Split,
    model: Neural,
    generator: TorchGenerator,
    feed: Box<dyn Feed>,
    ways: Ways,
    learning_rate: LearningRate,
    /// What the learning rate is multiplied with besides its schedule.
    lr_factor: f64,
    optimizer: Optimizer<f32>,
    step: u64,
    progress: Progress,
    diagnostics: Option<Diagnostics>,
}

impl Trainer {
    /// A training from the beginning.
    ///
    /// # Errors
    /// A configuration that is not valid, or too large for this data; no examples to train on.
    pub fn new(config: &Config, data: &Data) -> Result<Self> {
        let mut config = config.clone();
        config.resolve(data.mode());
        models::fill(&mut config.model)?;
        let mut generator = TorchGenerator::new(config.train.seed);
        let model = Neural::new(&config, data.vocab.len(), &mut generator)?;
        let (feed, _) = feed::<f32>(&model, &model.params, &data.splits.train, &config.train)?;
        let optimizer = optimizer(&model.params, &config.train);
        Ok(Self {
            vocab: data.vocab.clone(),
            train: data.splits.train.clone(),
            val: data.splits.val.clone(),
            ways: Ways::new(&model, &*feed, &config.train)?,
            model,
            generator,
            feed,
            learning_rate: learning_rate(&config.train),
            lr_factor: 1.0,
            optimizer,
            step: 0,
            progress: Progress::default(),
            diagnostics: None,
            config,
        })
    }

    /// The same training on these threads: any number of them makes the same bits.
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.ways = self.ways.with_threads(threads);
        self
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
        self.feed.draw(&mut self.generator);
        self.before_update();
        let mut work = Work {
            model: &mut self.model,
            optimizer: &mut self.optimizer,
            feed: &*self.feed,
            lr,
            step: self.step,
            // Whoever looks at this step finds its gradients.
            keep_gradients: self.diagnostics.as_ref().is_some_and(|d| d.is_due(self.step)),
        };
        let loss = self.ways.step(&mut work);
        if !loss.is_finite() {
            return Err(self.diverged(&format!("the loss is {loss}")));
        }
        self.after_update();
        self.step += 1;
        Ok(loss)
    }

    /// Brings the newest numbers to where all look for them.
    fn make_whole(&mut self) {
        self.ways.leave(&mut self.model, &mut self.optimizer, self.step);
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
        self.feed.examples()
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
    pub fn model(&mut self) -> &Neural {
        self.make_whole();
        &self.model
    }

    /// The model as it is now, for good.
    #[must_use]
    pub fn into_model(mut self) -> Neural {
        self.make_whole();
        self.model
    }

    fn diverged(&self, what: &str) -> Error {
        let (step, lr) = (self.step, self.config.train.lr);
        Error::Failed(format!("step {step}: {what}; a ``lr`` lower than {lr} or ``clip`` 1 may help"))
    }
}

/// What feeds a training, and its recorded loss; equal rows are computed once where that is exact.
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
        let feed = model.net.feed(train, config.batch, merged)?;
        if let Some(step) = ways::record(params, &model.net, &*feed, config.batch)? {
            return Ok((feed, step));
        }
    }
    unreachable!("the second way merges nothing")
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

fn optimizer(params: &Params<f32>, train: &TrainConfig) -> Optimizer<f32> {
    match train.optimizer {
        config::Optimizer::Sgd => {
            let sgd = Sgd { momentum: train.momentum, nesterov: false };
            Optimizer::sgd(params, sgd, train.weight_decay)
        }
        config::Optimizer::AdamW => {
            let adamw = AdamW { betas: [train.beta1, train.beta2], eps: train.eps };
            Optimizer::adamw(params, adamw, train.weight_decay)
        }
    }
}
