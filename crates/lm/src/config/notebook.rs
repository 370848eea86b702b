use serde::{Deserialize, Serialize};

use super::RandomStream;
use crate::{Error, Result};

/// How the notebook that a preset reproduces drew its names, always from the weights after the last step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotebookConfig {
    /// How many names.
    pub samples: u64,
    /// How the random numbers are drawn.
    pub stream: RandomStream,
    /// The seed of a generator of their own; none: they are drawn from the training's generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl NotebookConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// One line with the key, its value and the limit.
    pub(super) fn validate(&self) -> Result<()> {
        let most = i64::MAX as u64;
        if self.samples > most {
            return Err(Error::out_of_range("notebook.samples", self.samples, format!("from 0 to {most}")));
        }
        match self.seed {
            Some(seed) if seed > most => {
                Err(Error::out_of_range("notebook.seed", seed, format!("from 0 to {most}")))
            }
            _ => Ok(()),
        }
    }
}
