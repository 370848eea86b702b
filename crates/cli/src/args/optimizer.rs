//! The flags of the optimizer, of clipping and accumulating gradients, and of the weights' average.

use charloom::Config;
use charloom::config::Optimizer::{self, AdamW, Muon, RmsProp, Sgd};
use charloom::config::{Batch, DecayOn};

use super::flags::flags;

flags! {
    #[command(next_help_heading = "Optimizer")]
    pub OptimizerFlags of train {
        /// sgd, adamw, rmsprop, muon [default: sgd]
        optimizer("NAME"): Optimizer;
        /// Weight decay [default: 0]
        weight_decay("X"): f64;
        /// Which parameters decay: all, matrices [default: all]
        decay_on("NAME"): DecayOn, "--weight-decay is 0", |config| config.train.weight_decay > 0.0;
        /// Momentum of sgd [default: 0]
        momentum("X"): f64, "it is of --optimizer sgd", |config| is_one(config, &[Sgd]);
        /// Nesterov's momentum of sgd
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        nesterov("BOOL"): bool, "it is of --optimizer sgd with --momentum",
            |config| is_one(config, &[Sgd]) && config.train.momentum > 0.0;
        /// Decay of rmsprop's mean of squared gradients [default: 0.99]
        alpha("X"): f64, "it is of --optimizer rmsprop", |config| is_one(config, &[RmsProp]);
        /// First-moment decay of adamw and muon [default: 0.9]
        beta1("X"): f64, "it is of --optimizer adamw and muon", |config| is_one(config, &[AdamW, Muon]);
        /// Second-moment decay of adamw and muon [default: 0.999]
        beta2("X"): f64, "it is of --optimizer adamw and muon", |config| is_one(config, &[AdamW, Muon]);
        /// Added to the divisor of adamw, muon and rmsprop, so that it is never 0 [default: 1e-8]
        eps("X"): f64, "it is of --optimizer adamw, muon and rmsprop",
            |config| is_one(config, &[AdamW, Muon, RmsProp]);
        /// Scale the gradient down to this norm where it is larger; 0: never [default: 0]
        clip("X"): f64;
        /// Limit each element of the gradient to plus or minus this; 0: no limit [default: 0]
        clip_value("X"): f64;
        /// Minibatches whose mean gradient makes an update [default: 1]
        accumulate("N"): u64, "with --batch full every minibatch is the same",
            |config| config.train.batch != Batch::Full;
        /// Decay of an exponential moving average of the weights, which is then evaluated and saved as best; 0: none
        /// [default: 0]
        ema("X"): f64;
    }
}

fn is_one(config: &Config, optimizers: &[Optimizer]) -> bool {
    optimizers.contains(&config.train.optimizer)
}
