//! The flags of the data, the model and the training: one for each key of a configuration.

mod data;
mod flags;
mod model;
mod optimizer;
mod train;

use charloom::{Config, Result, presets};

pub use data::DataFlags;
pub use model::ModelFlags;
pub use train::{EVALUATIONS, OPTIMIZER, RATES, RUNS, TrainFlags};

/// The configuration that `--preset` and `--config` make.
pub fn base(preset: Option<&str>, file: Option<&std::path::Path>) -> Result<Config> {
    let preset = preset.map(presets::get).transpose()?;
    charloom::read_config(preset.map(|preset| preset.toml), file)
}
