//! Every setting of a run: [`Config`], its defaults, its file.
//!
//! A configuration is layered: the defaults, then a preset, then a file, then the flags of the command line.
//! [`Config::layered`] does the first three, a program sets single fields for the last.

mod model;
mod names;
mod notebook;
mod parse;
mod resume;
mod validate;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::{DataConfig, Mode};

pub use model::{ModelConfig, Setting, Settings, Value, as_toml, out_of_range};
pub use names::{
    Activation, DecayOn, Feed, Generator, Init, Norm, Optimizer, Positions, Schedule, Smoothing, Stream,
};
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
    /// Updates.
    pub steps: u64,
    /// B, the examples of a step; of a feed of words the words, of streams the streams.
    pub batch: Batch,
    /// How batches are drawn, where the kind of model leaves a choice; none: as suits the kind and the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed: Option<Feed>,
    /// What turns gradients into updates.
    pub optimizer: Optimizer,
    /// The learning rate.
    pub lr: f64,
    /// How it moves.
    pub schedule: Schedule,
    /// For `drops`: at this fraction of the run, times this. Factors multiply up.
    pub lr_drops: Vec<(f64, f64)>,
    /// For `cosine`, `linear` and `wsd`: the learning rate that they fall to.
    pub lr_min: f64,
    /// For `stages`: from this step on, this rate.
    pub lr_at: Vec<(u64, f64)>,
    /// The share of the run in which the learning rate rises from 0, under any schedule.
    pub warmup: f64,
    /// The same as a number of steps, whatever the run's length; 0: `warmup` says it.
    pub warmup_steps: u64,
    /// For `wsd`: the share of the run in which it falls.
    pub decay: f64,
    /// Weight decay: torch's L2 term for `sgd` and `rmsprop`, decoupled for `adamw` and `muon`.
    pub weight_decay: f64,
    /// Which parameters it is for.
    pub decay_on: DecayOn,
    /// Momentum of `sgd`.
    pub momentum: f64,
    /// Whether that is Nesterov's.
    pub nesterov: bool,
    /// What `rmsprop` keeps of the mean of squares.
    pub alpha: f64,
    /// First-moment decay of `adamw`, and of `muon` where it is that.
    pub beta1: f64,
    /// Second-moment decay of the same.
    pub beta2: f64,
    /// Divisor guard of the same and of `rmsprop`.
    pub eps: f64,
    /// Largest norm of the whole gradient; 0: not clipped.
    pub clip: f64,
    /// Largest element of the gradient, before `clip`; 0: not clipped.
    pub clip_value: f64,
    /// Minibatches whose mean gradient makes an update.
    pub accumulate: u64,
    /// What an average of the weights keeps of itself in each step, which then is what is judged and saved as best; 0: none.
    pub ema: f64,
    /// A run whose weights it begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Parameters that stay as they were drawn, or layers of which all do: `embedding.weight`, `layers.0`.
    pub freeze: Vec<String>,
    /// How many generators the run draws from.
    pub generator: Generator,
    /// Seed of the parameters and the minibatches.
    pub seed: u64,
    /// Trainings, each with the seed after the one before, whose models make a mixture; 1: one training, no mixture.
    #[serde(skip_serializing_if = "is_one")]
    pub seeds: u64,
    /// Steps between evaluations; none: a twentieth of the run, or as many as keep evaluations to a tenth of the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_every: Option<u64>,
    /// How many characters of the training split an evaluation judges; 0: all; none: all, or as many as the validation split
    /// has where that would be more than a tenth of the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_size: Option<usize>,
    /// Steps between minibatch losses in the metrics; none: a thousandth of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_every: Option<u64>,
    /// Stop after this many evaluations without a better validation loss; 0: never.
    pub patience: u64,
    /// A model that is learned from besides the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherConfig>,
}

/// A model that is learned from: the loss is partly that under its distributions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Its run folder or file.
    pub path: PathBuf,
    /// SHA-256 of its file, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// How much of the loss that is.
    pub weight: f64,
    /// What its log-probabilities are divided by: above 1 evens them out.
    #[serde(default = "one")]
    pub temperature: f64,
}

fn one() -> f64 {
    1.0
}

/// Whether there is nothing to say of a number that is mostly 1.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one(number: &u64) -> bool {
    *number == 1
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
    /// One generator for all has one seed, that of the training.
    pub fn settle_seeds(&mut self) {
        if self.train.generator == Generator::Shared {
            self.data.split_seed = self.train.seed;
        }
    }

    /// Makes every default that depends on another setting explicit; `mode` is the corpus's. How a training is evaluated
    /// depends on the data too: [`Trainer::config`](crate::train::Trainer::config) says it.
    pub fn resolve(&mut self, mode: Mode) {
        let (data, train) = (&mut self.data, &mut self.train);
        data.mode = Some(mode);
        data.split.get_or_insert(mode.default_split());
        train.log_every.get_or_insert((train.steps / 1000).max(1));
    }
}

#[cfg(test)]
mod tests;
