//! What the fuzz targets do with their bytes. The tests of the crates concerned include these files too, and replay the
//! corpora through the same functions.
#![forbid(unsafe_code)]

mod config;
mod data;
mod expression;
mod model;
mod state;

pub use config::config;
pub use data::data;
pub use expression::expression;
pub use model::model;
pub use state::state;
