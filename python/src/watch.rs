//! Passes the events of a training to Python's callbacks, and keeps them for its history.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use charloom::train::{Event, Observer, Trainer};
use charloom::{Error, Result};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::signals::Signals;

/// An event, and the number of its training in an ensemble, from 1.
struct Told {
    event: Event,
    training: Option<u64>,
}

impl Told {
    /// The event as a Python dict; `is_named` adds its name, for callbacks.
    fn to_dict<'py>(&self, py: Python<'py>, is_named: bool) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let name = match &self.event {
            Event::Step { step, loss, lr } | Event::Tick { step, loss, lr } => {
                dict.set_item(intern!(py, "step"), *step)?;
                dict.set_item(intern!(py, "loss"), *loss)?;
                dict.set_item(intern!(py, "lr"), *lr)?;
                if matches!(self.event, Event::Step { .. }) { "step" } else { "tick" }
            }
            Event::Evaluated { step, train, val, best } => {
                dict.set_item(intern!(py, "step"), *step)?;
                dict.set_item(intern!(py, "train_loss"), train.map(|train| train.loss))?;
                dict.set_item(intern!(py, "val_loss"), val.map(|val| val.loss))?;
                dict.set_item(intern!(py, "best"), *best)?;
                "evaluated"
            }
            Event::Diagnostics(_) => "looked",
        };
        if is_named {
            dict.set_item(intern!(py, "event"), name)?;
        }
        if let Some(training) = self.training {
            dict.set_item(intern!(py, "training"), training)?;
        }
        Ok(dict)
    }
}

/// All events of a fit except ticks.
#[derive(Default)]
pub struct History(Mutex<Vec<Told>>);

impl History {
    fn push(&self, told: Told) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    /// As a Python list of dicts.
    pub fn into_list(self, py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
        let told = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        PyList::new(py, told.iter().map(|told| told.to_dict(py, false)).collect::<PyResult<Vec<_>>>()?)
    }
}

/// Python's functions: the callbacks for steps and evaluations, and `show`, which displays the progress.
pub struct Listeners {
    pub callbacks: Vec<Py<PyAny>>,
    pub show: Option<Py<PyAny>>,
}

/// Passes events to Python's functions, keeps them in the history, and checks for Ctrl-C.
pub struct Watcher<'a> {
    pub listeners: &'a Listeners,
    pub history: &'a History,
    /// The number of its training in an ensemble, from 1.
    pub training: Option<u64>,
    pub stop: &'a AtomicBool,
    pub signals: &'a Signals,
}

impl Watcher<'_> {
    /// Checks for signals; if the training must end, stops it in order and returns true.
    fn listen(&self) -> bool {
        let stop = self.signals.should_stop();
        if stop {
            self.stop.store(true, Ordering::Relaxed);
        }
        stop
    }

    /// Calls the functions for this kind of event.
    fn tell(&self, told: &Told) {
        let Listeners { callbacks, show } = self.listeners;
        let (is_step, is_tick) =
            (matches!(told.event, Event::Step { .. }), matches!(told.event, Event::Tick { .. }));
        let show = show.iter().filter(|_| !is_step);
        let mut functions = show.chain(callbacks.iter().filter(|_| !is_tick)).peekable();
        // Without a function to call, Python is not entered.
        if functions.peek().is_none() {
            return;
        }
        let called = Python::attach(|py| {
            let event = told.to_dict(py, true)?;
            functions.try_for_each(|function| function.call1(py, (&event,)).map(|_| ()))
        });
        if let Err(error) = called {
            self.signals.note(error);
        }
    }
}

impl Observer for Watcher<'_> {
    fn event(&mut self, _: &mut Trainer, event: &Event) -> Result<()> {
        if !matches!(event, Event::Diagnostics(_)) {
            let told = Told { event: event.clone(), training: self.training };
            self.tell(&told);
            if !matches!(event, Event::Tick { .. }) {
                self.history.push(told);
            }
        }
        self.listen();
        Ok(())
    }

    fn evaluating(&mut self, _: u64, _: &'static str, _: f64) -> Result<()> {
        if self.listen() { Err(Error::Failed("stopped while evaluating".to_owned())) } else { Ok(()) }
    }
}
