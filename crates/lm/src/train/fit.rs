//! The training loop: what is measured, saved and reported, and when it ends.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Evaluate, Trainer};
use crate::evaluation::{Evaluation, evaluate_with_progress};
use crate::files::{Metric, RunFolder, Timing};
use crate::inspect::Record;
use crate::{Error, Result};

/// Time between saves: the work that a crash may cost.
const SAVE_AFTER: Duration = Duration::from_secs(10);
/// Time between two [`Event::Tick`]s.
const TICK: Duration = Duration::from_millis(100);

/// What a training reports while it goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A minibatch's loss before its update, every `log_every` steps.
    Step {
        /// Updates made before.
        step: u64,
        /// Nats per character.
        loss: f32,
        /// The learning rate of this step.
        lr: f64,
    },
    /// The same about ten times a second, at any step: for displays, and for reading keys.
    Tick {
        /// Updates made before.
        step: u64,
        /// Nats per character.
        loss: f32,
        /// The learning rate of this step.
        lr: f64,
    },
    /// The statistics of the layers, in a training with diagnostics.
    Diagnostics(Vec<Record>),
    /// Losses of the training split, or of a sample of it, and of the validation split: every `eval_every`
    /// steps, at the beginning and at the end.
    Evaluated {
        /// Updates made before.
        step: u64,
        /// The training split, if it is evaluated.
        train: Option<Evaluation>,
        /// The validation split, if something in it is scored.
        val: Option<Evaluation>,
        /// Whether it is the best so far.
        best: bool,
    },
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps are made.
    Finished,
    /// It was asked to stop; it can be resumed.
    Stopped,
    /// The last `patience` evaluations were no better than the best.
    OutOfPatience,
}

/// Receives the events of a training. A closure that takes the trainer and an event is one.
pub trait Observer {
    /// Called for each event. It may read the model or lower the learning rate; its error ends the training.
    ///
    /// # Errors
    /// Whatever is to end the training.
    fn event(&mut self, trainer: &mut Trainer, event: &Event) -> Result<()>;

    /// Called at the beginning of an evaluation and about ten times a second during it, with the share done of the
    /// split `train` or `val`.
    ///
    /// # Errors
    /// As [`Observer::event`].
    fn evaluating(&mut self, _step: u64, _split: &'static str, _share: f64) -> Result<()> {
        Ok(())
    }

    /// Whether the training is to end now, as if it were stopped.
    fn has_seen_enough(&self) -> bool {
        false
    }
}

impl<F: FnMut(&mut Trainer, &Event) -> Result<()>> Observer for F {
    fn event(&mut self, trainer: &mut Trainer, event: &Event) -> Result<()> {
        self(trainer, event)
    }
}

/// An observer that does nothing.
pub struct Unwatched;

impl Observer for Unwatched {
    fn event(&mut self, _: &mut Trainer, _: &Event) -> Result<()> {
        Ok(())
    }
}

/// Measures the time that an observer takes, which does not count as training.
struct Timed<'a> {
    observer: &'a mut dyn Observer,
    taken: &'a Cell<Duration>,
}

impl Timed<'_> {
    fn time(&mut self, call: impl FnOnce(&mut dyn Observer) -> Result<()>) -> Result<()> {
        let since = Instant::now();
        call(self.observer)?;
        self.taken.set(self.taken.get() + since.elapsed());
        Ok(())
    }

    fn event(&mut self, trainer: &mut Trainer, event: &Event) -> Result<()> {
        self.time(|observer| observer.event(trainer, event))
    }
}

/// How a training ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Why.
    pub end: End,
    /// Updates made.
    pub step: u64,
    /// Loss and step of the best evaluation.
    pub best: Option<(f64, u64)>,
}

