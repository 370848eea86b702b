//! Several trainings that differ only in their seeds, and the mixture of their models with equal weights.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::data::Data;
use crate::files::{self, RunFolder, seed_folder};
use crate::mix::{Mix, Weights, mix};
use crate::train::{End, FitOptions, Observer, Training, check_stop};
use crate::{Config, Error, Result, models};

/// Called with the number and the folder of each training before it begins; returns its options and its
/// observer.
pub type Begin<'b, 'o> = &'b mut dyn FnMut(u64, &Path) -> Result<(FitOptions, Box<dyn Observer + 'o>)>;

/// An ensemble in its folder: a run of each seed in `seed-1`, `seed-2`, ..., and in the end the run of their
/// mixture.
///
/// The seeds are `train.seed` and those after it. The folder's `config.toml` says how many: `train.seeds`.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use charloom::ensemble::Ensemble;
/// use charloom::files::RunFolder;
/// use charloom::prelude::*;
/// use charloom::train::{FitOptions, Unwatched};
///
/// # let home = tempfile::tempdir().unwrap();
/// let toml = "model.hidden = [8]\ntrain = { steps = 20, eval_every = 20, seeds = 2 }";
/// let mut config = Config::from_toml(toml, "my.toml".as_ref())?;
/// let data = load_data(&mut config)?;
/// let out = home.path().join("both");
/// let mut ensemble = Ensemble::create(&config, &data, || RunFolder::create(&out, false))?;
/// let begin = &mut |_, _: &_| Ok((FitOptions::default(), Box::new(Unwatched) as _));
/// let mixed = ensemble.run(&data, &AtomicBool::new(false), begin)?.expect("it was not stopped");
/// assert_eq!(mixed.members[1].run, out.join("seed-2"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Ensemble {
    config: Config,
    out: RunFolder,
}

impl Ensemble {
    /// A new ensemble. `make` makes its folder, once everything that could keep a training from beginning is
    /// checked.
    ///
    /// # Errors
    /// A configuration with one seed, or of a model that has none; as [`Training::new`]; files that cannot be
    /// written.
    pub fn create(config: &Config, data: &Data, make: impl FnOnce() -> Result<RunFolder>) -> Result<Self> {
        let seeds = config.train.seeds;
        config.validate()?;
        if seeds < 2 {
            return Err(Error::out_of_range("seeds", seeds, "at least 2 to make an ensemble"));
        }
        if models::has_no_steps(config)? {
            let kind = &config.model.kind;
            return Err(Error::setting(
                "seeds",
                format!(": a model of kind {kind} has no seed; leave it out"),
            ));
        }
        let mut first = config.clone();
        first.train.seeds = 1;
        drop(Training::new(&first, data, FitOptions::default())?);
        let ensemble = Self { config: config.clone(), out: make()? };
        match ensemble.make_members() {
            Ok(()) => Ok(ensemble),
            Err(error) => {
                let folders = (1..=seeds).map(|number| seed_folder(ensemble.path(), number));
                folders.flat_map(|path| RunFolder::open(&path)).for_each(RunFolder::remove);
                ensemble.out.remove();
                Err(error)
            }
        }
    }

    /// Makes the members' folders. Old runs are removed before the first training, because [`Ensemble::run`] resumes
    /// those that it finds.
    fn make_members(&self) -> Result<()> {
        for number in 1..=self.config.train.seeds {
            let folder = RunFolder::create(&seed_folder(self.path(), number), true)?;
            folder.write_config(&self.config_of(number))?;
        }
        self.out.write_config(&self.config)
    }

    /// The ensemble in a folder, finished or not; `None` if the folder holds something else.
    ///
    /// # Errors
    /// Another program writes to it; files that cannot be read.
    pub fn resume(path: &Path) -> Result<Option<Self>> {
        let file = path.join(files::CONFIG);
        if !file.is_file() {
            return Ok(None);
        }
        let config = Config::read(&file)?;
        if config.train.seeds < 2 {
            return Ok(None);
        }
        Ok(Some(Self { config, out: RunFolder::open(path)? }))
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks for more steps.
    ///
    /// # Errors
    /// As [`Config::resume_with`].
    pub fn resume_with(&mut self, wanted: &Config) -> Result<()> {
        self.config = self.config.resume_with(wanted)?;
        Ok(())
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.out.path()
    }

    fn config_of(&self, number: u64) -> Config {
        let mut config = self.config.clone();
        config.train.seed += number - 1;
        config.train.seeds = 1;
        config
    }

    /// Trains what is left to train and mixes the models; `None` if it was stopped.
    ///
    /// # Errors
    /// As [`Training::run`] and [`mix`].
    pub fn run<'o>(&mut self, data: &Data, stop: &AtomicBool, begin: Begin<'_, 'o>) -> Result<Option<Mix>> {
        let runs: Vec<PathBuf> =
            (1..=self.config.train.seeds).map(|number| seed_folder(self.path(), number)).collect();
        for (number, path) in (1..).zip(&runs) {
            let (options, mut observer) = begin(number, path)?;
            let config = self.config_of(number);
            let (mut training, mut folder) = if files::model_file(path).is_ok() {
                let (folder, mut checkpoint) = RunFolder::resume(path)?;
                checkpoint.config.train.steps = checkpoint.config.resume_with(&config)?.train.steps;
                (Training::resume(&checkpoint, data, path, options)?, folder)
            } else {
                (Training::new(&config, data, options)?, RunFolder::create(path, true)?)
            };
            folder.write_config(&config)?;
            if training.run(Some(&mut folder), stop, &mut *observer)?.end == End::Stopped {
                return Ok(None);
            }
        }
        let moved = self.config.data.path.as_ref().map(|_| data.source.path.as_path());
        let mut mixed = match mix(&runs, &Weights::Equal, moved, &mut |_| check_stop(stop)) {
            Err(Error::Interrupted) => return Ok(None),
            mixed => mixed?,
        };
        mixed.save(&mut self.out)?;
        // `config.toml` says how to train the ensemble; the mixture's own configuration is in its
        // checkpoints.
        self.out.write_config(&self.config)?;
        self.out.sync_names()?;
        Ok(Some(mixed))
    }

