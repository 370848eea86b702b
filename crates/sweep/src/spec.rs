//! The specification of a study.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::space::Space;
use charloom::data::Mode;
use charloom::{Config, Error, Result, presets};

charloom::choices! {
    /// How the settings of the next trial are chosen.
    Sampler {
        /// Every combination, in order.
        Grid = "grid",
        /// Each setting is drawn independently.
        Random = "random",
        /// Tree-structured Parzen estimators: settings like those of good trials and unlike those of the
        /// others.
        Tpe = "tpe",
    }
}

charloom::choices! {
    /// Which trials are stopped early, by the validation loss of their first seed.
    Pruning {
        /// No trials.
        None = "none",
        /// Asynchronous successive halving: at each rung the best 1 / `reduction` of the trials so far go on.
        Asha = "asha",
        /// As `Asha`, but trials in turn skip the first 0, 1, 2, ... rungs.
        Hyperband = "hyperband",
    }
}

/// A study's specification: the settings to vary and the limits, from a TOML file or from flags.
///
/// ```
/// use charloom_sweep::Spec;
///
/// let text = r#"
///     sampler = "tpe"
///     trials = 50
///     seeds = 2
///     prune = "asha"
///     preset = "layers"
///     base.train.steps = 2000
///
///     [settings]
///     embed = [2, 6, 10]
///     layers = { low = 1, high = 3 }
///     hidden = { low = 50, high = 300, log = true }
///     optimizer = ["sgd", "adamw"]
///     lr = { low = 1e-3, high = 1.0, log = true }
///     beta1 = { low = 0.8, high = 0.99, when = { optimizer = "adamw" } }
/// "#;
/// let (spec, base) = Spec::from_toml(text, "my.toml".as_ref())?;
/// assert_eq!((spec.trials, base.train.steps), (Some(50), 2000));
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// How the next trial's settings are chosen.
    pub sampler: Sampler,
    /// The most trials; `None`: all of a grid, 100 otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trials: Option<u64>,
    /// The most steps of all trials together: no trial begins that might exceed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// After this time a worker begins no more trials.
    ///
    /// # Units
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// Trainings per trial, with seeds that count up from the base's. A trial's loss is their mean.
    pub seeds: u64,
    /// Seed of the sampler.
    pub sampler_seed: u64,
    /// Which trials are stopped early.
    pub prune: Pruning,
    /// At a rung the best 1 / `reduction` go on, and the next rung has `reduction` times as many steps.
    pub reduction: u64,
    /// The steps of the first rung; `None`: the steps of a full training / `reduction`^3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_steps: Option<u64>,
    /// How long after its worker's last renewal a trial may be claimed by another worker.
    ///
    /// # Units
    /// Seconds.
    pub lease: f64,
    /// Whether every trial's test loss is measured, for a comparison with published figures.
    /// [`choose`](crate::choose()) refuses such a study.
    pub measure_test: bool,
    /// The settings to vary: each one's name, as in a configuration, and its values.
    pub settings: BTreeMap<String, Value>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            sampler: Sampler::Tpe,
            trials: None,
            max_steps: None,
            max_seconds: None,
            seeds: 1,
            sampler_seed: 1,
            prune: Pruning::None,
            reduction: 3,
            min_steps: None,
            lease: 30.0,
            measure_test: false,
            settings: BTreeMap::new(),
        }
    }
}

impl Spec {
    /// Reads a study's file: a specification, and the base configuration from `preset` and `base`.
    ///
    /// # Errors
    /// Invalid TOML; unknown keys, words or presets. `path` is for messages.
    pub fn from_toml(text: &str, path: &Path) -> Result<(Self, Config)> {
        let failed = |e: &dyn std::fmt::Display| Error::model(path, e.to_string().trim().replace('\n', "; "));
        let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| failed(&e))?;
        let preset = match table.remove("preset") {
            Some(toml::Value::String(name)) => Some(presets::get(&name)?.toml),
            Some(other) => return Err(failed(&format!("preset = {other} is not a name"))),
            None => None,
        };
        let mut base = serde_json::to_value(Config::layered(preset, None)?).map_err(|e| failed(&e))?;
        if let Some(above) = table.remove("base") {
            merge(&mut base, serde_json::to_value(above).map_err(|e| failed(&e))?);
        }
        let base = serde_json::from_value(base).map_err(|e| failed(&format!("[base]: {e}")))?;
        let spec = table.try_into().map_err(|e: toml::de::Error| failed(&e))?;
        Ok((spec, base))
    }

    /// Checks every value, and that each setting can have each of its values.
    ///
    /// # Errors
    /// One line with the name and the limit.
    pub fn validate(&self, base: &Config, mode: Mode) -> Result<Space> {
        let refuse = |what: String| Err(Error::usage(what));
        if !(1..=1000).contains(&self.seeds) {
            return refuse(format!("seeds {} is out of range; it must be from 1 to 1000", self.seeds));
        }
        if base.train.seed > i64::MAX as u64 - self.seeds {
            return refuse(format!("seed {} leaves no room to count up from", base.train.seed));
        }
        if self.sampler_seed > i64::MAX as u64 {
            return refuse(format!("sampler seed {} is out of range", self.sampler_seed));
        }
        if !(2..=100).contains(&self.reduction) {
            return refuse(format!("reduction {} is out of range; it must be from 2 to 100", self.reduction));
        }
        if self.trials.is_some_and(|trials| !(1..=1_000_000).contains(&trials)) {
            return refuse("trials must be from 1 to 1000000".to_owned());
        }
        if !(self.lease >= 0.5 && self.lease <= 86_400.0) {
            return refuse(format!("lease {} is out of range; it must be 0.5 to 86400 seconds", self.lease));
        }
        if self.max_seconds.is_some_and(|seconds| !(seconds > 0.0 && seconds.is_finite())) {
            return refuse("max_seconds must be above 0".to_owned());
        }
        if self.max_steps == Some(0) || self.min_steps == Some(0) {
            return refuse("max_steps and min_steps must be at least 1".to_owned());
        }
        if self.settings.is_empty() {
            return refuse("nothing varies; name a setting, as in ``grid`` embed=2,6,10".to_owned());
        }
        Space::new(&self.settings, base, mode, self.sampler == Sampler::Grid)
    }

    /// The most trials.
    pub(super) fn limit(&self) -> u64 {
        match self.sampler {
            Sampler::Grid => self.trials.unwrap_or(u64::MAX),
            Sampler::Random | Sampler::Tpe => self.trials.unwrap_or(100),
        }
    }
}

/// Overwrites the values of `below` with those of `above`, table by table.
fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                merge(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}
