//! The state of a training.

use std::path::Path;

use charloom::Checkpoint;
use charloom::config::Batch;
use charloom::data::{Corpus, Data, DataConfig};
use charloom::models;
use charloom::train::Trainer;

/// Reads a model file, goes on with the training in it for a step, and saves and reads that.
///
/// # Panics
/// As [`read`](super::model::read); a training that goes on and cannot be saved, unless it diverged.
pub fn state(bytes: &[u8]) {
    let Some(checkpoint) = super::model::read(bytes) else { return };
    // Small enough for many a second.
    let parameters = models::parameters(&checkpoint.config, checkpoint.vocab.len());
    let parameters = parameters.ok().flatten().unwrap_or(0);
    let batch = match checkpoint.config.train.batch {
        Batch::Size(batch) => batch as u64,
        Batch::Full => 100,
    };
    if batch.saturating_mul(parameters) > 1 << 20 {
        return;
    }
    let Some(data) = data_of(&checkpoint) else { return };
    let path = Path::new("fuzz.safetensors");
    let mut trainer = match Trainer::resume(&checkpoint, &data, path) {
        Ok(trainer) => trainer,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error:?}");
            return;
        }
    };
    if trainer.step().is_err() {
        return;
    }
    if let Ok(after) = trainer.checkpoint() {
        let bytes = after.to_bytes().expect("it can be written");
        if let Ok(read) = Checkpoint::from_bytes(&bytes, path) {
            Trainer::resume(&read, &data, path).expect("what was saved goes on");
        }
    }
}

/// Data with the characters of the checkpoint's vocabulary, as far as data can have them.
fn data_of(checkpoint: &Checkpoint) -> Option<Data> {
    let vocab = &checkpoint.vocab;
    let all: String = vocab.characters()[usize::from(vocab.boundary().is_some())..].iter().collect();
    let config = DataConfig { mode: Some(vocab.mode()), ..DataConfig::default() };
    let text = if vocab.boundary().is_some() { format!("{all}\n").repeat(10) } else { all.repeat(10) };
    let corpus = Corpus::from_bytes("fuzz", text.as_bytes(), &config).ok()?;
    Data::of(corpus, &config, None).ok()
}
