//! From a configuration to its data: what training begins with.

use crate::data::Data;
use crate::{Config, Result, models};

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
    let data = Data::load(&config.data, None)?;
    config.data.sha256 = Some(data.source.sha256.clone());
    config.resolve(data.mode());
    models::check_sizes(config, data.vocab.len())?;
    Ok(data)
}
