//! One trial: its seeds' trainings, on the calling thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::claims::Ending;
use super::prune::{goes_on, rungs};
use super::spec::Spec;
use super::trials::{SeedResult, State};
use charloom::data::{Data, Split};
use charloom::evaluation::evaluate;
use charloom::models::{self, LanguageModel};
use charloom::threads::Pool;
use charloom::train::{Threads, Trainer};
use charloom::{Config, Error, Result};

/// A validation loss on the way.
///
/// # Units
/// Nats per character.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Which training: its seed.
    pub seed: u64,
    /// Updates made before.
    pub step: u64,
    /// The loss of the whole validation split.
    pub loss: f64,
}

/// Stores the points since the last time; the others' losses at the last of them, or none if the trial is lost.
pub(super) type Report<'a> = dyn FnMut(&[CurvePoint]) -> Result<Option<Vec<f64>>> + 'a;

/// A trial at work.
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
    /// Interrupted, or taken up by another worker meanwhile.
    Broken,
}

impl Run<'_> {
    /// Trains all seeds; none if the trial was interrupted or lost. What the settings themselves cause is an
    /// [`Ending`], an error is the database's.
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
                Ok(End::Broken) => return Ok(None),
                Err(Failure::Study(error)) => return Err(error),
                Err(Failure::Trial(error)) => {
                    ending.state = State::Failed;
                    ending.error = Some(error.to_string());
                    // A mean over some of the seeds would be taken for one over all.
                    ending.seeds.clear();
                    break;
                }
            }
        }
        ending.seconds = began.elapsed().as_secs_f64();
        Ok(Some(ending))
    }

    fn train(&mut self, ending: &mut Ending) -> std::result::Result<End, Failure> {
        if models::counts(&self.config)? {
            return Ok(self.count(ending)?);
        }
        let train = &self.config.train;
        let (steps, seed, patience) = (train.steps, train.seed, train.patience);
        let eval_every = train.eval_every.unwrap_or(steps).max(1);
        let is_first = ending.seeds.is_empty();
        let rungs = if is_first { rungs(self.spec, self.number, steps, eval_every) } else { Vec::new() };
        let trainer = Trainer::new(&self.config, self.data)?;
        // The other cores have trials of their own.
        let mut trainer = trainer.with_threads(Threads::Pool(Pool::new(1)));
        let mut best = SeedResult { seed, loss: f64::INFINITY, step: 0, test: None };
        let mut waited = 0;
        loop {
            let step = trainer.steps_done();
            if step.is_multiple_of(eval_every) || step == steps {
                let loss = judge(trainer.model(), &self.data.splits.val)?;
                if !loss.is_finite() {
                    return Err(Error::Failed(format!("step {step}: the validation loss is {loss}")).into());
                }
                ending.curve.push(CurvePoint { seed, step, loss });
                waited += 1;
                if loss < best.loss {
                    (best.loss, best.step, waited) = (loss, step, 0);
                }
                if rungs.contains(&step) {
                    let Some(others) = (self.report)(&ending.curve).map_err(Failure::Study)? else {
                        return Ok(End::Broken);
                    };
                    ending.curve.clear();
                    if !goes_on(loss, &others, self.spec.reduction) {
                        return Ok(End::Pruned(best));
                    }
                }
                if step >= steps || (patience > 0 && waited >= patience) {
                    break;
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(End::Broken);
            }
            trainer.step()?;
            ending.steps += 1;
        }
        best.test = self.test(trainer.model())?;
        Ok(End::Finished(best))
    }

    /// A model that counts is made in one step.
    fn count(&self, ending: &mut Ending) -> Result<End> {
        let data = self.data;
        let (model, _) = models::count(&self.config, data)?;
        let (seed, loss) = (self.config.train.seed, judge(&*model, &data.splits.val)?);
        ending.steps += 1;
        ending.curve.push(CurvePoint { seed, step: 1, loss });
        Ok(End::Finished(SeedResult { seed, loss, step: 1, test: self.test(&*model)? }))
    }

    /// The finished model's test loss, where the study measures it.
    fn test(&self, model: &dyn LanguageModel) -> Result<Option<f64>> {
        if !self.spec.measure_test {
            return Ok(None);
        }
        Ok(Some(judge(model, &self.data.splits.test)?))
    }
}

/// The loss of a whole split.
fn judge(model: &dyn LanguageModel, split: &Split) -> Result<f64> {
    let nothing = || Error::Failed("nothing in the split is judged; give more text".to_owned());
    Ok(evaluate(model, split)?.ok_or_else(nothing)?.loss)
}

/// Whose fault it is.
enum Failure {
    /// The settings'.
    Trial(Error),
    /// The database's.
    Study(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Trial(error)
    }
}
