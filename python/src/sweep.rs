//! Studies: many trainings that differ in some settings.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use charloom::threads::MAX_THREADS;
use charloom::{Error, Result};
use charloom_sweep::{Address, Event, Spec, Study, WorkOptions, best, check_data, importance, sorted, work};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value, json};

use crate::error::{or_raise, raise};
use crate::fit::config;
use crate::signals::Signals;
use crate::text::{Text, load};

/// Runs all trials of a specification (a [`Spec`] as JSON) over a base configuration, in a new study at this
/// path or, with `resume`, an existing one. Returns as JSON the trials, the best first, the importance of
/// each setting and the best configuration; and the exception that ended it early, if any.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called from one place in Python")]
pub fn sweep(
    py: Python<'_>,
    spec_json: &str,
    config_json: &str,
    text: Text,
    val: Option<Text>,
    study: PathBuf,
    resume: bool,
    thread_count: usize,
    tell: Py<PyAny>,
) -> PyResult<(String, Option<Py<PyAny>>)> {
    let mut base = config(py, config_json)?;
    let spec = or_raise(py, spec(spec_json))?;
    if thread_count > MAX_THREADS {
        let limit = format!("from 0 to {MAX_THREADS}");
        return Err(raise(py, &Error::out_of_range("threads", thread_count, limit)));
    }
    let signals = Signals::new();
    let done = py.detach(|| {
        let mut settled = base.clone();
        let data = load(&mut settled, &text, val.as_ref())?;
        // Other settings that depend on the data may depend on a trial's settings too: trials resolve them.
        base.data = settled.data;
        check_data(&data, &spec)?;
        let address = Address::File(study);
        let mut study = if resume { Study::open(&address)? } else { Study::create(&address, &spec, &base)? };
        if study.base() != &base || study.spec().settings != spec.settings {
            let way = "give the same settings, base and data, or name another ``study``";
            return Err(Error::usage(format!("the study {address} is about something else; {way}")));
        }
        if resume {
            study.limit(spec.trials, spec.max_steps, spec.max_seconds)?;
        }
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let options = WorkOptions { threads: thread_count };
            let observe = |event: &Event| report(event, &tell, &signals);
            let (address, data, stop) = (&address, &data, &stop);
            let worker = scope.spawn(move || work(address, data, options, stop, &observe));
            // Python checks for signals only on the thread that it called.
            while !worker.is_finished() {
                thread::sleep(Duration::from_millis(20));
                stop.fetch_or(signals.should_stop(), Ordering::Relaxed);
            }
            worker
                .join()
                .unwrap_or_else(|_| Err(Error::Failed("a worker failed; this is a defect".to_owned())))
        })?;
        summary(&mut study)
    });
    match (done, signals.into_raised()) {
        (Ok(found), raised) => Ok((found, raised.map(|error| error.into_value(py).into_any()))),
        (Err(_), Some(raised)) => Err(raised),
        (Err(error), None) => Err(raise(py, &error)),
    }
}

/// A specification from JSON; an error names the first key whose value cannot be read by itself.
fn spec(json: &str) -> Result<Spec> {
    serde_json::from_str(json).map_err(|error| {
        let all: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
        let mut alone =
            all.into_iter().map(|(key, value)| (key.clone(), Map::from_iter([(key, value)]).into()));
        let wrong = alone.find_map(|(key, value)| Some((key, serde_json::from_value::<Spec>(value).err()?)));
        wrong.map_or_else(
            || Error::usage(error.to_string()),
            |(key, error)| Error::setting(key, format!(": {error}")),
        )
    })
}

/// The results of a study as JSON.
fn summary(study: &mut Study) -> Result<String> {
    let trials = study.trials()?;
    let best = best(&trials).map(|trial| study.config(&trial.settings)).transpose()?;
    let importance = importance(study.space(), &trials);
    Ok(json!({ "trials": sorted(&trials), "importance": importance, "best": best }).to_string())
}

/// Calls a Python function when a trial is finished.
fn report(event: &Event, tell: &Py<PyAny>, signals: &Signals) {
    let Event::Finished { number, state, loss, error } = event else { return };
    let called = Python::attach(|py| {
        let event = PyDict::new(py);
        event.set_item("number", *number)?;
        event.set_item("state", state.to_string())?;
        event.set_item("loss", *loss)?;
        event.set_item("error", error.as_deref())?;
        tell.call1(py, (event,)).map(|_| ())
    });
    if let Err(error) = called {
        signals.note(error);
    }
}
