use charloom_tensor::rng::TorchGenerator;

use super::SampleOptions;
use crate::{Checkpoint, Error, Result};

/// How the notebook of a checkpoint's preset drew its names: the options, and the generator in the state that
/// it had then, for [`Sampler::with_generator`](super::Sampler::with_generator). The checkpoint must be that
/// after the last step.
///
/// # Errors
/// The configuration has no `[notebook]`; or the names are drawn from the training's generator, and the
/// checkpoint does not have it, as a run's best does not.
pub fn notebook(checkpoint: &Checkpoint) -> Result<(SampleOptions, TorchGenerator)> {
    let Some(notebook) = &checkpoint.config.notebook else {
        let message =
            ": the run's configuration has no [notebook], as the presets of notebooks with names have";
        return Err(Error::setting("as_notebook", message));
    };
    let generator = match notebook.seed {
        Some(seed) => TorchGenerator::new(seed),
        None => checkpoint.generator().map_err(|what| {
            let hint = "the names go on with the training's generator; name a run, or its last.safetensors";
            Error::setting("as_notebook", format!(": {what}; {hint}"))
        })?,
    };
    let seed = notebook.seed.unwrap_or(checkpoint.config.train.seed);
    Ok((
        SampleOptions { n: notebook.samples, stream: notebook.stream, seed, ..SampleOptions::default() },
        generator,
    ))
}
