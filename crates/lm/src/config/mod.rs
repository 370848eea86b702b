//! Every setting of a run: [`Config`], its defaults, its file.
//!
//! A configuration is layered: the defaults, then a preset, then a file, then the flags of the command line.
//! [`Config::layered`] does the first three, a program sets single fields for the last.

mod choices;
mod model;
mod notebook;
mod parse;
mod resume;
mod validate;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::{DataConfig, Mode, Split};

pub use choices::{
    Activation, DecayOn, Feed, Generator, Init, Norm, Optimizer, Positions, RandomStream, Schedule, Smoothing,
};
pub use model::{ModelConfig, Setting, Settings, Value, as_toml, out_of_range};
pub use notebook::NotebookConfig;
pub use parse::{Batch, parse_freeze, parse_hidden, parse_lr_at, parse_lr_drops};
pub(crate) use parse::{line_of, read_text};

/// Every setting of a run.
///
/// ```
/// use charloom::Config;
///
/// let mut config = Config::from_toml("[model]\nhidden = [64, 64]", "my.toml".as_ref())?;
/// config.train.steps = 1000;
/// config.validate()?;
/// assert_eq!(config.model.get("hidden").as_deref(), Some("[64, 64]"));
/// assert!(config.to_toml().contains("steps = 1000"));
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the text comes from and how it is split.
    pub data: DataConfig,
    /// The model and how its parameters are drawn.
    pub model: ModelConfig,
    /// The training.
    pub train: TrainConfig,
    /// How the notebook that a preset reproduces drew its names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notebook: Option<NotebookConfig>,
}

/// The training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The number of updates.
    pub steps: u64,
    /// B, the examples of a step; for a feed of words the words, for streams the streams.
    pub batch: Batch,
    /// How batches are drawn, if the kind of model leaves a choice; none: as suits the kind and the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed: Option<Feed>,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The learning rate.
    pub lr: f64,
    /// How the learning rate changes over the run.
    pub schedule: Schedule,
    /// For `drops`: pairs of a fraction of the run and a factor; from there on the rate is multiplied by the
    /// factor.
    pub lr_drops: Vec<(f64, f64)>,
    /// For `cosine`, `linear` and `wsd`: the learning rate that they fall to.
    pub lr_min: f64,
    /// For `stages`: pairs of a step and the rate from that step on.
    pub lr_at: Vec<(u64, f64)>,
    /// The share of the run in which the learning rate rises from 0, under any schedule.
    pub warmup: f64,
    /// The warm-up as a number of steps, whatever the run's length; 0: `warmup` applies.
    pub warmup_steps: u64,
    /// For `wsd`: the share of the run in which it falls.
    pub decay: f64,
    /// Weight decay: torch's L2 term for `sgd` and `rmsprop`, decoupled for `adamw` and `muon`.
    pub weight_decay: f64,
    /// Which parameters weight decay is for.
    pub decay_on: DecayOn,
    /// Momentum of `sgd`.
    pub momentum: f64,
    /// Whether the momentum is Nesterov's.
    pub nesterov: bool,
    /// The decay of the mean of squared gradients in `rmsprop`.
    pub alpha: f64,
    /// First-moment decay of `adamw`, and of `muon` for the parameters that it updates by AdamW.
    pub beta1: f64,
    /// Second-moment decay of the same.
    pub beta2: f64,
    /// What the same and `rmsprop` add to the divisor, so that it is never 0.
    pub eps: f64,
    /// Largest norm of the whole gradient; 0: not clipped.
    pub clip: f64,
    /// Largest element of the gradient, before `clip`; 0: not clipped.
    pub clip_value: f64,
    /// Minibatches whose mean gradient makes an update.
    pub accumulate: u64,
    /// The decay of an exponential moving average of the weights, which is evaluated and saved as best in
    /// place of the weights; 0: none.
    pub ema: f64,
    /// A run whose weights the training begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Names of parameters that are not trained, or of whole layers: `embedding.weight`, `layers.0`.
    pub freeze: Vec<String>,
    /// How many generators the run draws from.
    pub generator: Generator,
    /// Seed of the parameters and the minibatches.
    pub seed: u64,
    /// How many trainings with consecutive seeds, whose models make a mixture; 1: one training, no mixture.
    #[serde(skip_serializing_if = "is_one")]
    pub seeds: u64,
    /// Steps between evaluations; none: a twentieth of the run, or as many as keep evaluations to a tenth of
    /// the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_every: Option<u64>,
    /// How many characters of the training split an evaluation scores; 0: all; none: all, or as many as the
    /// validation split has if all would be more than a tenth of the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_size: Option<usize>,
    /// Steps between minibatch losses in the metrics; none: a thousandth of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_every: Option<u64>,
    /// Stop after this many evaluations without a better validation loss; 0: never.
    pub patience: u64,
    /// A teacher: a model that is learned from besides the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherConfig>,
}

/// A teacher: part of the loss is the cross-entropy with its distributions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Its run folder or file.
    pub path: PathBuf,
    /// SHA-256 of its file, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The share of the loss that is the teacher's.
    pub weight: f64,
    /// The divisor of its log-probabilities: above 1 makes its distributions more even.
    #[serde(default = "one")]
    pub temperature: f64,
}

fn one() -> f64 {
    1.0
}

/// Whether a number is 1, its default, which is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one(number: &u64) -> bool {
    *number == 1
}

impl TrainConfig {
    /// The sample of the training split that evaluations judge; None if they judge all of it.
    #[must_use]
    pub fn sample_of(&self, train: &Split) -> Option<Split> {
        self.is_sampled(train).then(|| train.sample(self.eval_size.unwrap_or(0)))
    }

    /// Whether evaluations judge a sample of the training split, not all of it.
    #[must_use]
    pub fn is_sampled(&self, train: &Split) -> bool {
        self.eval_size.is_some_and(|size| size > 0 && size < train.tokens().len())
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 200_000,
            batch: Batch::Size(32),
            feed: None,
            optimizer: Optimizer::Sgd,
            lr: 0.1,
            schedule: Schedule::Drops,
            lr_drops: vec![(0.5, 0.1)],
            lr_min: 0.0,
            lr_at: Vec::new(),
            warmup: 0.0,
            warmup_steps: 0,
            decay: 0.2,
            weight_decay: 0.0,
            decay_on: DecayOn::All,
            momentum: 0.0,
            nesterov: false,
            alpha: 0.99,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            clip: 0.0,
            clip_value: 0.0,
            accumulate: 1,
            ema: 0.0,
            init_from: None,
            freeze: Vec::new(),
            generator: Generator::Separate,
            seed: 2_147_483_647,
            seeds: 1,
            eval_every: None,
            eval_size: None,
            log_every: None,
            patience: 0,
            teacher: None,
        }
    }
}

impl Config {
    /// A generator that is shared has one seed, that of the training.
    pub fn resolve_seeds(&mut self) {
        if self.train.generator == Generator::Shared {
            self.data.split_seed = self.train.seed;
        }
    }

    /// Makes every default that depends on another setting explicit; `mode` is the corpus's. How a training
    /// is evaluated depends on the data too: [`Trainer::config`](crate::train::Trainer::config) has it.
    pub fn resolve(&mut self, mode: Mode) {
        let (data, train) = (&mut self.data, &mut self.train);
        data.mode = Some(mode);
        data.split.get_or_insert(mode.default_split());
        train.log_every.get_or_insert((train.steps / 1000).max(1));
    }
}

#[cfg(test)]
mod tests;
