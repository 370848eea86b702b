//! Sweeps: many trainings that differ in some settings, to find those that predict best.
//!
//! A [`Spec`] has the settings to vary and the limits; a [`Study`] is its trials, in a database that any
//! number of workers share; [`work`] runs such workers. Trials are compared by their validation loss alone.
//! [`choose`] trains the best one again, evaluates it on the test split, once, and closes the study.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use charloom::prelude::*;
//! use charloom_sweep::{Address, Spec, Study, WorkOptions, best, work};
//!
//! # fn main() -> Result<()> {
//! let spec = "
//!     sampler = 'grid'
//!     base.train.steps = 40
//!     base.train.eval_every = 40
//!     base.model.hidden = [8]
//!     [settings]
//!     lr = [0.001, 0.3]
//! ";
//! let (spec, mut base) = Spec::from_toml(spec, "spec.toml".as_ref())?;
//! let data = load_data(&mut base.clone())?;
//! base.data.sha256 = Some(data.source.sha256.clone());
//! base.data.mode = Some(data.mode());
//!
//! let folder = tempfile::tempdir().map_err(|error| Error::io("", error))?;
//! let address = Address::File(folder.path().join("study.db"));
//! let mut study = Study::create(&address, &spec, &base)?;
//! // One worker; others, in this process or another, may work on the same study at the same time.
//! work(&address, &data, WorkOptions { threads: 1 }, &AtomicBool::new(false), &|event| println!("{event:?}"))?;
//!
//! let trials = study.trials()?;
//! let best = best(&trials).unwrap();
//! println!("trial {}: {:.4}", best.number, best.loss.unwrap());
//! assert_eq!((trials.len(), &best.settings["lr"]), (2, &0.3.into()));
//! # Ok(())
//! # }
//! ```
//!
//! [`importance`] measures which settings matter; [`figures`](figures()) and [`page`](page()) show a study.
//! The program `16_sweep` in `examples/` shows more.
#![forbid(unsafe_code)]

mod choose;
mod claims;
mod database;
mod figures;
mod names;
mod page;
mod parse;
mod prune;
mod results;
mod sampler;
mod space;
mod spec;
mod study;
#[cfg(test)]
mod tests;
mod trial;
mod trials;
mod tuning;
mod worker;

pub use choose::{Chosen, choose};
pub use database::{Address, without_password};
pub use figures::{against, figures, parallel, progress};
pub use page::page;
pub use parse::{parse_choices, parse_range};
pub use results::{Importance, best, csv, importance, shown, sorted};
pub use space::{Domain, Setting, Settings, Space};
pub use spec::{Pruning, Sampler, Spec};
pub use study::Study;
pub use trial::CurvePoint;
pub use trials::{SeedResult, State, Trial};
pub use tuning::{NOTEBOOK, tuning};
pub use worker::{Event, WorkOptions, check_data, work};
