//! Sweeps: many trainings that differ in some settings, to find those that predict best.
//!
//! A [`Spec`] says what is varied and how long; a [`Study`] is its trials in a database, which any number of workers
//! share; [`work`] is such a worker. Trials are compared by their validation loss alone. [`choose`] trains the best one
//! again and looks at the test split, once; the study is closed from then on.
#![forbid(unsafe_code)]

mod choose;
mod claims;
mod database;
mod figures;
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
