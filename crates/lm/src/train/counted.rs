//! A model that counts, written as a run.

use crate::config::Config;
use crate::data::Data;
use crate::evaluation::evaluate;
use crate::files::{Metric, NamedTensor, RunFolder};
use crate::models::LanguageModel;
use crate::{Checkpoint, Result};

/// Writes a model of [`models::count`](crate::models::count) as a run: both checkpoints, and in the metrics,
/// as step 1, the losses of the training and validation splits. Returns the validation loss, or the training
/// loss if nothing is scored in the validation split.
///
/// # Errors
/// The run cannot be written.
pub fn save_counted(
    (model, tensors): (&dyn LanguageModel, Vec<NamedTensor>),
    config: &Config,
    data: &Data,
    run: &mut RunFolder,
) -> Result<Option<f64>> {
    let mut last = None;
    for (name, split) in [("train", &data.splits.train), ("val", &data.splits.val)] {
        if let Some(evaluation) = evaluate(model, split)? {
            run.log(&Metric { step: 1, split: name.to_owned(), loss: evaluation.loss, lr: None })?;
            last = Some(evaluation.loss);
        }
    }
    let mut checkpoint = Checkpoint {
        config: config.clone(),
        vocab: data.vocab.clone(),
        step: 1,
        metrics_bytes: 0,
        tensors,
        state: Vec::new(),
    };
    run.save_best(&checkpoint)?;
    run.save_last(&mut checkpoint)?;
    Ok(last)
}
