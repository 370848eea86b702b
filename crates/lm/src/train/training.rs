//! The entry point: trains any kind of model, from its settings to its run.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::fit::run_in;
use super::{End, Observer, Outcome, Threads, Trainer, save_counted};
use crate::data::Data;
use crate::evaluation::evaluate;
use crate::files::{NamedTensor, RunFolder};
use crate::models::{self, LanguageModel};
use crate::{Checkpoint, Config, Error, Result};

/// Options of a training besides its configuration.
#[derive(Default)]
pub struct FitOptions {
    /// The threads that it uses.
    pub threads: Threads,
    /// Whether the layers are measured now and then.
    pub diagnose: bool,
    /// What is evaluated.
    pub evaluate: Evaluate,
    /// The learning rate of each step, in place of the schedule's.
    pub rates: Option<Vec<f64>>,
}

/// What a training evaluates at step 0, every `eval_every` steps and at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evaluate {
    /// The training split, or `eval_size` characters of it, and the whole validation split.
    #[default]
    Both,
    /// The whole validation split.
    Validation,
    /// Nothing.
    Nothing,
}

/// A training that is ready to begin, or to continue: its settings are checked.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use charloom::prelude::*;
/// use charloom::train::{End, Event, FitOptions, Training};
///
/// let toml = "model.hidden = [8]\ntrain = { steps = 40, eval_every = 20 }";
/// let mut config = Config::from_toml(toml, "my.toml".as_ref())?;
/// let data = load_data(&mut config)?;
/// let mut losses = Vec::new();
/// let mut watch = |_: &mut Trainer, event: &Event| {
///     if let Event::Evaluated { val: Some(val), .. } = event {
///         losses.push(val.loss);
///     }
///     Ok(())
/// };
/// let mut training = Training::new(&config, &data, FitOptions::default())?;
/// // Nothing is written: there is no folder.
/// let outcome = training.run(None, &AtomicBool::new(false), &mut watch)?;
/// assert_eq!((outcome.end, outcome.step), (End::Finished, 40));
/// // At the beginning, in the middle and at the end.
/// assert!(losses.len() == 3 && losses[2] < losses[0]);
/// # Ok::<(), Error>(())
/// ```
pub struct Training<'d> {
    config: Config,
    data: &'d Data,
    evaluate: Evaluate,
    job: Job,
}

enum Job {
    /// Counted when the training was made; it is only evaluated and saved.
    Counted(Box<dyn LanguageModel>, Vec<NamedTensor>),
    InSteps(Box<Trainer>),
}

impl<'d> Training<'d> {
    /// A training from the beginning.
    ///
    /// # Errors
    /// As [`Trainer::new`]; a model that can be neither counted nor trained by gradients; more seeds than one.
    pub fn new(config: &Config, data: &'d Data, options: FitOptions) -> Result<Self> {
        if config.train.seeds > 1 {
            let message =
                format!("{} are the trainings of an ensemble; set it to 1 for one", config.train.seeds);
            return Err(Error::setting("seeds", message));
        }
        let evaluate = options.evaluate;
        let job = if models::has_no_steps(config)? {
            if config.train.init_from.is_some() {
                return Err(Error::setting(
                    "init_from",
                    ": a model that counts has no weights to begin with",
                ));
            }
            let (model, tensors) = models::count(config, data)?;
            Job::Counted(model, tensors)
        } else {
            Job::in_steps(Trainer::new(config, data)?, options)?
        };
        Ok(Self { config: config.clone(), data, evaluate, job })
    }

    /// The training that a checkpoint of its run was saved from; `path` is for messages.
    ///
    /// # Errors
    /// As [`Trainer::resume`]; a model that counts.
    pub fn resume(checkpoint: &Checkpoint, data: &'d Data, path: &Path, options: FitOptions) -> Result<Self> {
        let config = checkpoint.config.clone();
        if models::has_no_steps(&config)? {
            let kind = &config.model.kind;
            let message = format!(": a model of kind {kind} is made at once, nothing is left to do");
            return Err(Error::setting("resume", message));
        }
        let evaluate = options.evaluate;
        let job = Job::in_steps(Trainer::resume(checkpoint, data, path)?, options)?;
        Ok(Self { config, data, evaluate, job })
    }

    /// Trains until the last step, out of patience or `stop`; with a folder, writes the run into it as
    /// [`run`](super::run) does.
    ///
    /// # Errors
    /// As [`run`](super::run).
    pub fn run(
        &mut self,
        folder: Option<&mut RunFolder>,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        match &mut self.job {
            Job::InSteps(trainer) => run_in(trainer, folder, self.evaluate, stop, observer),
            Job::Counted(model, tensors) => {
                let loss = match folder {
                    Some(folder) => {
                        let counted = (&**model, std::mem::take(tensors));
                        save_counted(counted, &self.config, self.data, folder)?
                    }
                    None => evaluate(&**model, &self.data.splits.val)?.map(|evaluation| evaluation.loss),
                };
                Ok(Outcome { end: End::Finished, step: 1, best: loss.map(|loss| (loss, 1)) })
            }
        }
    }

    /// Updates made, and updates to make in all; None for a model that counts.
    #[must_use]
    pub fn steps(&self) -> Option<[u64; 2]> {
        match &self.job {
            Job::InSteps(trainer) => Some([trainer.steps_done(), trainer.config().train.steps]),
            Job::Counted(..) => None,
        }
    }

    /// The trainer; None for a model that counts.
    #[must_use]
    pub fn trainer(&self) -> Option<&Trainer> {
        match &self.job {
            Job::InSteps(trainer) => Some(trainer),
            Job::Counted(..) => None,
        }
    }

    /// The model as it is now.
    pub fn model(&mut self) -> &dyn LanguageModel {
        match &mut self.job {
            Job::InSteps(trainer) => trainer.model(),
            Job::Counted(model, _) => &**model,
        }
    }
}

impl Job {
    fn in_steps(trainer: Trainer, options: FitOptions) -> Result<Self> {
        let mut trainer = trainer.with_threads(options.threads);
        trainer.rates = options.rates;
        if options.diagnose {
            trainer.diagnose()?;
        }
        Ok(Self::InSteps(Box::new(trainer)))
    }
}

/// Makes a configuration's model from data, counted in one pass or trained by gradients, and writes it as a
/// run.
///
/// # Errors
/// As [`Training::new`] and [`run`](super::run).
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use charloom::files::{RunFolder, model_file};
/// use charloom::prelude::*;
/// use charloom::train::{FitOptions, Unwatched, fit};
///
/// # let home = tempfile::tempdir().unwrap();
/// let run = home.path().join("my-run");
/// let toml = "model.hidden = [8]\ntrain = { steps = 40, eval_every = 20 }";
/// let mut config = Config::from_toml(toml, "my.toml".as_ref())?;
/// let data = load_data(&mut config)?;
/// let mut folder = RunFolder::create(&run, false)?;
/// // Setting it to true, from a thread or a signal handler, stops the training.
/// let stop = AtomicBool::new(false);
/// let outcome = fit(&config, &data, &mut folder, FitOptions::default(), &stop, &mut Unwatched)?;
/// assert_eq!(Checkpoint::read(&model_file(&run)?)?.step, outcome.best.unwrap().1);
/// # Ok::<(), Error>(())
/// ```
pub fn fit(
    config: &Config,
    data: &Data,
    folder: &mut RunFolder,
    options: FitOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    Training::new(config, data, options)?.run(Some(folder), stop, observer)
}
