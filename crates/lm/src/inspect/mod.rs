//! The inside of a network: every layer's values and gradients on a batch, and findings of what is wrong.

mod findings;
mod measure;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Serialize;

use crate::config::Config;
use crate::data::Data;
use crate::models::{self, Neural};
use crate::{Checkpoint, Error, Result};

pub use crate::files::record::{Histogram, Record, RecordKind};
pub use findings::Finding;
pub(crate) use measure::ratio;
pub use measure::{Probe, Snapshot, Values};

/// A network looked into, at the start of its training and at the end.
///
/// ```
/// use charloom::{Config, data::Data, inspect::Inspection};
///
/// let config = Config::from_toml("[model]\ninit = 'unit-normal'\noutput_scale = 1.0", "my.toml".as_ref())?;
/// let data = Data::load(&config.data, None)?;
/// let seen = Inspection::untrained(&config, &data, 256)?;
/// assert!(seen.findings[0].message.starts_with("the first loss is"));
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// ln V, the loss of a uniform distribution.
    ///
    /// # Units
    /// Nats per character.
    pub uniform: f64,
    /// What is wrong, the gravest first; empty: nothing stands out.
    pub findings: Vec<Finding>,
    /// The network before training.
    pub start: Snapshot,
    /// The network after training.
    pub end: Option<Snapshot>,
    /// The records of a training with diagnostics.
    #[serde(skip)]
    pub updates: Vec<Record>,
}

impl Inspection {
    /// The network of a configuration, before any training, on `rows` examples of the training split.
    ///
    /// # Errors
    /// A configuration that is not valid, a model without layers over a window, or no examples.
    pub fn untrained(config: &Config, data: &Data, rows: usize) -> Result<Self> {
        Self::of(&drawn(config, data)?, None, config, data, rows, Vec::new())
    }

    /// The network of a checkpoint, and as it was before training, drawn again; `path` is for messages,
    /// `updates` are the records of its `diagnostics.jsonl`.
    ///
    /// # Errors
    /// A model without layers over a window, other data than it was trained on, or no examples.
    pub fn trained(
        checkpoint: &Checkpoint,
        data: &Data,
        rows: usize,
        updates: Vec<Record>,
        path: &Path,
    ) -> Result<Self> {
        if checkpoint.vocab != data.vocab {
            let how = checkpoint.vocab.difference(&data.vocab);
            let message = format!(
                "was trained on other characters than the data has ({how}); name its data with ``data``"
            );
            return Err(Error::model(path, message));
        }
        let start = drawn(&checkpoint.config, data)?;
        let end = Neural::from_checkpoint(checkpoint, path)?;
        Self::of(&start, Some((&end, checkpoint.step)), &checkpoint.config, data, rows, updates)
    }

    /// Inspects networks as they are: `start`, and `end` with the number of its updates.
    ///
    /// # Errors
    /// A model without layers over a window, or no examples.
    pub fn of(
        start: &Neural,
        end: Option<(&Neural, u64)>,
        config: &Config,
        data: &Data,
        rows: usize,
        updates: Vec<Record>,
    ) -> Result<Self> {
        let stack = start.stack()?;
        let examples = data.splits.train.examples(stack.context)?;
        if examples.is_empty() || rows == 0 {
            return Err(Error::data(&data.source.path, "no examples to look at; give more text"));
        }
        // Bounds a probe's memory: 2^26 elements in the widest layer, as in a training step.
        let rows = rows.min((1 << 26) / stack.widest.max(1)).max(2);
        let look = |model: &Neural, step| -> Result<Snapshot> {
            let mut probe = Probe::new(&model.params, model.stack()?, &examples, rows);
            let seen = probe.measure(&model.params, step);
            Ok(Snapshot { values: probe.values(), ..seen })
        };
        let mut seen = Self {
            uniform: (data.vocab.len() as f64).ln(),
            findings: Vec::new(),
            start: look(start, 0)?,
            end: end.map(|(model, step)| look(model, step)).transpose()?,
            updates,
        };
        seen.findings = findings::all(&seen, &config.model.read()?);
        Ok(seen)
    }
}

/// The network that a training begins with.
fn drawn(config: &Config, data: &Data) -> Result<Neural> {
    Neural::new(config, data.vocab.len(), &mut models::generator(config, data))
}
