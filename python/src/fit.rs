//! Training, with callbacks to Python.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use charloom::Config;
use charloom::data::Data;
use charloom::ensemble::Ensemble;
use charloom::evaluation::evaluate_with_progress;
use charloom::files::RunFolder;
use charloom::threads::{MAX_THREADS, Pool};
use charloom::train::{self, FitOptions, Observer, Threads, Trainer};
use charloom::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyList;
use serde_json::{Value, json};

use crate::error::{or_raise, raise};
use crate::model::Model;
use crate::signals::Signals;
use crate::text::{Text, load, named_split};
use crate::watch::{History, Listeners, Watcher};

/// A configuration from JSON.
pub fn config(py: Python<'_>, json: &str) -> PyResult<Config> {
    or_raise(py, serde_json::from_str(json).map_err(|error| wrong_setting(json, &error)))
}

/// The error in a configuration: names the first key whose value cannot be read by itself.
fn wrong_setting(json: &str, error: &serde_json::Error) -> Error {
    let parts: Value = serde_json::from_str(json).unwrap_or_default();
    for part in ["train", "data", "model"] {
        for (key, value) in parts[part].as_object().into_iter().flatten() {
            let alone = json!({ part: { key: value } });
            if let Err(error) = serde_json::from_value::<Config>(alone) {
                return Error::setting(key, format!(": {error}"));
            }
        }
    }
    Error::usage(error.to_string())
}

/// The threads of a training: the given number, or as many as are measured to be fastest.
fn threads(count: Option<usize>) -> Result<Threads> {
    match count {
        None => Ok(Threads::default()),
        Some(count @ 1..=MAX_THREADS) => Ok(Threads::Pool(Pool::new(count))),
        Some(count) => Err(Error::out_of_range("threads", count, format!("from 1 to {MAX_THREADS}"))),
    }
}

/// The model of a fit, if there is one, its history, and the exception that ended it early, if any.
type Fitted<'py> = (Option<Model>, Bound<'py, PyList>, Option<Py<PyAny>>);

/// Trains a model of a configuration (JSON) in a run folder, and reports to callbacks. If the training was
/// stopped, the model is the best so far, or none if nothing was evaluated yet.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called from one place in Python")]
pub fn fit<'py>(
    py: Python<'py>,
    config_json: &str,
    text: Text,
    val: Option<Text>,
    out: PathBuf,
    force: bool,
    thread_count: Option<usize>,
    callbacks: Vec<Py<PyAny>>,
    show: Option<Py<PyAny>>,
) -> PyResult<Fitted<'py>> {
    let mut config = config(py, config_json)?;
    let (listeners, history) = (Listeners { callbacks, show }, History::default());
    let (stop, signals) = (AtomicBool::new(false), Signals::new());
    let done = py.detach(|| {
        let data = load(&mut config, &text, val.as_ref())?;
        let options = || threads(thread_count).map(|threads| FitOptions { threads, ..FitOptions::default() });
        options()?;
        let (listeners, history, stop, signals) = (&listeners, &history, &stop, &signals);
        let watcher = |training| Watcher { listeners, history, training, stop, signals };
        if config.train.seeds > 1 {
            let mut ensemble = Ensemble::create(&config, &data, || RunFolder::create(&out, force))?;
            let mut begin = |number, _: &Path| {
                Ok((options()?, Box::new(watcher(Some(number))) as Box<dyn Observer + '_>))
            };
            return ensemble.run(&data, stop, &mut begin).map(|_| data);
        }
        let mut folder = RunFolder::create(&out, force)?;
        folder.write_config(&config)?;
        train::fit(&config, &data, &mut folder, options()?, stop, &mut watcher(None)).map(|_| data)
    });
    let raised = signals.into_raised();
    let data = match done {
        Ok(data) => Some(data),
        // A model that was saved before the stop is read below.
        Err(_) if raised.is_some() => None,
        Err(error) => return Err(raise(py, &error)),
    };
    let model = match py.detach(|| Model::read(&out)) {
        Ok(model) => Some(model.with_data(data)),
        Err(_) if raised.is_some() => None,
        Err(error) => return Err(raise(py, &error)),
    };
    Ok((model, history.into_list(py)?, raised.map(|error| error.into_value(py).into_any())))
}

/// A training that is advanced step by step, for loops in Python.
#[pyclass(frozen, module = "charloom._charloom")]
pub struct Training {
    inner: Mutex<(Trainer, Data)>,
}

impl Training {
    /// Runs `work` on the trainer and its data without the GIL, so that other Python threads run meanwhile.
    fn tried<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Trainer, &Data) -> Result<T> + Send,
    ) -> Result<T> {
        py.detach(|| {
            let (trainer, data) = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            work(trainer, data)
        })
    }

    /// As [`Training::tried`], with an error as an exception.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Trainer, &Data) -> Result<T> + Send,
    ) -> PyResult<T> {
        or_raise(py, self.tried(py, work))
    }
}

#[pymethods]
impl Training {
    #[new]
    #[pyo3(signature = (config_json, text, val=None, thread_count=None))]
    fn new(
        py: Python<'_>,
        config_json: &str,
        text: Text,
        val: Option<Text>,
        thread_count: Option<usize>,
    ) -> PyResult<Self> {
        let mut config = config(py, config_json)?;
        let made = py.detach(|| {
            let data = load(&mut config, &text, val.as_ref())?;
            let trainer = Trainer::new(&config, &data)?.with_threads(threads(thread_count)?);
            Ok(Self { inner: Mutex::new((trainer, data)) })
        });
        or_raise(py, made)
    }

    /// Makes updates; returns the minibatch's loss before the last of them.
    #[pyo3(signature = (steps=1))]
    fn step(&self, py: Python<'_>, steps: u64) -> PyResult<f32> {
        /// The longest time before other threads get the trainer, and Python checks its signals.
        const AT_ONCE: Duration = Duration::from_millis(50);
        let (mut loss, mut left) = (f32::NAN, steps);
        while left > 0 {
            (loss, left) = self.with(py, |trainer, _| {
                let (begun, mut loss, mut left) = (Instant::now(), f32::NAN, left);
                while left > 0 && begun.elapsed() < AT_ONCE {
                    loss = trainer.step()?;
                    left -= 1;
                }
                Ok((loss, left))
            })?;
            py.check_signals()?;
        }
        Ok(loss)
    }

    /// The number of updates made.
    #[getter]
    fn steps_done(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |trainer, _| Ok(trainer.steps_done()))
    }

    /// The learning rate of the next step.
    #[getter]
    fn lr(&self, py: Python<'_>) -> PyResult<f64> {
        self.with(py, |trainer, _| Ok(trainer.lr()))
    }

    /// The loss on `train`, `val` or `test`, in nats per character; None if there is nothing to predict.
    fn evaluate(&self, py: Python<'_>, split: &str) -> PyResult<Option<f64>> {
        let signals = Signals::new();
        let evaluated = self.tried(py, |trainer, data| {
            let split = named_split(data, split)?;
            evaluate_with_progress(trainer.model(), split, &mut |_| signals.check())
        });
        Ok(signals.or_raise(py, evaluated)?.map(|evaluation| evaluation.loss))
    }

    /// The model as it is now.
    fn model(&self, py: Python<'_>) -> PyResult<Model> {
        self.with(py, |trainer, data| Ok(Model::of(trainer.weights()?)?.with_data(Some(data.clone()))))
    }
}
