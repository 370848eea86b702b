//! Ends long computations without the GIL on Ctrl-C and on exceptions of callbacks.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use charloom::models::{Distributions, LanguageModel, Reach, Reader, State};
use charloom::{Error, Result};
use pyo3::prelude::*;

use crate::error::or_raise;

/// The time between checks for Python's signals.
const EVERY: Duration = Duration::from_millis(50);

/// Checks for Python's signals, and keeps the exception that ends a computation.
pub struct Signals {
    raised: Mutex<Option<PyErr>>,
    asked: Mutex<Instant>,
}

impl Signals {
    /// Without an exception yet.
    pub fn new() -> Self {
        Self { raised: Mutex::new(None), asked: Mutex::new(Instant::now()) }
    }

    /// Keeps the exception that ends the computation, if it is the first.
    pub fn note(&self, error: PyErr) {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Whether the computation must end; checks for Python's signals if the last check is [`EVERY`] ago.
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

    /// An error if the computation must end.
    pub fn check(&self) -> Result<()> {
        if self.should_stop() { Err(interrupted()) } else { Ok(()) }
    }

    /// Runs `work`, which the readers of a [`Listening`] model can end.
    pub fn run<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(done) => done,
            Err(thrown) if thrown.is::<Interrupted>() => Err(interrupted()),
            Err(thrown) => resume_unwind(thrown),
        }
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

/// The error of a computation that was ended; the exception is raised instead of it.
fn interrupted() -> Error {
    Error::Failed("interrupted".to_owned())
}

/// Unwinds from a reader, whose functions return no errors, to [`Signals::run`]. As it is no panic, nothing
/// is printed.
struct Interrupted;

/// A model whose readers check for signals at each read, so that any computation with them ends soon, however
/// long the text.
pub struct Listening<'m> {
    pub model: &'m dyn LanguageModel,
    pub signals: &'m Signals,
}

impl LanguageModel for Listening<'_> {
    fn vocab_size(&self) -> usize {
        self.model.vocab_size()
    }

    fn reach(&self) -> Reach {
        self.model.reach()
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(ListeningReader { reader: self.model.reader(), signals: self.signals })
    }
}

struct ListeningReader<'m> {
    reader: Box<dyn Reader + 'm>,
    signals: &'m Signals,
}

impl Reader for ListeningReader<'_> {
    fn start(&mut self, n: usize, first: u32) -> State {
        self.reader.start(n, first)
    }

    fn read(&mut self, state: &mut State, tokens: &[u32]) {
        if self.signals.should_stop() {
            resume_unwind(Box::new(Interrupted));
        }
        self.reader.read(state, tokens);
    }

    fn log_probs(&mut self, state: &State, out: &mut [f32]) {
        self.reader.log_probs(state, out);
    }

    fn distributions(&mut self, state: &State, vocab: usize, known: &mut Distributions) {
        self.reader.distributions(state, vocab, known);
    }
}
