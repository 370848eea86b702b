//! What the comparison and a peer say to each other: one JSON object a line, on a peer's standard input and output.
//!
//! The comparison prepares everything as files (examples, initial parameters, the first batches), so that every peer
//! begins from the same numbers and can be held to the same losses.
#![forbid(unsafe_code)]

mod case;
pub mod family;
mod random;
mod serve;

pub use case::{Case, Layer, Weight, read_u32, write_u32};
pub use random::Random;
pub use serve::{Outcome, Peer, serve};

use serde::{Deserialize, Serialize};

/// What a peer is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Begin a case anew, from its initial parameters; what was open before is dropped.
    Open {
        /// The case.
        case: Box<Case>,
    },
    /// Do something `n` times, and say how long that took.
    Run {
        /// What.
        task: Task,
        /// How often.
        n: u64,
    },
}

/// What can be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// The first steps, on the batches of the case; their value is the loss of the last, before its update. It comes
    /// before any other task, and n is their number.
    Check,
    /// A training step: draw a batch, forward, backward, update. Its value is the loss of the last.
    Step,
    /// The loss of the whole split. Its value is that loss.
    Evaluate,
    /// 10,000 words, one after the other. Its value is their mean length.
    Sample,
    /// 10,000 words, side by side. Its value is their mean length.
    SampleBatched,
    /// The log-likelihood of each word of the split. Its value is their mean.
    Score,
}

/// A peer's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What the peer is; it says so before it is asked.
    Hello {
        /// Its version.
        version: String,
    },
    /// The case is open.
    Open,
    /// The peer does not have this; why.
    Absent(String),
    /// It is done.
    Done {
        /// How long all of it took.
        ///
        /// # Units
        /// Seconds.
        seconds: f64,
        /// What came out, to compare; see [`Task`]. JSON has no NaN: null.
        value: Option<f64>,
    },
}