    /// The folder, to add something to it.
    #[must_use]
    pub fn folder(&self) -> &RunFolder {
        &self.out
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::train::{Event, Trainer, Unwatched};

    fn settings(home: &Path) -> (Config, Data, PathBuf) {
        let toml = "[model]\nhidden = [16]\n[train]\nsteps = 200\neval_every = 20\nseeds = 3\nseed = 5";
        let mut config = Config::from_toml(toml, "run.toml".as_ref()).unwrap();
        config.data.path = Some(charloom_testkit::fixture_path("data/words.txt"));
        let data = crate::load_data(&mut config).unwrap();
        (config, data, home.join("out"))
    }

    #[test]
    fn an_ensemble_that_was_stopped_goes_on_to_the_same_files() {
        let home = tempfile::tempdir().unwrap();
        let (config, data, out) = settings(home.path());
        let go = AtomicBool::new(false);
        let whole = |out: &Path| {
            let mut ensemble = Ensemble::create(&config, &data, || RunFolder::create(out, true)).unwrap();
            ensemble
                .run(&data, &go, &mut |_, _| Ok((FitOptions::default(), Box::new(Unwatched))))
                .unwrap()
                .unwrap()
        };
        let mixed = whole(&out);
        assert_eq!(mixed.members.len(), 3);
        // The logarithm of a mean is above the mean of logarithms.
        let losses = mixed.members.iter().map(|member| member.evaluation.unwrap().loss);
        assert!(mixed.evaluation.unwrap().loss < losses.sum::<f64>() / 3.0);
        let file = |out: &Path| std::fs::read(out.join("best.safetensors")).unwrap();
        let undisturbed = file(&out);
        // One that is done is mixed again.
        let mut again = Ensemble::resume(&out).unwrap().unwrap();
        again.run(&data, &go, &mut |_, _| Ok((FitOptions::default(), Box::new(Unwatched)))).unwrap().unwrap();
        assert_eq!(undisturbed, file(&out));
        // Stopped in the second training.
        let other = home.path().join("other");
        let mut ensemble = Ensemble::create(&config, &data, || RunFolder::create(&other, false)).unwrap();
        let (stop, seed) = (AtomicBool::new(false), Cell::new(0));
        let ended = ensemble.run(&data, &stop, &mut |number, _| {
            seed.set(number);
            let watch = |_: &mut Trainer, event: &Event| {
                let is_there = matches!(event, Event::Evaluated { step: 60, .. }) && seed.get() == 2;
                stop.store(is_there, Ordering::Relaxed);
                Ok(())
            };
            Ok((FitOptions::default(), Box::new(watch)))
        });
        assert!(ended.unwrap().is_none());
        assert!(RunFolder::open(&other).is_err(), "it is locked");
        drop(ensemble);
        let mut ensemble = Ensemble::resume(&other).unwrap().expect("is one");
        assert_eq!(ensemble.config(), &config);
        let done = ensemble.run(&data, &go, &mut |_, _| Ok((FitOptions::default(), Box::new(Unwatched))));
        assert!(done.unwrap().is_some());
        assert_eq!(undisturbed, file(&other));
        assert_eq!(Config::read(&other.join("config.toml")).unwrap(), config);
    }

    #[test]
    fn what_has_no_seed_is_no_ensemble() {
        let home = tempfile::tempdir().unwrap();
        let (mut config, data, out) = settings(home.path());
        config.model = crate::config::ModelConfig::of("ngram");
        let refused = |config: &Config| {
            Ensemble::create(config, &data, || RunFolder::create(&out, true)).unwrap_err().to_string()
        };
        assert!(refused(&config).contains("has no seed"));
        config.train.seeds = 65;
        assert!(refused(&config).contains("from 1 to 64"));
        assert!(!out.exists());
    }
}
