//! The search space: settings, their values, and their conditions.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use charloom::config::ModelConfig;
use charloom::data::Mode;
use charloom::{Config, Error, Result, models, presets};

use super::names::{Known, has, has_layers, known};

/// A trial's settings, name to value, in the order of the space.
pub type Settings = Map<String, Value>;

/// The most hidden layers a study may vary.
const MAX_LAYERS: i64 = 16;

/// The most values that a setting may list, and the most combinations that a value is tried in before a study
/// begins.
const MAX_CHOICES: usize = 1000;

/// The values of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// One of a list.
    Choices(Vec<Value>),
    /// A whole number, both ends included.
    Int {
        /// The smallest.
        low: i64,
        /// The largest.
        high: i64,
        /// Whether its logarithm is drawn uniformly.
        log: bool,
    },
    /// A number.
    Float {
        /// The smallest.
        low: f64,
        /// The largest.
        high: f64,
        /// Whether its logarithm is drawn uniformly.
        log: bool,
        /// The number of values in a grid.
        points: Option<u64>,
    },
}

/// A setting that varies.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name, as in a configuration: `embed`, `lr`; a teacher's are `teacher_weight` and
    /// `teacher_temperature`. There are also `layers`, the number of hidden layers,
    /// `hidden.1`, the first one's width, and `preset`, which replaces the base's model and training.
    pub name: String,
    /// Its values.
    pub domain: Domain,
    /// Its condition, if any: another setting and those of its values with which this one is active.
    pub when: Option<(String, Vec<Value>)>,
}

/// The search space: all settings that vary, each after the one it depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// The settings.
    pub settings: Vec<Setting>,
}

impl Space {
    /// Reads the settings of a specification, and tries each end and choice.
    pub(super) fn new(
        written: &BTreeMap<String, Value>,
        base: &Config,
        mode: Mode,
        is_grid: bool,
    ) -> Result<Self> {
        let mut all = Vec::new();
        for (name, value) in written {
            let name = name.replace('-', "_");
            let Known { is_real, .. } = known(&name)?;
            all.push(read(&name, value, is_real)?);
        }
        let has_widths = kinds(&all, base).iter().any(|kind| !has_layers(kind));
        let all = if has_widths { one_for_each_layer(all)? } else { all };
        let mut settings: Vec<Setting> = Vec::new();
        let mut left = all;
        while !left.is_empty() {
            let placed = |s: &Setting| {
                s.when.as_ref().is_none_or(|(on, _)| settings.iter().any(|placed| placed.name == *on))
            };
            let Some(next) = left.iter().position(placed) else {
                let Setting { name, when, .. } = &left[0];
                let on = when.as_ref().map_or("", |(on, _)| on.as_str());
                return Err(Error::usage(format!(
                    "setting {name}: it depends on {on:?}, which is not a setting of the study or depends on it"
                )));
            };
            settings.push(left.remove(next));
        }
        let space = Self { settings };
        let kinds = kinds(&space.settings, base);
        for setting in &space.settings {
            let of_layer = setting.name.starts_with("hidden.");
            let Known { section, key, .. } = known(if of_layer { "hidden" } else { &setting.name })?;
            if section == "teacher" && base.train.teacher.is_none() {
                let name = &setting.name;
                return Err(Error::usage(format!(
                    "setting {name}: there is no ``teacher``; name a run as one"
                )));
            }
            let is_own = |kind: &&String| section != "model" || has(kind, &key);
            if setting.when.is_none()
                && let Some(kind) = kinds.iter().find(|kind| !is_own(kind))
            {
                let way = "say when = { model = ... } with the kind that has it, or leave it out";
                let name = &setting.name;
                return Err(Error::usage(format!(
                    "setting {name}: a model of kind {kind:?} has none; {way}"
                )));
            }
            if let (true, Domain::Float { points: None, .. }) = (is_grid, &setting.domain) {
                return Err(Error::usage(format!(
                    "setting {}: a grid needs values, or points = N beside low and high",
                    setting.name
                )));
            }
        }
        for setting in &space.settings {
            space.check(setting, base, mode)?;
        }
        Ok(space)
    }

