//! Opens models from checkpoints, and makes those that are counted rather than trained.

use std::path::Path;

use charloom_tensor::rng::TorchGenerator;

use super::{LanguageModel, Learning, Neural, kind, mixture};
use crate::config::{Config, Generator};
use crate::data::Data;
use crate::files::NamedTensor;
use crate::{Checkpoint, Error, Result};

/// The model of a checkpoint; `path` is for messages.
///
/// # Errors
/// The tensors do not fit the configuration and the vocabulary; lists those that are missing, left over or of
/// another shape.
///
/// ```
/// use charloom::prelude::*;
///
/// let mut config = Config::from_toml("model.hidden = [8]", "my.toml".as_ref())?;
/// let data = load_data(&mut config)?;
/// let mut trainer = Trainer::new(&config, &data)?;
/// // Usually it is read from a file: `Checkpoint::read(&model_file(run)?)`.
/// let checkpoint = trainer.checkpoint()?;
/// let model = models::open(&checkpoint, "my.safetensors".as_ref())?;
/// assert_eq!(evaluate(&*model, &data.splits.val)?, evaluate(trainer.model(), &data.splits.val)?);
/// # Ok::<(), Error>(())
/// ```
pub fn open(checkpoint: &Checkpoint, path: &Path) -> Result<Box<dyn LanguageModel>> {
    let config = &checkpoint.config.model;
    match super::check(config)
        .and_then(|_| kind(config))
        .map_err(|error| Error::model(path, error))?
        .learning()
    {
        Learning::ByGradients(_) => Ok(Box::new(Neural::from_checkpoint(checkpoint, path)?)),
        Learning::ByCounting(counting) => {
            let model = counting.open(&checkpoint.config.model, &checkpoint.vocab, &checkpoint.tensors);
            model.map_err(|error| Error::model(path, error))
        }
        Learning::OfMembers => Ok(Box::new(mixture::open(checkpoint, path)?)),
    }
}

/// The random generator of a configuration's parameters and then of its minibatches. If it is shared with the
/// split, it has drawn the order of the words already.
#[must_use]
pub fn generator(config: &Config, data: &Data) -> TorchGenerator {
    let mut generator = TorchGenerator::new(config.train.seed);
    if config.train.generator == Generator::Shared {
        data.draw_order(&config.data, &mut generator);
    }
    generator
}

/// Whether a configuration's model is made in one pass, by counting or as a mixture; otherwise it is trained
/// in gradient steps.
///
/// # Errors
/// There is no model of that kind.
pub fn has_no_steps(config: &Config) -> Result<bool> {
    Ok(!matches!(kind(&config.model)?.learning(), Learning::ByGradients(_)))
}

/// Refuses to train a configuration's model if it is a mixture.
///
/// # Errors
/// It is one; there is no model of that kind.
pub fn refuse_mixture(config: &Config) -> Result<()> {
    if matches!(kind(&config.model)?.learning(), Learning::OfMembers) {
        let kind = &config.model.kind;
        let hint =
            "name the run or the configuration of one of its members, or mix runs: charloom mix RUN ...";
        return Err(Error::usage(format!(
            "a model of kind {kind:?} is made of runs and is not trained; {hint}"
        )));
    }
    Ok(())
}

/// Makes the model of a configuration that counts, in one pass over the training split; returns it and its
/// tensors.
///
/// # Errors
/// A configuration of a model that does not count; nothing to count.
///
/// ```
/// use charloom::prelude::*;
///
/// let model = ModelConfig::of("ngram").with("order", 3);
/// let mut config = Config { model, ..Config::default() };
/// let data = load_data(&mut config)?;
/// let (model, tensors) = models::count(&config, &data)?;
/// assert_eq!(model.reach(), models::Reach::Window(2));
/// // The distinct trigrams, and the count of each.
/// assert_eq!(tensors[0].shape, [tensors[1].shape[0], 3]);
/// # Ok::<(), Error>(())
/// ```
pub fn count(config: &Config, data: &Data) -> Result<(Box<dyn LanguageModel>, Vec<NamedTensor>)> {
    refuse_mixture(config)?;
    match kind(&config.model)?.learning() {
        Learning::ByCounting(counting) => counting.count(&config.model, data),
        _ => {
            let kind = &config.model.kind;
            Err(Error::setting("model", format!("{kind} learns by gradients; it cannot be counted")))
        }
    }
}
