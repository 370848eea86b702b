//! What stands for the dashboard in a build without it.

use std::convert::Infallible;
use std::sync::atomic::AtomicBool;

use charloom::train::{Event, Trainer};
use charloom::{Error, Result};

/// There is none.
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

    pub fn evaluating(&mut self, _: u64, _: &str, _: f64, _: &AtomicBool) -> Result<()> {
        match self.0 {}
    }

    pub fn observe(&mut self, _: &mut Trainer, _: &Event, _: &AtomicBool) -> Result<()> {
        match self.0 {}
    }
}

/// No terminal was taken.
pub fn restore() {}
