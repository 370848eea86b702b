//! Models out of model files.

use std::path::Path;

use super::{LanguageModel, NGram, Network};
use crate::config::{Config, ModelKind};
use crate::data::Data;
use crate::data::Examples;
use crate::evaluate::evaluate;
use crate::files::{Metric, RunFolder};
use crate::{Checkpoint, Error, Result};

/// The model of a checkpoint; `path` is for messages.
///
/// # Errors
/// The tensors do not fit the configuration and the vocabulary: what is missing, left over or of another shape is
/// listed.
pub fn open(checkpoint: &Checkpoint, path: &Path) -> Result<Box<dyn LanguageModel>> {
    match checkpoint.config.model.kind {
        ModelKind::Ngram => {
            let ngram = NGram::from_tensors(&checkpoint.config.model, &checkpoint.vocab, &checkpoint.tensors);
            Ok(Box::new(ngram.map_err(|error| Error::model(path, error))?))
        }
        ModelKind::Mlp | ModelKind::Linear => Ok(Box::new(Network::from_checkpoint(checkpoint, path)?)),
    }
}

/// Counts the training split.
///
/// # Errors
/// There is nothing to count at this order.
pub fn fit_ngram(config: &Config, data: &Data) -> Result<NGram> {
    let model = &config.model;
    let examples = Examples::new(&data.splits.train, model.context)?;
    NGram::fit(&examples, data.vocab.len(), data.vocab.boundary(), model.smoothing, model.k)
}

/// Writes a model of [`fit_ngram`] as a run: both checkpoints, and the losses of the training and the validation split
/// in the metrics, as step 1.
///
/// # Errors
/// The run cannot be written.
pub fn save_ngram(ngram: &mut NGram, config: &Config, data: &Data, run: &mut RunFolder) -> Result<()> {
    for (name, split) in [("train", &data.splits.train), ("val", &data.splits.val)] {
        let examples = Examples::new(split, config.model.context)?;
        if !examples.is_empty() {
            let loss = evaluate(ngram, &examples)?.loss;
            run.log(&Metric { step: 1, split: name.to_owned(), loss, lr: None })?;
        }
    }
    let mut checkpoint = Checkpoint {
        config: config.clone(),
        vocab: data.vocab.clone(),
        step: 1,
        metrics_bytes: 0,
        tensors: ngram.tensors(),
        state: Vec::new(),
    };
    run.save_best(&checkpoint)?;
    run.save_last(&mut checkpoint)
}
