//! All settings, from which Python makes its constructors, and the known data sets.

use std::path::PathBuf;
use std::str::FromStr;

use charloom::config::{Config, TrainConfig};
use charloom::data::{self, Cache, DataConfig, Dataset};
use charloom::size::{Size, recipe};
use charloom::{Error, Result, models, presets};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use serde_json::{Map, Value, json};

use crate::error::or_raise;
use crate::fit::config;
use crate::text::{Text, read};

/// Parses a setting that is one of a few words.
pub fn parsed<T: FromStr<Err = String>>(key: &str, word: &str) -> Result<T> {
    word.parse().map_err(|error| Error::setting(key, format!(": {error}")))
}

/// A JSON value as a Python object; a list becomes a tuple, so that a default cannot be changed.
fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(value) => value.into_bound_py_any(py),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => whole.into_bound_py_any(py),
            (_, Some(whole)) => whole.into_bound_py_any(py),
            _ => number.as_f64().into_bound_py_any(py),
        },
        Value::String(text) => text.into_bound_py_any(py),
        Value::Array(items) => {
            let items = items.iter().map(|item| to_python(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyTuple::new(py, items)?.into_bound_py_any(py)
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            members.iter().try_for_each(|(key, value)| dict.set_item(key, to_python(py, value)?))?;
            dict.into_bound_py_any(py)
        }
    }
}

/// The settings of each kind of model (key, about, limit, default), and the defaults of training and data.
#[pyfunction]
pub fn settings(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // Numbers, words and lists of them are written alike in TOML and JSON.
    let default = |toml: Option<String>| {
        toml.map_or(Value::Null, |toml| serde_json::from_str(&toml).unwrap_or_default())
    };
    let setting = |setting: &charloom::config::Setting| {
        json!({
            "key": setting.key, "about": setting.about, "limit": setting.limit,
            "default": default((setting.default)()),
        })
    };
    let kinds: Map<String, Value> = models::all()
        .map(|kind| (kind.name().to_owned(), kind.settings().iter().map(setting).collect()))
        .collect();
    to_python(py, &json!({ "kinds": kinds, "train": TrainConfig::default(), "data": DataConfig::default() }))
}

/// A preset's configuration.
#[pyfunction]
pub fn preset<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let config = presets::get(name).and_then(|preset| Config::layered(Some(preset.toml), None));
    to_python(py, &serde_json::to_value(or_raise(py, config)?).unwrap_or_default())
}

/// The configuration of a size for a text, with the given kind of model or the one that suits the text best.
#[pyfunction]
pub fn sized<'py>(
    py: Python<'py>,
    size: &str,
    kind: Option<&str>,
    config_json: &str,
    text: Text,
    val: Option<Text>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut of_data = config(py, config_json)?;
    let made = py.detach(|| {
        let size: Size = parsed("size", size)?;
        let data = read(&mut of_data, &text, val.as_ref())?;
        Config::layered(Some(&recipe(kind, size, &data)?), None)
    });
    to_python(py, &serde_json::to_value(or_raise(py, made)?).unwrap_or_default())
}

/// The path of a known data set's file, if it was fetched.
#[pyfunction]
pub fn cached_dataset(py: Python<'_>, name: &str) -> PyResult<Option<PathBuf>> {
    or_raise(py, Dataset::get(name).and_then(|set| Ok(Cache::of_user()?.find(&set))))
}

/// The embedded list of names.
#[pyfunction]
pub fn embedded_names() -> String {
    data::NAMES.to_owned()
}
