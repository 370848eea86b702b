//! Evaluates the best trial on the test split, once.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::results::best;
use super::study::Study;
use charloom::data::Data;
use charloom::evaluation::evaluate;
use charloom::files::{RunFolder, model_file};
use charloom::models;
use charloom::train::{End, FitOptions, Unwatched, fit};
use charloom::{Checkpoint, Error, Result};

/// The chosen trial and its losses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    /// The trial's number.
    pub number: u64,
    /// Its mean validation loss, by which it was chosen.
    ///
    /// # Units
    /// Nats per character.
    pub validation: f64,
    /// The test loss of its first seed's best model.
    ///
    /// # Units
    /// Nats per character.
    pub test: f64,
}

/// Closes the study: trains its best trial again, with the first seed, as a run in `folder`, and evaluates
/// that run's best model on the test split. The study records trial and loss and takes no more trials;
/// another call returns what is recorded.
///
/// # Errors
/// No finished trial; trials that still run; a study that measures every test loss; a folder that is taken.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use charloom::prelude::*;
/// use charloom_sweep::{Address, Spec, Study, WorkOptions, choose, work};
///
/// let spec = "sampler = 'grid'\nbase.model.kind = 'ngram'\n[settings]\norder = [2, 3]";
/// let (spec, mut base) = Spec::from_toml(spec, "spec.toml".as_ref())?;
/// let data = load_data(&mut base.clone())?;
/// (base.data.sha256, base.data.mode) = (Some(data.source.sha256.clone()), Some(data.mode()));
/// # let home = tempfile::tempdir().unwrap();
/// let address = Address::File(home.path().join("study.db"));
/// let mut study = Study::create(&address, &spec, &base)?;
/// let stop = AtomicBool::new(false);
/// work(&address, &data, WorkOptions { threads: 1 }, &stop, &|_| {})?;
/// let chosen = choose(&mut study, &data, &home.path().join("best"), &stop)?;
/// assert!(chosen.number == 1 && chosen.test < 2.4);
/// assert_eq!(study.chosen()?, Some((1, Some(chosen.test))));
/// # Ok::<(), Error>(())
/// ```
pub fn choose(study: &mut Study, data: &Data, folder: &Path, stop: &AtomicBool) -> Result<Chosen> {
    let address = study.address().clone();
    if study.spec().measure_test {
        let message = "every trial's test loss is measured here, so none can be chosen without having looked";
        return Err(address.error(message));
    }
    if data.splits.test.is_empty() {
        return Err(Error::data(&data.source.path, "no test split; nothing to evaluate the choice on"));
    }
    let trials = study.trials()?;
    let chosen = study.chosen()?;
    let trial = match chosen {
        Some((number, _)) => trials.iter().find(|trial| trial.number == number),
        None => best(&trials),
    };
    let Some((trial, validation)) = trial.and_then(|trial| Some((trial, trial.loss?))) else {
        return Err(address.error("no trial is trained to its end yet"));
    };
    let number = trial.number;
    if let Some((_, Some(test))) = chosen {
        return Ok(Chosen { number, validation, test });
    }
    let config = study.config(&trial.settings)?;
    if RunFolder::is_taken(folder)? {
        return Err(Error::model(folder, "exists; choose another ``out``"));
    }
    // Before the run is written, since this fails while trials still run.
    study.close(number)?;
    let mut run = RunFolder::create(folder, false)?;
    run.write_config(&config)?;
    if fit(&config, data, &mut run, FitOptions::default(), stop, &mut Unwatched)?.end == End::Stopped {
        return Err(Error::Failed("stopped before the chosen trial was trained again".to_owned()));
    }
    let file = model_file(folder)?;
    let model = models::open(&Checkpoint::read(&file)?, &file)?;
    let nothing = || Error::data(&data.source.path, "nothing in the test split is judged; give more text");
    study.record_test(evaluate(&*model, &data.splits.test)?.ok_or_else(nothing)?.loss)?;
    let test =
        study.chosen()?.and_then(|(_, test)| test).ok_or_else(|| address.error("the study is gone"))?;
    Ok(Chosen { number, validation, test })
}
