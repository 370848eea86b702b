//! From a configuration to its data: what training begins with.

use std::path::Path;

use crate::data::Data;
use crate::{Config, Error, Result, models};

/// Reads and splits the data that a configuration names, and makes explicit in it what depends on the data: the hash,
/// the mode and all that follows from it.
///
/// # Errors
/// A value out of range, whatever [`Data::load`] refuses, or sizes too large for the data's vocabulary.
///
/// ```
/// let mut config = charloom::Config::default();
/// let data = charloom::load_data(&mut config)?;
/// assert_eq!((data.vocab.len(), config.data.split), (27, Some([0.8, 0.1, 0.1])));
/// # Ok::<(), charloom::Error>(())
/// ```
pub fn load_data(config: &mut Config) -> Result<Data> {
    config.validate()?;
    models::fill(&mut config.model)?;
    let data = Data::load(&config.data, None)?;
    config.data.sha256 = Some(data.source.sha256.clone());
    config.resolve(data.mode());
    models::check_sizes(config, data.vocab.len())?;
    Ok(data)
}

/// A configuration from the defaults, a preset's TOML and a file's, with a model that is checked.
///
/// # Errors
/// As [`Config::layered`] and [`models::check`].
pub fn read_config(preset: Option<&str>, file: Option<&Path>) -> Result<Config> {
    let config = Config::layered(preset, file)?;
    models::check(&config.model).map_err(|error| match file {
        Some(path) => Error::model(path, format!("[model] {error}")),
        None => error,
    })?;
    Ok(config)
}
