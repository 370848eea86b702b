//! Workers: threads that claim trials and train them until none is left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::claims::{Claim, Ending};
use super::database::Address;
use super::space::Settings;
use super::spec::Spec;
use super::study::Study;
use super::trial::Run;
use super::trials::State;
use charloom::data::{Data, Split};
use charloom::{Error, Result};

/// How long a worker with nothing to do waits before it asks again.
const WAIT: Duration = Duration::from_millis(250);
/// The time between looks at `stop` for all threads.
const STOP: Duration = Duration::from_millis(50);

/// The options of [`work`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkOptions {
    /// The number of trials at once, each on one thread; 0: one for each core.
    pub threads: usize,
}

/// An event of a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A trial begins, or begins again after its worker died.
    Begun {
        /// The trial's number.
        number: u64,
        /// Its settings.
        settings: Settings,
        /// 1, and 1 more each time that it begins again.
        attempt: u64,
    },
    /// A trial is finished and stored.
    Finished {
        /// The trial's number.
        number: u64,
        /// How it ended.
        state: State,
        /// Its mean validation loss.
        loss: Option<f64>,
        /// Why it failed.
        error: Option<String>,
    },
}

/// Checks that trials can be evaluated on this data, before any is begun.
///
/// # Errors
/// The validation split, or a test split that is to be measured, has nothing to predict.
pub fn check_data(data: &Data, spec: &Spec) -> Result<()> {
    // The first character of a text is not predicted.
    let has_none = |split: &Split| split.tokens().len() <= usize::from(split.boundary().is_none());
    let refuse = |message| Err(Error::data(&data.source.path, message));
    if has_none(&data.splits.val) {
        return refuse(
            "nothing to judge in the validation split, and trials are compared by its loss; change ``split``, add ``val``, \
             or give more text",
        );
    }
    if spec.measure_test && has_none(&data.splits.test) {
        return refuse(
            "nothing to judge in the test split, and it is to be measured; change ``split`` or add ``test``",
        );
    }
    Ok(())
}

/// Runs trials of a study until none is left, or until `stop` is set, which releases unfinished trials.
///
/// Several processes may work on one study. A trial's results depend on its settings and seeds alone, and
/// each trial computes on one thread.
///
/// # Errors
/// No validation split, a database that fails, a study that is closed.
///
/// ```
/// use std::sync::Mutex;
/// use std::sync::atomic::AtomicBool;
///
/// use charloom::prelude::*;
/// use charloom_sweep::{Address, Event, Spec, Study, WorkOptions, work};
///
/// let spec = "sampler = 'grid'\nbase.model.kind = 'ngram'\n[settings]\norder = [2, 3]";
/// let (spec, mut base) = Spec::from_toml(spec, "spec.toml".as_ref())?;
/// let data = load_data(&mut base.clone())?;
/// (base.data.sha256, base.data.mode) = (Some(data.source.sha256.clone()), Some(data.mode()));
/// # let home = tempfile::tempdir().unwrap();
/// let address = Address::File(home.path().join("study.db"));
/// Study::create(&address, &spec, &base)?;
/// let losses = Mutex::new(Vec::new());
/// let told = |event: &Event| {
///     if let Event::Finished { loss: Some(loss), .. } = event {
///         losses.lock().unwrap().push(*loss);
///     }
/// };
/// // Setting it to true ends the work; unfinished trials are begun again by the next worker.
/// let stop = AtomicBool::new(false);
/// work(&address, &data, WorkOptions { threads: 2 }, &stop, &told)?;
/// assert_eq!(losses.lock().unwrap().len(), 2);
/// # Ok::<(), Error>(())
/// ```
pub fn work(
    address: &Address,
    data: &Data,
    options: WorkOptions,
    stop: &AtomicBool,
    observe: &(dyn Fn(&Event) + Sync),
) -> Result<()> {
    let mut study = Study::open(address)?;
    check_data(data, study.spec())?;
    let threads = match options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let token = format!("{:016x}", rand::random::<u64>());
    let began = Instant::now();
    // `stop` is the caller's; `halt` is also set by one worker's error, to end the others.
    let failure = Mutex::new(None);
    let halt = AtomicBool::new(false);
    let done = (Mutex::new(false), Condvar::new());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|i| {
                let worker =
                    Worker { name: format!("{token}-{i}"), address, data, stop, halt: &halt, began, observe };
                let failure = &failure;
                scope.spawn(move || {
                    if let Err(error) = worker.run() {
                        worker.halt.store(true, Ordering::Relaxed);
                        let mut first = failure.lock().unwrap_or_else(|e| e.into_inner());
                        first.get_or_insert(error);
                    }
                })
            })
            .collect();
        let heart = scope.spawn(|| beat(&mut study, &token, &done, stop, &halt));
        let mut panicked = None;
        for worker in workers {
            if let Err(panic) = worker.join() {
                panicked.get_or_insert(panic);
            }
        }
        *done.0.lock().unwrap_or_else(|e| e.into_inner()) = true;
        done.1.notify_all();
        let _ = heart.join();
        if let Some(panic) = panicked {
            std::panic::resume_unwind(panic);
        }
    });
    failure.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
}

