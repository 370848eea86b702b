//! The fuzz targets' own functions.

#[path = "../../../../fuzz/src/config.rs"]
pub mod config;
#[path = "../../../../fuzz/src/data.rs"]
pub mod data;
#[path = "../../../../fuzz/src/model.rs"]
pub mod model;
#[path = "../../../../fuzz/src/state.rs"]
pub mod state;
