//! Ctrl-C and exceptions of callbacks, during long computations without the GIL.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use charloom::{Error, Result};
use pyo3::prelude::*;

use crate::error::or_raise;

/// How often Python is asked for signals.
const EVERY: Duration = Duration::from_millis(50);

/// The exception that is to end a computation, once there is one.
pub struct Signals {
    raised: Mutex<Option<PyErr>>,
    asked: Mutex<Instant>,
}

impl Signals {
    /// Nothing was raised yet.
    pub fn new() -> Self {
        Self { raised: Mutex::new(None), asked: Mutex::new(Instant::now()) }
    }

    /// Notes the exception that ends the computation, if it is the first.
    pub fn note(&self, error: PyErr) {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Asks Python for signals, every so often; whether the computation is to end.
    pub fn should_stop(&self) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.elapsed() > EVERY {
            *asked = Instant::now();
            if let Err(error) = Python::attach(|py| py.check_signals()) {
                self.note(error);
            }
        }
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Ends the computation that asks, if it is to end.
    pub fn check(&self) -> Result<()> {
        if self.should_stop() { Err(Error::Failed("interrupted".to_owned())) } else { Ok(()) }
    }

    /// The exception, if there is one.
    pub fn into_raised(self) -> Option<PyErr> {
        self.raised.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of a computation, unless an exception ended it.
    pub fn or_raise<T>(self, py: Python<'_>, result: Result<T>) -> PyResult<T> {
        self.into_raised().map_or_else(|| or_raise(py, result), Err)
    }
}
