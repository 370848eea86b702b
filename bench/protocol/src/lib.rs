//! The protocol between the comparison and a peer: one JSON object a line, on a peer's standard input and
//! output.
//!
//! The comparison writes everything into files (examples, initial parameters, the first batches), so that
//! every peer starts from the same numbers and has to compute the same losses.
#![forbid(unsafe_code)]

mod case;
pub mod family;
mod random;
mod serve;

pub use case::{Case, Layer, Weight, read_u32, write_u32};
pub use random::Random;
pub use serve::{Outcome, Peer, serve};

use serde::{Deserialize, Serialize};

/// A request to a peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Open a case, from its initial parameters; the case before is dropped.
    Open {
        /// The case.
        case: Box<Case>,
    },
    /// Run a task `n` times, and report how long that took.
    Run {
        /// The task.
        task: Task,
        /// The number of repetitions.
        n: u64,
    },
}

/// What can be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// The first `n` steps, on the batches of the case, before any other task. The value is the loss of the
    /// last step, before its update.
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
    /// The peer's version, sent before any request.
    Hello {
        /// Its version.
        version: String,
    },
    /// The case is open.
    Open,
    /// The peer does not have this, for the given reason.
    Absent(String),
    /// The task is done.
    Done {
        /// How long all of it took.
        ///
        /// # Units
        /// Seconds.
        seconds: f64,
        /// The value of the task, see [`Task`]; null for NaN and infinities, which JSON lacks.
        value: Option<f64>,
    },
}
