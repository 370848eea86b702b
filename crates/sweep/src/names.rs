//! The names of settings that a study may vary, and the kinds of models that have them.

use charloom::choices::nearest;
use charloom::config::{Feed, ModelConfig, TeacherConfig};
use charloom::data::Mode;
use charloom::{Config, Error, Result, models};
use serde_json::Value;

/// What a setting's name stands for.
pub(super) struct Known {
    /// The part of the configuration: `model`, `train`, or `teacher` within `train`.
    pub section: &'static str,
    /// The key in this part.
    pub key: String,
    /// Whether it is a real number.
    pub is_real: bool,
}

/// Whether this kind of model has this setting; `hidden.N` counts as `hidden`, and so does `layers` unless
/// the kind has its own.
pub(super) fn has(kind: &str, key: &str) -> bool {
    let of_widths = key == "layers" && !has_layers(kind) || key.starts_with("hidden.");
    ["kind", "preset"].contains(&key) || has_own(kind, if of_widths { "hidden" } else { key })
}

/// Whether this kind of model has a setting `layers`, instead of a width for each layer.
pub(super) fn has_layers(kind: &str) -> bool {
    has_own(kind, "layers")
}

fn has_own(kind: &str, key: &str) -> bool {
    models::all().any(|of| of.name() == kind && of.settings().iter().any(|setting| setting.key == key))
}

/// What the name of a setting stands for.
pub(super) fn known(name: &str) -> Result<Known> {
    let found = |section, key: &str, is_real| Ok(Known { section, key: key.to_owned(), is_real });
    if matches!(name, "layers" | "preset") {
        return found("model", name, false);
    }
    if matches!(name, "seed" | "seeds") {
        return Err(Error::usage(
            "setting seed: a study does not choose seeds; seeds = N trains each trial N times",
        ));
    }
    let key = if name == "model" { "kind" } else { name };
    let mut keys = vec!["layers", "model", "preset", "teacher_weight", "teacher_temperature"];
    for kind in models::all() {
        let mut model = ModelConfig::of(kind.name());
        // `fill` fails for a mixture, which is made of runs and has nothing to vary.
        if models::fill(&mut model).is_err() {
            continue;
        }
        let model = serde_json::to_value(model).unwrap_or_default();
        // A setting whose default follows from others is not serialized.
        if has_own(kind.name(), key) || key == "kind" {
            return found("model", key, model.get(key).is_some_and(Value::is_f64));
        }
        keys.extend(kind.settings().iter().map(|setting| setting.key));
    }
    let config = with_all_of_train();
    if let Some(key) = name.strip_prefix("teacher_")
        && let Some(default) = config["train"]["teacher"].get(key)
    {
        return found("teacher", key, default.is_f64());
    }
    if ["init_from", "teacher"].contains(&key) {
        let way = format!("``{key}`` beside the settings says it for all trials");
        return Err(Error::usage(format!("setting {name}: a study does not vary runs; {way}")));
    }
    if let Some(default) = config["train"].get(key) {
        return found("train", key, default.is_f64());
    }
    if config["data"].get(key).is_some() {
        return Err(Error::usage(format!("setting {name}: a study's data is one; put it into the base")));
    }
    let of_train = config["train"].as_object().into_iter().flat_map(|table| table.keys().map(String::as_str));
    keys.extend(of_train.filter(|key| !["init_from", "seed", "seeds", "teacher"].contains(key)));
    let hint = nearest(key, &keys).map_or(String::new(), |near| format!("; did you mean {near:?}?"));
    Err(Error::usage(format!("no setting {name:?}{hint}")))
}

/// A configuration whose training has each setting, since those without a value are not serialized.
fn with_all_of_train() -> Value {
    let mut config = Config::default();
    config.resolve(Mode::Lines);
    let train = &mut config.train;
    (train.eval_every, train.eval_size, train.feed) = (Some(1), Some(0), Some(Feed::Words));
    train.teacher = Some(TeacherConfig { path: ".".into(), sha256: None, weight: 0.5, temperature: 1.0 });
    serde_json::to_value(config).unwrap_or_default()
}
