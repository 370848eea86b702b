//! What there is to set, for the constructors that Python makes of it.

use charloom::config::{Config, TrainConfig};
use charloom::data::{self, DataConfig};
use charloom::{models, presets};
use pyo3::prelude::*;
use serde_json::{Map, Value, json};

use crate::error::or_raise;

/// As JSON: of each kind its settings (key, about, limit, and default as TOML), and the defaults of training and data.
#[pyfunction]
pub fn settings() -> String {
    let setting = |setting: &charloom::config::Setting| {
        json!({
            "key": setting.key, "about": setting.about, "limit": setting.limit,
            "default": (setting.default)(),
        })
    };
    let kinds: Map<String, Value> = models::all()
        .map(|kind| (kind.name().to_owned(), kind.settings().iter().map(setting).collect()))
        .collect();
    json!({ "kinds": kinds, "train": TrainConfig::default(), "data": DataConfig::default() }).to_string()
}

/// A preset's configuration as JSON.
#[pyfunction]
pub fn preset(py: Python<'_>, name: &str) -> PyResult<String> {
    let config = presets::get(name).and_then(|preset| Config::layered(Some(preset.toml), None));
    let config = or_raise(py, config)?;
    Ok(serde_json::to_string(&config).expect("a configuration is plain data"))
}

/// The embedded list of names.
#[pyfunction]
pub fn embedded_names() -> String {
    data::NAMES.to_owned()
}