/// Renews the leases of all threads' trials until they are done, and passes `stop` on to the threads.
fn beat(study: &mut Study, token: &str, done: &(Mutex<bool>, Condvar), stop: &AtomicBool, halt: &AtomicBool) {
    let interval = Duration::from_secs_f64(study.spec().lease / 4.0);
    let mut last = Instant::now();
    let mut is_done = done.0.lock().unwrap_or_else(|e| e.into_inner());
    while !*is_done {
        is_done = match done.1.wait_timeout(is_done, interval.min(STOP)) {
            Ok((is_done, _)) => is_done,
            Err(poisoned) => poisoned.into_inner().0,
        };
        if stop.load(Ordering::Relaxed) {
            halt.store(true, Ordering::Relaxed);
        }
        if last.elapsed() >= interval {
            // If it fails until a lease ends, another worker can claim the trial, and the result here is
            // discarded.
            let _ = study.renew(token);
            last = Instant::now();
        }
    }
}

struct Worker<'a> {
    name: String,
    address: &'a Address,
    data: &'a Data,
    stop: &'a AtomicBool,
    halt: &'a AtomicBool,
    began: Instant,
    observe: &'a (dyn Fn(&Event) + Sync),
}

impl Worker<'_> {
    fn run(&self) -> Result<()> {
        let mut study = Study::open(self.address)?;
        while !self.halt.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
            let in_time =
                study.spec().max_seconds.is_none_or(|most| self.began.elapsed().as_secs_f64() < most);
            match study.claim(&self.name, in_time)? {
                Claim::Finished => return Ok(()),
                Claim::Wait => thread::sleep(WAIT),
                Claim::Trial { number, settings, attempt } => {
                    (self.observe)(&Event::Begun { number, settings: settings.clone(), attempt });
                    self.train(&mut study, number, &settings)?;
                }
            }
        }
        Ok(())
    }

    fn train(&self, study: &mut Study, number: u64, settings: &Settings) -> Result<()> {
        let ending = match study.config(settings) {
            Ok(config) => {
                let spec = study.spec().clone();
                let mut report = |curve: &[_]| study.report(number, &self.name, curve);
                let run = Run {
                    spec: &spec,
                    number,
                    config,
                    data: self.data,
                    stop: self.halt,
                    report: &mut report,
                };
                run.run()?
            }
            Err(error) => Some(Ending {
                state: State::Failed,
                steps: 0,
                seconds: 0.0,
                error: Some(error.to_string()),
                seeds: Vec::new(),
                curve: Vec::new(),
            }),
        };
        let Some(ending) = ending else { return study.release(number, &self.name) };
        if study.finish(number, &self.name, &ending)? {
            let losses = ending.seeds.iter().map(|seed| seed.loss);
            let loss = (!ending.seeds.is_empty()).then(|| losses.sum::<f64>() / ending.seeds.len() as f64);
            (self.observe)(&Event::Finished { number, state: ending.state, loss, error: ending.error });
        }
        Ok(())
    }
}
