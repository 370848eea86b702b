//! What a configuration may say: each refusal names the flag, its value and the limit.

use super::{Batch, Config, ModelConfig, ModelKind, Norm, TrainConfig};
use crate::{Error, Result};

/// The largest context.
const MAX_CONTEXT: usize = 1024;
/// The widest embedding or hidden layer.
const MAX_WIDTH: usize = 65_536;
/// The most hidden layers.
const MAX_LAYERS: usize = 64;
/// The largest minibatch; `full` has no limit.
const MAX_BATCH: usize = 1 << 20;
/// The most parameters.
const MAX_PARAMETERS: u64 = 1 << 28;
/// The most numbers in one step's widest layer.
const MAX_ACTIVATIONS: u64 = 1 << 30;
/// TOML's whole numbers end here.
const MAX_WHOLE: u64 = i64::MAX as u64;

impl Config {
    /// Checks every value and every product of sizes, before anything is allocated.
    ///
    /// # Errors
    /// One line with the flag, its value and the limit.
    pub fn validate(&self) -> Result<()> {
        self.data.validate()?;
        validate_model(&self.model)?;
        validate_train(&self.train)?;
        if self.model.kind == ModelKind::Mlp
            && self.model.norm == Norm::Batch
            && self.train.batch == Batch::Size(1)
        {
            return refuse("--batch", 1, "at least 2 with --norm batch: one example has no variance");
        }
        self.validate_sizes(2)
    }

    /// Checks the products of sizes for a vocabulary of `vocab` characters.
    ///
    /// # Errors
    /// One line with the sizes and the limit.
    pub fn validate_sizes(&self, vocab: usize) -> Result<()> {
        let model = &self.model;
        if model.kind == ModelKind::Ngram {
            return Ok(());
        }
        let parameters = model.parameters(vocab);
        if parameters.is_none_or(|count| count > MAX_PARAMETERS) {
            let count = parameters.map_or_else(|| "more than 2^64".to_owned(), |count| count.to_string());
            let sizes = format!(
                "--context {}, --embed {}, --hidden {} and {vocab} characters make {count} parameters",
                model.context,
                model.embed,
                list(&model.hidden)
            );
            return Err(Error::usage(format!(
                "{sizes}; the limit is {MAX_PARAMETERS}: choose smaller sizes"
            )));
        }
        if let Batch::Size(batch) = self.train.batch {
            let input = (model.context as u64).saturating_mul(model.embed as u64);
            let hidden = model.hidden.iter().map(|&width| width as u64);
            let widest = hidden.chain([input, vocab as u64]).max().unwrap_or(0);
            if widest.saturating_mul(batch as u64) > MAX_ACTIVATIONS {
                let limit = format!("at most {} with a layer of {widest}", MAX_ACTIVATIONS / widest);
                return refuse("--batch", batch, &limit);
            }
        }
        Ok(())
    }
}

impl ModelConfig {
    /// The number of parameters with a vocabulary of `vocab`; none beyond 2^64, and for an n-gram model,
    /// which has counts instead.
    #[must_use]
    pub fn parameters(&self, vocab: usize) -> Option<u64> {
        let vocab = vocab as u64;
        let embed = self.embed as u64;
        let width = if self.kind == ModelKind::Mlp && embed > 0 { embed } else { vocab };
        let mut inputs = (self.context as u64).checked_mul(width)?;
        match self.kind {
            ModelKind::Ngram => return None,
            ModelKind::Linear => {
                return inputs.checked_mul(vocab)?.checked_add(if self.bias { vocab } else { 0 });
            }
            ModelKind::Mlp => {}
        }
        let mut total = embed.checked_mul(vocab)?;
        for &hidden in &self.hidden {
            let hidden = hidden as u64;
            let bias = if self.norm == Norm::None || self.bias { hidden } else { 0 };
            let norm = if self.norm == Norm::None { 0 } else { hidden.checked_mul(2)? };
            total = total.checked_add(inputs.checked_mul(hidden)?)?.checked_add(bias)?.checked_add(norm)?;
            inputs = hidden;
        }
        total.checked_add(inputs.checked_mul(vocab)?)?.checked_add(vocab)
    }
}

fn validate_model(model: &ModelConfig) -> Result<()> {
    if model.kind == ModelKind::Ngram {
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

fn list(widths: &[usize]) -> String {
    widths.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
