//! Character-level language models, from a file of text to new words.
//!
//! Data walks a straight line, one module to a step: a file is read into a [`corpus`], its characters numbered by a
//! [`vocab`], cut by [`split`], and looked at as [`examples`] of a context and what follows it; [`data`] does these
//! steps at once. [`models`] learn from them, [`evaluate`] judges, [`sample`] writes new words, [`score`] says how
//! likely given ones are. [`error`] is what may go wrong on the way.
#![forbid(unsafe_code)]

pub mod backprop;
pub mod card;
pub mod checkpoint;
mod clean;
pub mod compare;
pub mod config;
pub mod corpus;
pub mod data;
pub mod datasets;
pub mod disk;
pub mod error;
pub mod evaluate;
pub mod examples;
pub mod explain;
pub mod gradcheck;
pub mod inspect;
pub mod lr_find;
pub mod models;
pub mod presets;
pub mod run;
pub mod sample;
pub mod score;
pub mod speed;
pub mod split;
pub mod threads;
pub mod train;
pub mod vocab;

pub use checkpoint::Checkpoint;
pub use config::Config;
pub use error::{Error, Result};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
