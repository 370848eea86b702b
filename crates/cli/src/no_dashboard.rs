//! The stand-in for the dashboard in a build without the feature `dashboard`.

use std::convert::Infallible;

use charloom::train::{Event, Trainer};
use charloom::{Error, Result};

/// A dashboard, of which this build makes none.
pub struct Dashboard(Infallible);

/// Refuses a dashboard, before anything is written.
pub fn prepare(_: bool) -> Result<()> {
    Err(Error::usage(
        "--dashboard: this charloom was built without it; \
         build one with it: cargo install --path crates/cli --features dashboard",
    ))
}

impl Dashboard {
    pub fn open(_: &str, _: u64) -> Result<Option<Self>> {
        Ok(None)
    }

    pub fn evaluating(&mut self, _: u64, _: &str, _: f64) -> Result<()> {
        match self.0 {}
    }

    pub fn observe(&mut self, _: &mut Trainer, _: &Event) -> Result<()> {
        match self.0 {}
    }
}

/// Whether a dashboard has the terminal.
pub fn is_open() -> bool {
    false
}

/// Does nothing: no dashboard has changed the terminal.
pub fn restore() {}
