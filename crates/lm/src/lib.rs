//! Character-level language models: text goes in, a model that writes more of the same comes out.
//!
//! The library trains models, says how well they predict and why, and keeps them as files that are complete by
//! themselves. The command `charloom` and the Python package are made of it.
//!
//! ```
//! use charloom::prelude::*;
//!
//! fn main() -> Result<()> {
//!     // The defaults, with fewer steps: a net over the last three characters, and the names that come along.
//!     let mut config = Config::default();
//!     config.model.set("hidden", vec![64]);
//!     config.train.steps = 500;
//!     let data = load_data(&mut config)?;
//!
//!     let mut trainer = Trainer::new(&config, &data)?;
//!     for _ in 0..config.train.steps {
//!         trainer.step()?;
//!     }
//!     let model = trainer.into_model();
//!
//!     if let Some(val) = evaluate(&model, &data.splits.val)? {
//!         println!("{:.4} nats per character, {:.4} for guessing", val.loss, 27f64.ln());
//!         assert!(val.loss < 2.7);
//!     }
//!     let options = SampleOptions { n: 5, prefix: "ma".to_owned(), ..SampleOptions::default() };
//!     for word in Sampler::new(&model, &data.vocab, options, Some(&KnownWords::of(&data.splits)))? {
//!         println!("{}", word?.text);
//!     }
//!     for scored in score(&model, &data.vocab, &["emma", "xqzw"]) {
//!         let scored = scored?;
//!         println!("{} takes {:.1} bits", scored.text, scored.bits);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Where things are
//!
//! - [`prelude`]: what the program above uses
//! - [`data`]: a file becomes tokens, a vocabulary and three splits
//! - [`config`], [`presets`], [`size`]: every setting, and settings that are known to be good
//! - [`models`]: what reads a text and says how likely each next character is; a kind of one's own is registered here
//! - [`mod@train`], [`ensemble`], [`mod@mix`]: one training, several that differ in their seeds, a mixture of models
//! - [`evaluation`]: losses, scores of words, comparisons of runs
//! - [`sample`]: new words, new text, the likeliest words
//! - [`files`]: model files and the folders of runs
//! - [`inspect`], [`explain`], [`gradcheck`], [`lr_find`], [`speed`]: what goes on inside, what numbers mean, whether
//!   gradients are right, which learning rate, how fast
//! - [`backprop`]: the backward pass of a net with batch norm, by hand
//! - [`error`]: what may go wrong on the way
//!
//! Pictures and reports are in `charloom-plot`, searches for good settings in `charloom-sweep`, layers and optimizers
//! in [`charloom_nn`], tensors in [`charloom_tensor`].
//!
//! # Where to read on
//!
//! The programs in `examples/` go on from the one above: `12_score`, `13_compare`, `14_training_loop`,
//! `15_own_model`. `docs/tour` teaches the same with the command, from a gradient to a mixture of models;
//! `docs/architecture.md` is the map of the source.
#![forbid(unsafe_code)]

pub mod backprop;
pub mod choices;
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

/// The version of charloom.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use config::Config;
pub use error::{Error, Result};
pub use files::Checkpoint;
pub use prepare::{find_data, load_data, read_config, read_data, reload_data, resolve_config};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The program that ends the tour compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/tour/src/10-own.md")]
struct Tour;
