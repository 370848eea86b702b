//! New words, or new text, drawn from a model.

mod notebook;
mod novelty;
mod options;
mod sampler;
mod top;
mod weights;

use serde::Serialize;

pub use notebook::notebook;
pub use novelty::{KnownWords, Novelty};
pub use options::SampleOptions;
pub use sampler::{MAX_ATTEMPTS, MAX_MISSED_CHARACTERS, Sampler};
pub use top::top;

/// A word or text that was sampled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// The characters, prefix included.
    pub text: String,
    /// Their tokens, without boundaries.
    #[serde(skip)]
    pub tokens: Vec<u32>,
    /// The logarithm of the model's probability of what was drawn (after the prefix, and with the boundary),
    /// whatever the temperature.
    ///
    /// # Units
    /// Nats.
    pub log_prob: f64,
    /// Whether a word was cut off at the greatest length.
    pub truncated: bool,
    /// Whether it is new; none if there is nothing to compare with.
    pub novelty: Option<Novelty>,
}

impl Sample {
    /// How many characters were drawn for it: its own, and one for the boundary.
    #[must_use]
    pub fn drawn(&self) -> u64 {
        self.tokens.len() as u64 + 1
    }
}
