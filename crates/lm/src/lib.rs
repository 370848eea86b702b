//! Character-level language models, from a file of text to new words.
//!
//! [`data`] turns a file into tokens and splits, [`config`] is every setting. [`models`] learn, by [`mod@train`];
//! [`files`] keeps what they have learnt. [`evaluation`] judges, [`sample`] writes new words. [`error`] is what may go wrong on the way.
#![forbid(unsafe_code)]

pub mod backprop;
pub mod config;
pub mod data;
pub mod disk;
pub mod ensemble;
pub mod error;
pub mod evaluation;
pub mod explain;
mod feed;
pub mod files;
pub mod gradcheck;
pub mod inspect;
pub mod lr_find;
pub mod mix;
pub mod models;
pub mod prelude;
mod prepare;
pub mod presets;
pub mod sample;
pub mod size;
pub mod speed;
pub mod threads;
pub mod train;
pub mod words;

pub use config::Config;
pub use error::{Error, Result};
pub use files::Checkpoint;
pub use prepare::{find_data, load_data, read_config, reload_data, settle};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
