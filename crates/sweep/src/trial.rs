//! Runs one trial: a training for each seed, on the calling thread.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::claims::Ending;
use super::prune::{goes_on, rungs};
use super::spec::Spec;
use super::trials::{SeedResult, State};
use charloom::data::{Data, Split};
use charloom::evaluation::{Evaluation, evaluate};
use charloom::models::LanguageModel;
use charloom::threads::Pool;
use charloom::train::{self, Evaluate, Event, FitOptions, Observer, Threads, Trainer, Training};
use charloom::{Config, Error, Result};

/// A validation loss during a training.
///
/// # Units
/// Nats per character.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The training's seed.
    pub seed: u64,
    /// The number of updates before it.
    pub step: u64,
    /// The loss of the whole validation split.
    pub loss: f64,
}

/// Stores the new points; returns the other trials' losses at the last one, or `None` if another worker has
/// the trial now.
pub(super) type Report<'a> = dyn FnMut(&[CurvePoint]) -> Result<Option<Vec<f64>>> + 'a;

/// A trial to run.
pub(super) struct Run<'a> {
    pub spec: &'a Spec,
    pub number: u64,
    pub config: Config,
    pub data: &'a Data,
    pub stop: &'a AtomicBool,
    pub report: &'a mut Report<'a>,
}

/// How one seed's training ended.
enum End {
    Finished(SeedResult),
    Pruned(SeedResult),
    /// Stopped, or claimed by another worker.
    Abandoned,
}

impl Run<'_> {
    /// Trains all seeds; `None` if the trial was stopped, or if another worker has it now. A failure of the trial
    /// itself is an [`Ending`]; an error is the database's.
    pub fn run(mut self) -> Result<Option<Ending>> {
        let began = Instant::now();
        let mut ending = Ending {
            state: State::Done,
            steps: 0,
            seconds: 0.0,
            error: None,
            seeds: Vec::new(),
            curve: Vec::new(),
        };
        let first = self.config.train.seed;
        for seed in first..first + self.spec.seeds {
            self.config.train.seed = seed;
            match self.train(&mut ending) {
                Ok(End::Finished(result)) => ending.seeds.push(result),
                Ok(End::Pruned(result)) => {
                    ending.seeds.push(result);
                    ending.state = State::Pruned;
                    break;
                }
                Ok(End::Abandoned) => return Ok(None),
                Err(Failure::Study(error)) => return Err(error),
                Err(Failure::Trial(error)) => {
                    ending.state = State::Failed;
                    ending.error = Some(error.to_string());
                    // The mean over some of the seeds would look like the mean over all.
                    ending.seeds.clear();
                    break;
                }
            }
        }
        ending.seconds = began.elapsed().as_secs_f64();
        Ok(Some(ending))
    }

    fn train(&mut self, ending: &mut Ending) -> std::result::Result<End, Failure> {
        let train = &self.config.train;
        let (seed, steps) = (train.seed, train.steps);
        // One thread, since other threads run other trials.
        let threads = Threads::Pool(Pool::new(1));
        let options = FitOptions { threads, evaluate: Evaluate::Validation, ..FitOptions::default() };
        let mut training = Training::new(&self.config, self.data, options)?;
        let train = training.trainer().map_or(&self.config.train, |trainer| &trainer.config().train);
        let eval_every = train.eval_every.unwrap_or(steps).max(1);
        let rungs = match ending.seeds.is_empty() {
            true => rungs(self.spec, self.number, steps, eval_every),
            false => Vec::new(),
        };
        let mut watch = Watch {
            seed,
            rungs,
            reduction: self.spec.reduction,
            curve: &mut ending.curve,
            report: &mut *self.report,
            verdict: Verdict::GoOn,
        };
        let outcome = training.run(None, self.stop, &mut watch);
        let verdict = watch.verdict;
        ending.steps += training.steps().map_or(1, |[done, _]| done);
        let is_pruned = matches!(verdict, Verdict::Prune);
        let outcome = match (verdict, outcome) {
            (Verdict::StudyFailed(error), _) => return Err(Failure::Study(error)),
            (_, Err(error)) => return Err(error.into()),
            (Verdict::ClaimLost, _) => return Ok(End::Abandoned),
            (_, Ok(outcome)) => outcome,
        };
        // A trial that is pruned is stopped too.
        if outcome.end == train::End::Stopped && !is_pruned {
            return Ok(End::Abandoned);
        }
        let Some((loss, step)) = outcome.best else {
            let message = "nothing in the validation split is judged; give more text";
            return Err(Error::Failed(message.to_owned()).into());
        };
        let mut best = SeedResult { seed, loss, step, test: None };
        if is_pruned {
            return Ok(End::Pruned(best));
        }
        if training.steps().is_none() {
            ending.curve.push(CurvePoint { seed, step, loss });
        }
        best.test = self.test(training.model())?;
        Ok(End::Finished(best))
    }

    /// The finished model's test loss, if the study measures it.
    fn test(&self, model: &dyn LanguageModel) -> Result<Option<f64>> {
        if !self.spec.measure_test {
            return Ok(None);
        }
        Ok(Some(judge(model, &self.data.splits.test)?))
    }
}

/// Observes a training: records its curve, and compares it with other trials at the rungs.
struct Watch<'a, 'r> {
    seed: u64,
    rungs: Vec<u64>,
    reduction: u64,
    curve: &'a mut Vec<CurvePoint>,
    report: &'a mut Report<'r>,
    verdict: Verdict,
}

/// Whether the training goes on.
enum Verdict {
    GoOn,
    /// It is pruned: others were better at this step.
    Prune,
    /// Another worker has the trial now.
    ClaimLost,
    /// The database failed.
    StudyFailed(Error),
}

impl Observer for Watch<'_, '_> {
    fn event(&mut self, _: &mut Trainer, event: &Event) -> Result<()> {
        let &Event::Evaluated { step, val: Some(Evaluation { loss, .. }), .. } = event else { return Ok(()) };
        if !loss.is_finite() {
            return Err(Error::Failed(format!("step {step}: the validation loss is {loss}")));
        }
        self.curve.push(CurvePoint { seed: self.seed, step, loss });
        if self.rungs.contains(&step) {
            self.verdict = match (self.report)(self.curve) {
                Ok(Some(others)) if goes_on(loss, &others, self.reduction) => Verdict::GoOn,
                Ok(Some(_)) => Verdict::Prune,
                Ok(None) => Verdict::ClaimLost,
                Err(error) => Verdict::StudyFailed(error),
            };
            if !matches!(self.verdict, Verdict::ClaimLost | Verdict::StudyFailed(_)) {
                self.curve.clear();
            }
        }
        Ok(())
    }

    fn has_seen_enough(&self) -> bool {
        !matches!(self.verdict, Verdict::GoOn)
    }
}

/// The loss of a whole split.
fn judge(model: &dyn LanguageModel, split: &Split) -> Result<f64> {
    let nothing = || Error::Failed("nothing in the split is judged; give more text".to_owned());
    Ok(evaluate(model, split)?.ok_or_else(nothing)?.loss)
}

/// A failure, by its cause.
enum Failure {
    /// The trial's settings or its training.
    Trial(Error),
    /// The study's database.
    Study(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Trial(error)
    }
}
