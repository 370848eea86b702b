//! Every setting of a run: [`Config`], its defaults, its file.
//!
//! A configuration is layered: the defaults, then a preset, then a file, then the flags of the command line.
//! [`Config::layered`] does the first three, a program sets single fields for the last.

mod names;
mod parse;
mod validate;

use serde::{Deserialize, Serialize};

use crate::data::{DataConfig, Mode};

pub use names::{Activation, Init, Norm, Optimizer, Schedule, Smoothing, Stream};
pub use parse::{Batch, parse_hidden, parse_lr_drops};

/// Every setting of a run.
///
/// ```
/// use charloom::Config;
///
/// let mut config = Config::from_toml("[model]\nhidden = [64, 64]", "my.toml".as_ref())?;
/// config.train.steps = 1000;
/// config.validate()?;
/// assert_eq!(config.model.context, 3);
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
}

/// The model and how its parameters are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Which kind of model.
    pub kind: String,
    /// T, the characters the model looks at (an n-gram's is its order less one).
    pub context: usize,
    /// E, the embedding's width; 0: one-hot input.
    pub embed: usize,
    /// H of each hidden layer.
    pub hidden: Vec<usize>,
    /// The non-linearity after each hidden layer.
    pub activation: Activation,
    /// The normalization before it.
    pub norm: Norm,
    /// The share of hidden values set to 0 in training.
    pub dropout: f64,
    /// The bias that a layer does not need: that of `linear`, and in an `mlp` that of a layer before a norm.
    pub bias: bool,
    /// How parameters are drawn.
    pub init: Init,
    /// Factor of `kaiming-normal` for the layers before the last; none: 5/3 for tanh, sqrt(2) for relu and gelu.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<f64>,
    /// Factor of the last layer's weight.
    pub output_scale: f64,
    /// The n of an n-gram model.
    pub order: usize,
    /// How an n-gram model treats the unseen.
    pub smoothing: Smoothing,
    /// What `add-k` adds to each count.
    pub k: f64,
}

/// The training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Updates.
    pub steps: u64,
    /// B, the examples of a step.
    pub batch: Batch,
    /// What turns gradients into updates.
    pub optimizer: Optimizer,
    /// The learning rate.
    pub lr: f64,
    /// How it moves.
    pub schedule: Schedule,
    /// For `drops`: at this fraction of the run, times this. Factors multiply up.
    pub lr_drops: Vec<(f64, f64)>,
    /// The share of the run in which the learning rate rises from 0, under any schedule.
    pub warmup: f64,
    /// For `wsd`: the share of the run in which it falls.
    pub decay: f64,
    /// Weight decay: torch's L2 term for `sgd`, decoupled for `adamw`.
    pub weight_decay: f64,
    /// Momentum of `sgd`.
    pub momentum: f64,
    /// First-moment decay of `adamw`.
    pub beta1: f64,
    /// Second-moment decay of `adamw`.
    pub beta2: f64,
    /// Divisor guard of `adamw`.
    pub eps: f64,
    /// Largest norm of the whole gradient; 0: not clipped.
    pub clip: f64,
    /// Seed of the parameters and the minibatches.
    pub seed: u64,
    /// Steps between evaluations of whole splits; none: a twentieth of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_every: Option<u64>,
    /// Steps between minibatch losses in the metrics; none: a thousandth of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_every: Option<u64>,
    /// Stop after this many evaluations without a better validation loss; 0: never.
    pub patience: u64,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            kind: "mlp".to_owned(),
            context: 3,
            embed: 6,
            hidden: vec![200],
            activation: Activation::Tanh,
            norm: Norm::None,
            dropout: 0.0,
            bias: false,
            init: Init::KaimingNormal,
            gain: None,
            output_scale: 0.1,
            order: 5,
            smoothing: Smoothing::KneserNey,
            k: 1.0,
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 200_000,
            batch: Batch::Size(32),
            optimizer: Optimizer::Sgd,
            lr: 0.1,
            schedule: Schedule::Drops,
            lr_drops: vec![(0.5, 0.1)],
            warmup: 0.0,
            decay: 0.2,
            weight_decay: 0.0,
            momentum: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            clip: 0.0,
            seed: 2_147_483_647,
            eval_every: None,
            log_every: None,
            patience: 0,
        }
    }
}

impl ModelConfig {
    /// The gain given, or what suits the activation.
    #[must_use]
    pub fn gain(&self) -> f64 {
        self.gain.unwrap_or(match self.activation {
            Activation::Tanh => 5.0 / 3.0,
            Activation::Relu | Activation::Gelu => std::f64::consts::SQRT_2,
        })
    }
}

impl Config {
    /// Makes every default that depends on another setting explicit; `mode` is the corpus's.
    pub fn resolve(&mut self, mode: Mode) {
        let (data, model, train) = (&mut self.data, &mut self.model, &mut self.train);
        data.mode = Some(mode);
        data.split.get_or_insert(mode.default_split());
        model.gain = Some(model.gain());
        if model.kind == "ngram" {
            model.context = model.order.saturating_sub(1);
        }
        train.eval_every.get_or_insert((train.steps / 20).max(1));
        train.log_every.get_or_insert((train.steps / 1000).max(1));
    }
}

#[cfg(test)]
mod tests;
