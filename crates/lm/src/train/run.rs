//! A training in its run folder: what is measured, saved and told, and when it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Trainer;
use crate::evaluate::{Evaluation, evaluate};
use crate::examples::Examples;
use crate::inspect::Record;
use crate::run::{Metric, RunFolder};
use crate::{Error, Result};

/// How much work a crash may cost.
const SAVE_AFTER: Duration = Duration::from_secs(10);
/// How often, in steps, the clock is looked at.
const LOOK_EVERY: u64 = 64;
/// How often whoever watches is told.
const TICK: Duration = Duration::from_millis(100);

/// What a training tells while it goes on.
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
    /// The same at any step, about ten times a second: for whoever shows it or listens to keys.
    Tick {
        /// Updates made before.
        step: u64,
        /// Nats per character.
        loss: f32,
        /// The learning rate of this step.
        lr: f64,
    },
    /// What was seen of the layers, in a training with diagnostics.
    Looked(Vec<Record>),
    /// Losses of whole splits, every `eval_every` steps, at the beginning and at the end.
    Evaluated {
        /// Updates made before.
        step: u64,
        /// The training split.
        train: Evaluation,
        /// The validation split, if there is one.
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
    /// As many evaluations as `patience` says went by without a better one.
    OutOfPatience,
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

/// Trains until the last step, out of patience or `stop`, and writes the run.
///
/// At step 0, every `eval_every` steps and at the end whole splits are evaluated; `best.safetensors` is the model of the
/// lowest loss on the validation split (on the training split where there is no other). `last.safetensors` is saved
/// at each evaluation, when stopped, and besides every ten seconds: that, and stopping and resuming, change no number.
///
/// # Errors
/// A loss or parameters that are not finite (`last.safetensors` keeps the last good state), or a file that cannot be
/// written.
///
/// `observe` is told what happens, and may look at the model or lower its learning rate meanwhile; its error ends the
/// training.
pub fn run(
    trainer: &mut Trainer,
    folder: &mut RunFolder,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&mut Trainer, &Event) -> Result<()>,
) -> Result<Outcome> {
    let train = &trainer.config.train;
    let (steps, patience) = (train.steps, train.patience);
    let eval_every = train.eval_every.unwrap_or(steps).max(1);
    let log_every = train.log_every.unwrap_or(steps).max(1);
    if trainer.progress.best.is_none() {
        evaluate_and_save(trainer, folder, observe)?;
    }
    let (mut saved, mut ticked) = (Instant::now(), Instant::now());
    let out_of_patience = |trainer: &Trainer| patience > 0 && trainer.progress.waited >= patience;
    while trainer.step < steps && !out_of_patience(trainer) && !stop.load(Ordering::Relaxed) {
        let (step, lr) = (trainer.step, trainer.lr());
        let loss = trainer.step().map_err(|error| kept(folder, error))?;
        if step.is_multiple_of(log_every) {
            folder.log(&Metric { step, split: "batch".to_owned(), loss: short(loss), lr: Some(tidy(lr)) })?;
            observe(trainer, &Event::Step { step, loss, lr })?;
        }
        let records = trainer.take_records();
        if !records.is_empty() {
            folder.log_records(&records)?;
            observe(trainer, &Event::Looked(records))?;
        }
        if ticked.elapsed() > TICK {
            observe(trainer, &Event::Tick { step, loss, lr })?;
            ticked = Instant::now();
        }
        if trainer.step.is_multiple_of(eval_every) || trainer.step == steps {
            evaluate_and_save(trainer, folder, observe)?;
            saved = Instant::now();
        } else if trainer.step.is_multiple_of(LOOK_EVERY) && saved.elapsed() > SAVE_AFTER {
            save(trainer, folder)?;
            saved = Instant::now();
        }
    }
    save(trainer, folder)?;
    let end = match () {
        () if trainer.step >= steps => End::Finished,
        () if out_of_patience(trainer) => End::OutOfPatience,
        () => End::Stopped,
    };
    Ok(Outcome { end, step: trainer.step, best: trainer.progress.best })
}

/// Evaluates the whole training and validation split, logs both, and saves the model.
fn evaluate_and_save(
    trainer: &mut Trainer,
    folder: &mut RunFolder,
    observe: &mut dyn FnMut(&mut Trainer, &Event) -> Result<()>,
) -> Result<()> {
    let step = trainer.step;
    // The weights first: broken ones are told as such, not as a broken evaluation.
    let weights = trainer.weights().map_err(|error| kept(folder, error))?;
    let mut judged =
        |examples: &Examples| evaluate(&mut trainer.network, examples).map_err(|e| e.to_string());
    let train = judged(trainer.batches.examples());
    let val = if trainer.val.is_empty() { Ok(None) } else { judged(&trainer.val).map(Some) };
    let (train, val) = match (train, val) {
        (Ok(train), Ok(val)) => (train, val),
        (Err(error), _) | (_, Err(error)) => return Err(kept(folder, trainer.diverged(&error))),
    };
    for (split, evaluation) in [("train", Some(train)), ("val", val)] {
        if let Some(Evaluation { loss, .. }) = evaluation {
            folder.log(&Metric { step, split: split.to_owned(), loss, lr: None })?;
        }
    }
    let loss = val.unwrap_or(train).loss;
    let is_best = trainer.progress.best.is_none_or(|(before, _)| loss < before);
    if is_best {
        trainer.progress.best = Some((loss, step));
        trainer.progress.waited = 0;
        folder.save_best(&weights)?;
    } else {
        trainer.progress.waited += 1;
    }
    save(trainer, folder)?;
    observe(trainer, &Event::Evaluated { step, train, val, best: is_best })
}

fn save(trainer: &Trainer, folder: &RunFolder) -> Result<()> {
    folder.save_last(&mut trainer.checkpoint().map_err(|error| kept(folder, error))?)
}

/// The error, and that nothing saved is lost.
fn kept(folder: &RunFolder, error: Error) -> Error {
    Error::Failed(format!("{error}; what was saved before is in {}", folder.path().display()))
}

/// The shortest decimal that is this number in single precision.
fn short(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

/// Without the last digits' rounding error: 0.1 times 0.1 is 0.01.
fn tidy(x: f64) -> f64 {
    format!("{x:.12e}").parse().unwrap_or(x)
}
