//! Training, watched from Python.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use charloom::Config;
use charloom::data::Data;
use charloom::ensemble::Ensemble;
use charloom::files::RunFolder;
use charloom::threads::Pool;
use charloom::train::{self, Event, Fit, Observer, Threads, Trainer};
use charloom::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Value, json};

use crate::error::{or_raise, raise};
use crate::model::Model;
use crate::signals::Signals;
use crate::text::{Text, load, named_split};

/// A configuration from JSON.
pub fn config(py: Python<'_>, json: &str) -> PyResult<Config> {
    or_raise(py, serde_json::from_str(json).map_err(|error| wrong_setting(json, &error)))
}

/// What is wrong in a configuration: the first key of a part that cannot be read by itself.
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

/// The threads that a training uses: those asked for, or as many as are measured to be fastest.
pub fn threads(count: Option<usize>) -> Threads {
    count.map_or_else(Threads::default, |count| Threads::Pool(Pool::new(count)))
}

/// Tells a Python function what happens, and listens for Ctrl-C.
struct Watcher<'a> {
    tell: &'a Py<PyAny>,
    /// Which training of an ensemble it watches, from 1.
    training: Option<u64>,
    stop: &'a AtomicBool,
    signals: &'a Signals,
}

impl Watcher<'_> {
    /// Stops the training in order if there is a reason to.
    fn listen(&self) -> bool {
        let stop = self.signals.should_stop();
        if stop {
            self.stop.store(true, Ordering::Relaxed);
        }
        stop
    }

    fn tell(&self, fill: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>) {
        let told = Python::attach(|py| {
            let event = PyDict::new(py);
            fill(&event)?;
            self.training.map_or(Ok(()), |training| event.set_item("training", training))?;
            self.tell.call1(py, (event,)).map(|_| ())
        });
        if let Err(error) = told {
            self.signals.note(error);
        }
    }
}

impl Observer for Watcher<'_> {
    fn event(&mut self, _: &mut Trainer, event: &Event) -> Result<()> {
        match event {
            Event::Step { step, loss, lr } | Event::Tick { step, loss, lr } => {
                let event = if matches!(event, Event::Step { .. }) { "step" } else { "tick" };
                self.tell(|to| {
                    to.set_item("event", event)?;
                    to.set_item("step", *step)?;
                    to.set_item("loss", *loss)?;
                    to.set_item("lr", *lr)
                });
            }
            Event::Evaluated { step, train, val, best } => self.tell(|to| {
                to.set_item("event", "evaluated")?;
                to.set_item("step", *step)?;
                to.set_item("train_loss", train.map(|train| train.loss))?;
                to.set_item("val_loss", val.map(|val| val.loss))?;
                to.set_item("best", *best)
            }),
            Event::Looked(_) => {}
        }
        self.listen();
        Ok(())
    }

    fn evaluating(&mut self, _: u64, _: &'static str, _: f64) -> Result<()> {
        if self.listen() { Err(Error::Failed("stopped while evaluating".to_owned())) } else { Ok(()) }
    }
}

/// Trains a model of a configuration (JSON) in a run folder; returns it, and the exception that ended it early if one did.
/// Of a training that was stopped it is the best model so far, or none if nothing was evaluated yet.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called with keywords from one place in Python")]
pub fn fit(
    py: Python<'_>,
    config_json: &str,
    text: Text,
    val: Option<Text>,
    out: PathBuf,
    force: bool,
    thread_count: Option<usize>,
    tell: Py<PyAny>,
) -> PyResult<(Option<Model>, Option<Py<PyAny>>)> {
    let mut config = config(py, config_json)?;
    let (stop, signals) = (AtomicBool::new(false), Signals::new());
    let done = py.detach(|| {
        let data = load(&mut config, &text, val.as_ref())?;
        let options = || Fit { threads: threads(thread_count), ..Fit::default() };
        let watcher = |training| Watcher { tell: &tell, training, stop: &stop, signals: &signals };
        if config.train.seeds > 1 {
            let mut ensemble = Ensemble::create(&config, &data, || RunFolder::create(&out, force))?;
            let mut begin =
                |number, _: &Path| Ok((options(), Box::new(watcher(Some(number))) as Box<dyn Observer + '_>));
            return ensemble.run(&data, &stop, &mut begin).map(|_| data);
        }
        let mut folder = RunFolder::create(&out, force)?;
        folder.write_config(&config)?;
        train::fit(&config, &data, &mut folder, options(), &stop, &mut watcher(None)).map(|_| data)
    });
    let raised = signals.into_raised();
    let data = match done {
        Ok(data) => Some(data),
        // What was evaluated before is there.
        Err(_) if raised.is_some() => None,
        Err(error) => return Err(raise(py, &error)),
    };
    let model = match py.detach(|| Model::read(&out)) {
        Ok(model) => Some(model.with_data(data)),
        Err(_) if raised.is_some() => None,
        Err(error) => return Err(raise(py, &error)),
    };
    Ok((model, raised.map(|error| error.into_value(py).into_any())))
}

/// A training step by step, for those who want the loop.
#[pyclass(frozen, module = "charloom._charloom")]
pub struct Training {
    inner: Mutex<(Trainer, Data)>,
}

impl Training {
    /// Does something with the trainer and its data, with other Python threads running meanwhile.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Trainer, &Data) -> Result<T> + Send,
    ) -> PyResult<T> {
        let done = py.detach(|| {
            let (trainer, data) = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            work(trainer, data)
        });
        or_raise(py, done)
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
            let trainer = Trainer::new(&config, &data)?.with_threads(threads(thread_count));
            Ok(Self { inner: Mutex::new((trainer, data)) })
        });
        or_raise(py, made)
    }

    /// Makes updates; returns the minibatch's loss before the last of them.
    #[pyo3(signature = (steps=1))]
    fn step(&self, py: Python<'_>, steps: u64) -> PyResult<f32> {
        const AT_ONCE: u64 = 64;
        let mut loss = f32::NAN;
        let mut left = steps;
        while left > 0 {
            let some = left.min(AT_ONCE);
            left -= some;
            loss = self.with(py, |trainer, _| {
                let mut loss = f32::NAN;
                for _ in 0..some {
                    loss = trainer.step()?;
                }
                Ok(loss)
            })?;
            py.check_signals()?;
        }
        Ok(loss)
    }

    /// Updates made.
    #[getter]
    fn steps_done(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |trainer, _| Ok(trainer.steps_done()))
    }

    /// The learning rate of the next step.
    #[getter]
    fn lr(&self, py: Python<'_>) -> PyResult<f64> {
        self.with(py, |trainer, _| Ok(trainer.lr()))
    }

    /// The loss on `train`, `val` or `test`, in nats per character; none where nothing is judged.
    fn evaluate(&self, py: Python<'_>, split: &str) -> PyResult<Option<f64>> {
        self.with(py, |trainer, data| {
            let evaluation = charloom::evaluation::evaluate(trainer.model(), named_split(data, split)?)?;
            Ok(evaluation.map(|evaluation| evaluation.loss))
        })
    }

    /// The model as it is now.
    fn model(&self, py: Python<'_>) -> PyResult<Model> {
        self.with(py, |trainer, data| Ok(Model::of(trainer.weights()?)?.with_data(Some(data.clone()))))
    }
}
