//! The flags of the optimizer, of clipping and accumulating gradients, and of the weights' average.

use charloom::config::{Batch, DecayOn, Optimizer, TrainConfig};

use super::set;

#[derive(clap::Args, Default, PartialEq)]
#[command(next_help_heading = "Optimizer")]
pub struct OptimizerFlags {
    /// sgd, adamw, rmsprop, muon [default: sgd]
    #[arg(long, value_name = "NAME")]
    optimizer: Option<Optimizer>,
    /// Weight decay [default: 0]
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// Which parameters decay: all, matrices [default: all]
    #[arg(long, value_name = "NAME")]
    decay_on: Option<DecayOn>,
    /// Momentum of sgd [default: 0]
    #[arg(long, value_name = "X")]
    momentum: Option<f64>,
    /// Nesterov's momentum of sgd
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    nesterov: Option<bool>,
    /// Decay of rmsprop's mean of squared gradients [default: 0.99]
    #[arg(long, value_name = "X")]
    alpha: Option<f64>,
    /// First-moment decay of adamw and muon [default: 0.9]
    #[arg(long, value_name = "X")]
    beta1: Option<f64>,
    /// Second-moment decay of adamw and muon [default: 0.999]
    #[arg(long, value_name = "X")]
    beta2: Option<f64>,
    /// Added to the divisor of adamw, muon and rmsprop, so that it is never 0 [default: 1e-8]
    #[arg(long, value_name = "X")]
    eps: Option<f64>,
    /// Scale the gradient down to this norm where it is larger; 0: never [default: 0]
    #[arg(long, value_name = "X")]
    clip: Option<f64>,
    /// Limit each element of the gradient to plus or minus this; 0: no limit [default: 0]
    #[arg(long, value_name = "X")]
    clip_value: Option<f64>,
    /// Minibatches whose mean gradient makes an update [default: 1]
    #[arg(long, value_name = "N")]
    accumulate: Option<u64>,
    /// Decay of an exponential moving average of the weights, which is then evaluated and saved as best; 0: none
    /// [default: 0]
    #[arg(long, value_name = "X")]
    ema: Option<f64>,
}

/// The names of all these flags.
pub const OPTIMIZER: &[&str] = &[
    "--optimizer",
    "--weight-decay",
    "--decay-on",
    "--momentum",
    "--nesterov",
    "--alpha",
    "--beta1",
    "--beta2",
    "--eps",
    "--clip",
    "--clip-value",
    "--accumulate",
    "--ema",
];

impl OptimizerFlags {
    /// Applies the given flags to the training's configuration.
    pub fn apply(&self, train: &mut TrainConfig) {
        set(&mut train.optimizer, self.optimizer.as_ref());
        set(&mut train.weight_decay, self.weight_decay.as_ref());
        set(&mut train.decay_on, self.decay_on.as_ref());
        set(&mut train.momentum, self.momentum.as_ref());
        set(&mut train.nesterov, self.nesterov.as_ref());
        set(&mut train.alpha, self.alpha.as_ref());
        set(&mut train.beta1, self.beta1.as_ref());
        set(&mut train.beta2, self.beta2.as_ref());
        set(&mut train.eps, self.eps.as_ref());
        set(&mut train.clip, self.clip.as_ref());
        set(&mut train.clip_value, self.clip_value.as_ref());
        set(&mut train.accumulate, self.accumulate.as_ref());
        set(&mut train.ema, self.ema.as_ref());
    }

    /// The name of each flag, and whether it is given.
    pub fn given(&self) -> [(&'static str, bool); 13] {
        [
            ("--optimizer", self.optimizer.is_some()),
            ("--weight-decay", self.weight_decay.is_some()),
            ("--decay-on", self.decay_on.is_some()),
            ("--momentum", self.momentum.is_some()),
            ("--nesterov", self.nesterov.is_some()),
            ("--alpha", self.alpha.is_some()),
            ("--beta1", self.beta1.is_some()),
            ("--beta2", self.beta2.is_some()),
            ("--eps", self.eps.is_some()),
            ("--clip", self.clip.is_some()),
            ("--clip-value", self.clip_value.is_some()),
            ("--accumulate", self.accumulate.is_some()),
            ("--ema", self.ema.is_some()),
        ]
    }

    /// The flags that only have an effect with some settings: the name, whether it has one, and the reason if
    /// not.
    pub fn effects(train: &TrainConfig) -> [(&'static str, bool, &'static str); 8] {
        let [sgd, adamw, rmsprop, muon] =
            [Optimizer::Sgd, Optimizer::AdamW, Optimizer::RmsProp, Optimizer::Muon]
                .map(|optimizer| train.optimizer == optimizer);
        [
            ("--momentum", sgd, "it is of --optimizer sgd"),
            ("--nesterov", sgd && train.momentum > 0.0, "it is of --optimizer sgd with --momentum"),
            ("--alpha", rmsprop, "it is of --optimizer rmsprop"),
            ("--beta1", adamw || muon, "it is of --optimizer adamw and muon"),
            ("--beta2", adamw || muon, "it is of --optimizer adamw and muon"),
            ("--eps", !sgd, "it is of --optimizer adamw, muon and rmsprop"),
            ("--decay-on", train.weight_decay > 0.0, "--weight-decay is 0"),
            ("--accumulate", train.batch != Batch::Full, "with --batch full every minibatch is the same"),
        ]
    }
}
