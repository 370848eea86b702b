//! The files of a training: a [`RunFolder`], with a [`Checkpoint`] for the weights and lines of [`Metric`].
//!
//! A run, written by [`fit`](crate::train::fit()) and read again:
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use charloom::files::{Metric, RunFolder, model_file};
//! use charloom::prelude::*;
//! use charloom::train::{FitOptions, Unwatched, fit};
//!
//! # let home = tempfile::tempdir().unwrap();
//! let run = home.path().join("my-run");
//! let model = ModelConfig::of("ngram").with("order", 3);
//! let mut config = Config { model, ..Config::default() };
//! let data = load_data(&mut config)?;
//! {
//!     // As long as `folder` lives, no other program writes to the run.
//!     let mut folder = RunFolder::create(&run, false)?;
//!     folder.write_config(&config)?;
//!     fit(&config, &data, &mut folder, FitOptions::default(), &AtomicBool::new(false), &mut Unwatched)?;
//! }
//! assert_eq!(Config::read(&run.join("config.toml"))?, config);
//! assert_eq!(model_file(&run)?, run.join("best.safetensors"));
//! let model = models::open(&Checkpoint::read(&model_file(&run)?)?, &run)?;
//! let noted = Metric::read_all(&run)?.into_iter().find(|metric| metric.split == "val").unwrap();
//! assert_eq!(noted.loss, evaluate(&*model, &data.splits.val)?.unwrap().loss);
//! # Ok::<(), Error>(())
//! ```

mod checkpoint;
mod folder;
mod lines;
mod metrics;
mod model_file;
pub(crate) mod record;
mod tensors;

pub use checkpoint::Checkpoint;
pub use folder::{CONFIG, REPORT, RunFolder};
pub use metrics::{Metric, Timing};
pub use model_file::{last_file, model_file, seed_folder};
pub use tensors::{Computed, NamedTensor, TensorData};
