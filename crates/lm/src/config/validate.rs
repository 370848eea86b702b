//! What a configuration may say: each refusal names the key, its value and the limit.

use super::{Batch, Config, NotebookConfig, TeacherConfig, TrainConfig};
use crate::data::check_name;
use crate::{Error, Result};

/// The largest minibatch; `full` has no limit.
const MAX_BATCH: usize = 1 << 20;
/// The longest training.
const MAX_STEPS: u64 = 1 << 40;
/// The most trainings of an ensemble.
const MAX_SEEDS: u64 = 64;
/// TOML's whole numbers end here.
const MAX_WHOLE: u64 = i64::MAX as u64;

impl Config {
    /// Checks every value but the model's, whose kind knows them: [`models::check`](crate::models::check).
    ///
    /// # Errors
    /// One line with the key, its value and the limit.
    pub fn validate(&self) -> Result<()> {
        self.data.validate()?;
        self.notebook.as_ref().map_or(Ok(()), NotebookConfig::validate)?;
        validate_train(&self.train)
    }
}

fn validate_train(train: &TrainConfig) -> Result<()> {
    whole("steps", train.steps, 0, MAX_STEPS)?;
    if let Batch::Size(batch) = train.batch {
        whole("batch", batch as u64, 1, MAX_BATCH as u64)?;
    }
    real("lr", train.lr, (0.0..=1e30).contains(&train.lr), "from 0 to 1e30")?;
    for (at, by) in &train.lr_drops {
        if !((0.0..=1.0).contains(at) && (0.0..=1000.0).contains(by)) {
            return refuse(
                "lr_drops",
                format!("{at}:{by}"),
                "a fraction from 0 to 1, a factor from 0 to 1000",
            );
        }
    }
    for (at, rate) in &train.lr_at {
        if !(*at <= MAX_STEPS && (0.0..=1e30).contains(rate)) {
            return refuse("lr_at", format!("{at}:{rate}"), "a step, a rate from 0 to 1e30");
        }
    }
    if !train.lr_at.is_sorted_by_key(|(at, _)| at) {
        return Err(Error::setting("lr_at", ": its steps must rise from one to the next"));
    }
    let part = |x: f64| (0.0..=1.0).contains(&x);
    let below_one = |x: f64| (0.0..1.0).contains(&x);
    real("lr_min", train.lr_min, (0.0..=train.lr).contains(&train.lr_min), "from 0 to ``lr``")?;
    real("warmup", train.warmup, part(train.warmup), "from 0 to 1")?;
    whole("warmup_steps", train.warmup_steps, 0, MAX_WHOLE)?;
    if train.warmup > 0.0 && train.warmup_steps > 0 {
        return Err(Error::setting(
            "warmup_steps",
            ": ``warmup`` says the same as a share; leave one of them out",
        ));
    }
    real("decay", train.decay, part(train.decay), "from 0 to 1")?;
    let weight_decay = train.weight_decay;
    real("weight_decay", weight_decay, (0.0..=1000.0).contains(&weight_decay), "from 0 to 1000")?;
    real("momentum", train.momentum, below_one(train.momentum), "from 0 to below 1")?;
    real("alpha", train.alpha, below_one(train.alpha), "from 0 to below 1")?;
    real("beta1", train.beta1, below_one(train.beta1), "from 0 to below 1")?;
    real("beta2", train.beta2, below_one(train.beta2), "from 0 to below 1")?;
    real("eps", train.eps, train.eps > 0.0 && train.eps <= 1.0, "above 0 and at most 1")?;
    let clip = train.clip;
    real("clip", clip, (0.0..=1e6).contains(&clip), "from 0 (not clipped) to 1000000")?;
    let most = train.clip_value;
    real("clip_value", most, (0.0..=1e6).contains(&most), "from 0 (not clipped) to 1000000")?;
    whole("accumulate", train.accumulate, 1, 1 << 20)?;
    real("ema", train.ema, below_one(train.ema), "from 0 (none) to below 1")?;
    check_name("init_from", train.init_from.as_deref())?;
    check_name("teacher", train.teacher.as_ref().map(|teacher| &*teacher.path))?;
    if let Some(TeacherConfig { weight, temperature, .. }) = train.teacher {
        real("teacher_weight", weight, part(weight), "from 0 to 1")?;
        real("teacher_temperature", temperature, (0.01..=100.0).contains(&temperature), "from 0.01 to 100")?;
    }
    seed("seed", train.seed)?;
    whole("seeds", train.seeds, 1, MAX_SEEDS)?;
    seed("seed", train.seed.saturating_add(train.seeds - 1))?;
    whole("eval_every", train.eval_every.unwrap_or(1), 1, MAX_WHOLE)?;
    whole("eval_size", train.eval_size.unwrap_or(0) as u64, 0, MAX_WHOLE)?;
    whole("log_every", train.log_every.unwrap_or(1), 1, MAX_WHOLE)?;
    whole("patience", train.patience, 0, MAX_WHOLE)
}

fn seed(key: &str, value: u64) -> Result<()> {
    whole(key, value, 0, MAX_WHOLE)
}

fn whole(key: &str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    refuse(key, value, &format!("from {least} to {most}"))
}

fn real(key: &str, value: f64, fits: bool, limit: &str) -> Result<()> {
    if fits { Ok(()) } else { refuse(key, value, limit) }
}

fn refuse(key: &str, value: impl std::fmt::Display, limit: &str) -> Result<()> {
    Err(Error::out_of_range(key, value, limit))
}