    /// Checks each choice or end of a setting: it must be valid in one of the combinations with those of the
    /// other settings, of which at most [`MAX_CHOICES`] are tried.
    fn check(&self, setting: &Setting, base: &Config, mode: Mode) -> Result<()> {
        for value in setting.domain.ends() {
            let of = |other: &Setting| match &setting.when {
                _ if other.name == setting.name => vec![value.clone()],
                Some((on, values)) if other.name == *on => values.clone(),
                _ => other.domain.ends(),
            };
            let values: Vec<Vec<Value>> = self.settings.iter().map(of).collect();
            let count = values.iter().map(Vec::len).fold(1, usize::saturating_mul);
            let mut refused = None;
            for number in 0..count.min(MAX_CHOICES) {
                let settings = self.combination(&values, number);
                if !settings.contains_key(&setting.name) {
                    continue;
                }
                match apply(base, &settings, mode).and_then(|config| config.validate()) {
                    Ok(()) => {
                        refused = None;
                        break;
                    }
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            if let Some(error) = refused {
                return Err(Error::usage(format!("setting {} = {value}: {error}", setting.name)));
            }
        }
        Ok(())
    }

    /// The active settings of combination `number` of these values of each setting; the first setting varies
    /// fastest.
    fn combination(&self, values: &[Vec<Value>], mut number: usize) -> Settings {
        let mut settings = Map::new();
        for (setting, values) in self.settings.iter().zip(values) {
            let value = &values[number % values.len()];
            number /= values.len();
            if Self::is_active(setting, &settings) {
                settings.insert(setting.name.clone(), value.clone());
            }
        }
        settings
    }

    /// Whether the setting's condition holds for those already set.
    pub(super) fn is_active(setting: &Setting, settings: &Settings) -> bool {
        setting.when.as_ref().is_none_or(|(on, values)| settings.get(on).is_some_and(|v| values.contains(v)))
    }
}

/// The kinds of model that a study of these settings tries.
fn kinds(settings: &[Setting], base: &Config) -> Vec<String> {
    let varied = settings.iter().find(|setting| setting.name == "model");
    let choices = varied.map_or_else(Vec::new, |setting| setting.domain.ends());
    let kinds: Vec<String> = choices.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect();
    if kinds.is_empty() { vec![base.model.kind.clone()] } else { kinds }
}

impl Domain {
    /// The values to try before the study begins: every choice, both ends of a range.
    fn ends(&self) -> Vec<Value> {
        match self {
            Self::Choices(choices) => choices.clone(),
            Self::Int { low, high, .. } => vec![json!(low), json!(high)],
            Self::Float { low, high, .. } => vec![json!(low), json!(high)],
        }
    }

    /// The values in a grid.
    pub(super) fn grid(&self) -> Vec<Value> {
        match *self {
            Self::Choices(ref choices) => choices.clone(),
            Self::Int { low, high, .. } => (low..=high).map(|n| json!(n)).collect(),
            Self::Float { low, high, log, points } => {
                let n = points.unwrap_or(1);
                let at = |i: u64| if n > 1 { i as f64 / (n - 1) as f64 } else { 0.5 };
                let value = |t: f64| match () {
                    // The ends exactly, without rounding errors.
                    () if t == 0.0 => low,
                    () if t == 1.0 => high,
                    () if log => (low.ln() + t * (high / low).ln()).exp(),
                    () => low + t * (high - low),
                };
                (0..n).map(|i| json!(value(at(i)))).collect()
            }
        }
    }

    /// The number of values in a grid.
    pub(super) fn grid_len(&self) -> u64 {
        match *self {
            Self::Choices(ref choices) => choices.len() as u64,
            Self::Int { low, high, .. } => high.abs_diff(low).saturating_add(1),
            Self::Float { points, .. } => points.unwrap_or(1),
        }
    }
}

/// The base with a trial's settings, and with the defaults that depend on them filled in.
pub(super) fn apply(base: &Config, settings: &Settings, mode: Mode) -> Result<Config> {
    let failed = |e: serde_json::Error| Error::usage(e.to_string());
    let preset = settings.get("preset").map(|name| presets::get(name.as_str().unwrap_or_default()));
    let base = match preset {
        None => base,
        Some(preset) => &Config { data: base.data.clone(), ..Config::layered(Some(preset?.toml), None)? },
    };
    let mut base = base.clone();
    if let Some(kind) = settings.get("model").and_then(Value::as_str).filter(|kind| *kind != base.model.kind)
    {
        base.model = ModelConfig::of(kind);
    }
    models::fill(&mut base.model)?;
    let kind = base.model.kind.clone();
    let mut config = serde_json::to_value(base).map_err(failed)?;
    let mut widths: Vec<usize> =
        serde_json::from_value(config["model"]["hidden"].clone()).unwrap_or_default();
    let of_widths = |name: &str| name == "layers" && !has_layers(&kind) || name.starts_with("hidden.");
    let varies = settings.keys().any(|name| of_widths(name));
    for (name, value) in settings.iter().filter(|(name, _)| of_widths(name)) {
        if name == "layers" {
            let layers = value.as_u64().unwrap_or(1).min(MAX_LAYERS as u64) as usize;
            let last = widths.last().copied().unwrap_or(200);
            widths.resize(layers, last);
        } else if let Some(layer) = name.strip_prefix("hidden.") {
            let layer: usize = layer.parse().map_err(|_| Error::usage(format!("no setting {name:?}")))?;
            let width = value.as_u64().and_then(|n| usize::try_from(n).ok());
            let width = width.ok_or_else(|| Error::usage(format!("{name} = {value} is no width")))?;
            if let Some(of_layer) = widths.get_mut(layer.wrapping_sub(1)) {
                *of_layer = width;
            }
        }
    }
    if varies {
        config["model"]["hidden"] = json!(widths);
    }
    for (name, value) in settings {
        if name == "preset" || of_widths(name) {
            continue;
        }
        let Known { section, key, .. } = known(name)?;
        // `hidden` may be one width instead of a list: one layer.
        let is_width = key == "hidden" && value.is_u64();
        let table = if section == "teacher" { &mut config["train"][section] } else { &mut config[section] };
        table[key] = if is_width { json!([value]) } else { value.clone() };
    }
    let mut config: Config = serde_json::from_value(config).map_err(failed)?;
    // The study says how often a trial is trained, not the base, which may be an ensemble's.
    config.train.seeds = 1;
    config.resolve(mode);
    models::fill(&mut config.model)?;
    Ok(config)
}

/// Reads a setting of a specification: a list of values, or a table.
fn read(name: &str, value: &Value, is_real: bool) -> Result<Setting> {
    let refuse = |what: &str| Err(Error::usage(format!("setting {name}: {what}")));
    let table = match value {
        Value::Array(choices) => &Map::from_iter([("choices".to_owned(), json!(choices))]),
        Value::Object(table) => table,
        _ => return refuse("a list of values is needed, or { low = ..., high = ... }"),
    };
    let keys = ["choices", "low", "high", "log", "points", "when"];
    if let Some(key) = table.keys().find(|key| !keys.contains(&key.as_str())) {
        return refuse(&format!("unknown key {key:?}; known here: {}", keys.join(", ")));
    }
    let log = match table.get("log") {
        None => false,
        Some(Value::Bool(log)) => *log,
        Some(_) => return refuse("log must be true or false"),
    };
    let points = match table.get("points").map(Value::as_u64) {
        None => None,
        Some(Some(points @ 1..=10_000)) => Some(points),
        Some(_) => return refuse("points must be a whole number from 1 to 10000"),
    };
    let when = match table.get("when") {
        None => None,
        Some(Value::Object(when)) if when.len() == 1 => when.iter().next().map(|(on, values)| {
            let values = values.as_array().cloned().unwrap_or_else(|| vec![values.clone()]);
            (on.replace('-', "_"), values)
        }),
        Some(_) => return refuse("when must name one other setting and its values"),
    };
    let domain = match (table.get("choices"), table.get("low"), table.get("high")) {
        (Some(Value::Array(choices)), None, None) if !choices.is_empty() => {
            if choices.len() > MAX_CHOICES {
                let way = format!(
                    "{} values are too many; list at most {MAX_CHOICES}, or say low and high",
                    choices.len()
                );
                return refuse(&way);
            }
            if choices.iter().enumerate().any(|(i, choice)| choices[..i].contains(choice)) {
                return refuse("a value is there twice");
            }
            Domain::Choices(choices.clone())
        }
        (None, Some(low), Some(high)) => {
            let whole = if is_real { (None, None) } else { (low.as_i64(), high.as_i64()) };
            if let (Some(low), Some(high)) = whole {
                if !(0 <= low && low < high && high < 1 << 53) {
                    return refuse("low must be below high, and not below 0");
                }
                Domain::Int { low, high, log }
            } else if let (Some(low), Some(high)) = (low.as_f64(), high.as_f64()) {
                if !(low < high && (high - low).is_finite()) {
                    return refuse("low must be below high");
                }
                Domain::Float { low, high, log, points }
            } else {
                return refuse("low and high must be numbers");
            }
        }
        _ => return refuse("either choices or low and high are needed"),
    };
    if let (true, Domain::Int { low, .. }) = (log, &domain)
        && *low < 1
    {
        return refuse("log needs low to be at least 1");
    }
    if let (true, Domain::Float { low, .. }) = (log, &domain)
        && *low <= 0.0
    {
        return refuse("log needs low to be above 0");
    }
    Ok(Setting { name: name.to_owned(), domain, when })
}

/// With `layers`, replaces `hidden` by a setting for each layer, active in trials that have the layer.
fn one_for_each_layer(all: Vec<Setting>) -> Result<Vec<Setting>> {
    let Some(layers) = all.iter().find(|setting| setting.name == "layers") else { return Ok(all) };
    let counts: Vec<i64> = match &layers.domain {
        Domain::Int { low, high, .. } if *high <= MAX_LAYERS => (*low..=*high).collect(),
        Domain::Choices(choices) => choices.iter().filter_map(Value::as_i64).collect(),
        _ => Vec::new(),
    };
    let most = counts.iter().copied().max().unwrap_or(-1);
    let is_whole = counts.len() as u64 == layers.domain.grid_len();
    if !(is_whole && counts.iter().all(|n| (0..=MAX_LAYERS).contains(n))) {
        return Err(Error::usage(format!("setting layers: whole numbers from 0 to {MAX_LAYERS} are needed")));
    }
    let mut settings = Vec::new();
    for setting in all {
        if setting.name != "hidden" {
            settings.push(setting);
            continue;
        }
        if setting.when.is_some() {
            return Err(Error::usage("setting hidden: beside layers it takes no when"));
        }
        for layer in 1..=most {
            let enough = counts.iter().filter(|&&n| n >= layer).map(|n| json!(n)).collect();
            let when = Some(("layers".to_owned(), enough));
            settings.push(Setting { name: format!("hidden.{layer}"), domain: setting.domain.clone(), when });
        }
    }
    Ok(settings)
}