/// [`Error::Interrupted`] once `stop` is set: what a long computation that tells how far it is calls to end.
///
/// # Errors
/// `stop` is set.
pub fn check_stop(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

/// Trains until the last step, out of patience or `stop`, and writes the run.
///
/// At step 0, every `eval_every` steps and at the end the validation split is evaluated, and the training
/// split or `eval_size` characters of it. `best.safetensors` is the model of the lowest loss on the
/// validation split (or the training split, if there is no other). `last.safetensors` is saved at each
/// evaluation, when stopped, and every ten seconds. Saving, stopping and resuming change no number: an
/// evaluation that `stop` ends does not count, and is made again when resumed.
///
/// # Errors
/// A loss or parameters that are not finite (`last.safetensors` keeps the last good state), or a file that
/// cannot be written.
pub fn run(
    trainer: &mut Trainer,
    folder: &mut RunFolder,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    run_in(trainer, Some(folder), Evaluate::Both, stop, observer)
}

/// As [`run`]; without a folder nothing is written.
pub(super) fn run_in(
    trainer: &mut Trainer,
    folder: Option<&mut RunFolder>,
    evaluate: Evaluate,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let train = &trainer.config.train;
    let (steps, patience) = (train.steps, train.patience);
    let eval_every = train.eval_every.unwrap_or(steps).max(1);
    let log_every = train.log_every.unwrap_or(steps).max(1);
    let mut writer = RunWriter { clock: folder.as_ref().map(|folder| Clock::new(trainer, folder)), folder };
    let watched = Cell::default();
    let observe = &mut Timed { observer, taken: &watched };
    if trainer.evaluations.best.is_none() || trainer.evaluations.owed {
        evaluate_and_save(trainer, &mut writer, evaluate, stop, observe)?;
    }
    let (mut saved, mut ticked) = (Instant::now(), Instant::now());
    let out_of_patience = |trainer: &Trainer| patience > 0 && trainer.evaluations.waited >= patience;
    let is_over = |trainer: &Trainer, observe: &Timed<'_>| {
        trainer.step >= steps
            || out_of_patience(trainer)
            || stop.load(Ordering::Relaxed)
            || observe.observer.has_seen_enough()
    };
    while !is_over(trainer, observe) {
        let (step, lr) = (trainer.step, trainer.lr());
        let loss = trainer.step().map_err(|error| writer.with_saved_path(error))?;
        if step.is_multiple_of(log_every) {
            writer.log(&Metric { step, split: "batch".to_owned(), loss: short(loss), lr: Some(tidy(lr)) })?;
            observe.event(trainer, &Event::Step { step, loss, lr })?;
        }
        let records = trainer.take_records();
        if !records.is_empty() {
            writer.log_records(&records)?;
            observe.event(trainer, &Event::Diagnostics(records))?;
        }
        let now = Instant::now();
        if now - ticked > TICK {
            observe.event(trainer, &Event::Tick { step, loss, lr })?;
            ticked = Instant::now();
        }
        if trainer.step.is_multiple_of(eval_every) || trainer.step == steps {
            evaluate_and_save(trainer, &mut writer, evaluate, stop, observe)?;
            writer.note(trainer, watched.get(), SAVE_AFTER)?;
            saved = Instant::now();
        } else if now - saved > SAVE_AFTER {
            writer.save(trainer)?;
            writer.note(trainer, watched.get(), SAVE_AFTER)?;
            saved = Instant::now();
        }
    }
    writer.save(trainer)?;
    writer.note(trainer, watched.get(), Duration::ZERO)?;
    let end = match () {
        () if trainer.evaluations.owed => End::Stopped,
        () if trainer.step >= steps => End::Finished,
        () if out_of_patience(trainer) => End::OutOfPatience,
        () => End::Stopped,
    };
    Ok(Outcome { end, step: trainer.step, best: trainer.evaluations.best })
}

/// The folder that a training is written into, if there is one, and its clock.
struct RunWriter<'a> {
    folder: Option<&'a mut RunFolder>,
    clock: Option<Clock>,
}

impl RunWriter<'_> {
    fn log(&mut self, metric: &Metric) -> Result<()> {
        self.folder.as_mut().map_or(Ok(()), |folder| folder.log(metric))
    }

    fn log_records(&self, records: &[Record]) -> Result<()> {
        self.folder.as_ref().map_or(Ok(()), |folder| folder.log_records(records))
    }

    fn save(&self, trainer: &mut Trainer) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        folder.save_last(&mut trainer.checkpoint().map_err(|error| self.with_saved_path(error))?)
    }

    /// Writes the training time, less the observer's (`watched`), unless it was written less than `after`
    /// ago.
    fn note(&self, trainer: &Trainer, watched: Duration, after: Duration) -> Result<()> {
        match (&self.clock, &self.folder) {
            (Some(clock), Some(folder)) => clock.note(trainer, folder, watched, after),
            _ => Ok(()),
        }
    }

    /// Adds to an error where the last saved state is.
    fn with_saved_path(&self, error: Error) -> Error {
        let Some(folder) = &self.folder else { return error };
        Error::Failed(format!("{error}; what was saved before is in {}", folder.path().display()))
    }
}

/// Measures the time of this session of a training.
struct Clock {
    /// The time and steps of earlier sessions.
    before: Timing,
    begun: Instant,
    first_step: u64,
    noted: Cell<Instant>,
}

