//! What a configuration may say: each refusal names the flag, its value and the limit.

use super::{Batch, Config, ModelConfig, Norm, TrainConfig};
use crate::{Error, Result};

/// The largest context.
const MAX_CONTEXT: usize = 1024;
/// The widest embedding or hidden layer.
const MAX_WIDTH: usize = 65_536;
/// The most hidden layers.
const MAX_LAYERS: usize = 64;
/// The largest minibatch; `full` has no limit.
const MAX_BATCH: usize = 1 << 20;
/// TOML's whole numbers end here.
const MAX_WHOLE: u64 = i64::MAX as u64;

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// One line with the flag, its value and the limit.
    pub fn validate(&self) -> Result<()> {
        self.data.validate()?;
        validate_model(&self.model)?;
        validate_train(&self.train)?;
        if self.model.kind == "mlp" && self.model.norm == Norm::Batch && self.train.batch == Batch::Size(1) {
            return refuse("--batch", 1, "at least 2 with --norm batch: one example has no variance");
        }
        Ok(())
    }
}

fn validate_model(model: &ModelConfig) -> Result<()> {
    if model.kind == "ngram" {
        whole("--order", model.order as u64, 1, 12)?;
        return real("--k", model.k, model.k > 0.0 && model.k <= 1e6, "above 0 and at most 1000000");
    }
    whole("--context", model.context as u64, 1, MAX_CONTEXT as u64)?;
    whole("--embed", model.embed as u64, 0, MAX_WIDTH as u64)?;
    if model.hidden.len() > MAX_LAYERS {
        return refuse("--hidden", format!("{} layers", model.hidden.len()), "at most 64 layers");
    }
    if let Some(width) = model.hidden.iter().find(|&&width| width == 0 || width > MAX_WIDTH) {
        return refuse("--hidden", width, "from 1 to 65536 each");
    }
    real("--dropout", model.dropout, (0.0..1.0).contains(&model.dropout), "from 0 to below 1")?;
    let scale = |x: f64| x > 0.0 && x <= 1000.0;
    if let Some(gain) = model.gain {
        real("--gain", gain, scale(gain), "above 0 and at most 1000")?;
    }
    let output_scale = model.output_scale;
    real("--output-scale", output_scale, output_scale == 0.0 || scale(output_scale), "from 0 to 1000")
}

fn validate_train(train: &TrainConfig) -> Result<()> {
    whole("--steps", train.steps, 0, 1 << 40)?;
    if let Batch::Size(batch) = train.batch {
        whole("--batch", batch as u64, 1, MAX_BATCH as u64)?;
    }
    real("--lr", train.lr, (0.0..=1e30).contains(&train.lr), "from 0 to 1e30")?;
    for (at, by) in &train.lr_drops {
        if !((0.0..=1.0).contains(at) && (0.0..=1000.0).contains(by)) {
            return refuse(
                "--lr-drops",
                format!("{at}:{by}"),
                "a fraction from 0 to 1, a factor from 0 to 1000",
            );
        }
    }
    let part = |x: f64| (0.0..=1.0).contains(&x);
    let below_one = |x: f64| (0.0..1.0).contains(&x);
    real("--warmup", train.warmup, part(train.warmup), "from 0 to 1")?;
    real("--decay", train.decay, part(train.decay), "from 0 to 1")?;
    let weight_decay = train.weight_decay;
    real("--weight-decay", weight_decay, (0.0..=1000.0).contains(&weight_decay), "from 0 to 1000")?;
    real("--momentum", train.momentum, below_one(train.momentum), "from 0 to below 1")?;
    real("--beta1", train.beta1, below_one(train.beta1), "from 0 to below 1")?;
    real("--beta2", train.beta2, below_one(train.beta2), "from 0 to below 1")?;
    real("--eps", train.eps, train.eps > 0.0 && train.eps <= 1.0, "above 0 and at most 1")?;
    let clip = train.clip;
    real("--clip", clip, (0.0..=1e6).contains(&clip), "from 0 (not clipped) to 1000000")?;
    seed("--seed", train.seed)?;
    whole("--eval-every", train.eval_every.unwrap_or(1), 1, MAX_WHOLE)?;
    whole("--log-every", train.log_every.unwrap_or(1), 1, MAX_WHOLE)?;
    whole("--patience", train.patience, 0, MAX_WHOLE)
}

fn seed(flag: &str, value: u64) -> Result<()> {
    whole(flag, value, 0, MAX_WHOLE)
}

fn whole(flag: &str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    refuse(flag, value, &format!("from {least} to {most}"))
}

fn real(flag: &str, value: f64, fits: bool, limit: &str) -> Result<()> {
    if fits { Ok(()) } else { refuse(flag, value, limit) }
}

fn refuse(flag: &str, value: impl std::fmt::Display, limit: &str) -> Result<()> {
    Err(Error::out_of_range(flag, value, limit))
}