impl Clock {
    fn new(trainer: &Trainer, folder: &RunFolder) -> Self {
        let now = Instant::now();
        Self {
            before: Timing::read(folder.path()).unwrap_or_default(),
            begun: now,
            first_step: trainer.step,
            noted: Cell::new(now),
        }
    }

    /// See [`RunWriter::note`].
    fn note(&self, trainer: &Trainer, folder: &RunFolder, watched: Duration, after: Duration) -> Result<()> {
        if self.noted.get().elapsed() < after {
            return Ok(());
        }
        self.noted.set(Instant::now());
        let lasted = self.begun.elapsed().saturating_sub(watched);
        let seconds = self.before.seconds + lasted.as_secs_f64();
        let steps = self.before.steps.saturating_add(trainer.step - self.first_step);
        folder.write_timing(&Timing { seconds: (seconds * 1e6).round() / 1e6, steps })
    }
}

/// Evaluates the training split (or a sample of it) and the validation split, logs the losses, and saves the
/// model. Once `stop` is set the evaluation is left to who resumes.
fn evaluate_and_save(
    trainer: &mut Trainer,
    writer: &mut RunWriter<'_>,
    evaluate: Evaluate,
    stop: &AtomicBool,
    observe: &mut Timed<'_>,
) -> Result<()> {
    if evaluate == Evaluate::Nothing {
        return Ok(());
    }
    let step = trainer.step;
    // The weights first, so that the error of weights that are not finite names them, not the evaluation.
    let weights = trainer.weights().map_err(|error| writer.with_saved_path(error))?;
    trainer.evaluations.owed = true;
    let nothing = |split| Error::Failed(format!("nothing in the {split} split is judged; give more text"));
    let mut evaluate_one = |split| evaluate_split(trainer, split, writer, stop, observe);
    let mut evaluate_both = || match evaluate {
        Evaluate::Validation => Ok((None, Some(evaluate_one("val")?.ok_or_else(|| nothing("validation"))?))),
        Evaluate::Both | Evaluate::Nothing => {
            let train = evaluate_one("train")?.ok_or_else(|| nothing("training"))?;
            Ok((Some(train), evaluate_one("val")?))
        }
    };
    let (train, val) = match evaluate_both() {
        Err(Error::Interrupted) => return Ok(()),
        scored => scored?,
    };
    trainer.evaluations.owed = false;
    for (split, evaluation) in [("train", train), ("val", val)] {
        if let Some(Evaluation { loss, .. }) = evaluation {
            writer.log(&Metric { step, split: split.to_owned(), loss, lr: None })?;
        }
    }
    let Some(Evaluation { loss, .. }) = val.or(train) else { return Ok(()) };
    let is_best = trainer.evaluations.best.is_none_or(|(before, _)| loss < before);
    if is_best {
        trainer.evaluations.best = Some((loss, step));
        trainer.evaluations.waited = 0;
        if let Some(folder) = &writer.folder {
            folder.save_best(&weights)?;
        }
    } else {
        trainer.evaluations.waited += 1;
    }
    writer.save(trainer)?;
    observe.event(trainer, &Event::Evaluated { step, train, val, best: is_best })
}

/// The loss of a whole split, None if nothing in it is scored; reports progress to `observe`.
fn evaluate_split(
    trainer: &mut Trainer,
    split: &'static str,
    writer: &RunWriter<'_>,
    stop: &AtomicBool,
    observe: &mut Timed<'_>,
) -> Result<Option<Evaluation>> {
    trainer.evaluated_model();
    let of = if split == "train" { &trainer.sample } else { &trainer.val };
    let (mut ticked, step) = (Instant::now(), trainer.step);
    check_stop(stop)?;
    observe.time(|observer| observer.evaluating(step, split, 0.0))?;
    let mut progress = |share: f64| {
        check_stop(stop)?;
        if ticked.elapsed() > TICK {
            observe.time(|observer| observer.evaluating(step, split, share))?;
            ticked = Instant::now();
        }
        Ok(())
    };
    let model = trainer.averaged.as_ref().unwrap_or(&trainer.model);
    let evaluate = || evaluate_with_progress(model, of, &mut progress);
    let evaluation = trainer.stepper.pool().enter(false, evaluate);
    evaluation.map_err(|error| match error {
        Error::Failed(what) => writer.with_saved_path(trainer.diverged(&what)),
        other => other,
    })
}

/// The f64 of the shortest decimal that reads back as this f32.
fn short(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

/// Rounds to 13 digits: 0.1 times 0.1 becomes 0.01.
fn tidy(x: f64) -> f64 {
    format!("{x:.12e}").parse().unwrap_or(x)
}
