//! What a run records besides its weights: losses, and how long it took.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::lines::{MAX_LINE, read_lines};
use crate::disk::open_regular;
use crate::{Error, Result};

pub(super) const METRICS: &str = "metrics.jsonl";
pub(super) const TIMING: &str = "timing.json";
/// The most lines of the metrics.
const MAX_METRICS: usize = 1 << 23;

/// A line of `metrics.jsonl`.
///
/// # Units
/// `loss` in nats per character.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Updates made before this was measured.
    pub step: u64,
    /// `batch`, `train` or `val`.
    pub split: String,
    /// The loss.
    pub loss: f64,
    /// The learning rate of that step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
}

impl Metric {
    /// The metrics of a run folder, as far as they are written.
    ///
    /// # Errors
    /// No run folder, or a line that charloom did not write.
    pub fn read_all(run: &Path) -> Result<Vec<Self>> {
        let path = run.join(METRICS);
        if !path.is_file() {
            return Err(Error::model(run, "no run folder with a metrics.jsonl; 'charloom train' makes one"));
        }
        read_lines(&path, MAX_METRICS)
    }
}

/// How long a training took: what `timing.json` says.
///
/// It is written every ten seconds and at the end of each session, so a crash may cost up to ten seconds of
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Time for updates, evaluations and saving in all sessions; pauses and observers do not count.
    ///
    /// # Units
    /// Seconds.
    pub seconds: f64,
    /// Updates made in that time.
    pub steps: u64,
}

impl Timing {
    /// The timing in a run folder; `None` if it is missing or cannot be read.
    #[must_use]
    pub fn read(run: &Path) -> Option<Self> {
        let mut text = String::new();
        open_regular(&run.join(TIMING)).ok()?.take(MAX_LINE).read_to_string(&mut text).ok()?;
        let timing: Self = serde_json::from_str(&text).ok()?;
        (timing.seconds >= 0.0).then_some(timing)
    }

    /// Updates a second; none where there is no time or no update.
    #[must_use]
    pub fn steps_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0 && self.steps > 0).then(|| self.steps as f64 / self.seconds)
    }
}

impl fmt::Display for Timing {
    /// As in `1 h 23 min, 100 steps/s`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.seconds {
            s if s < 9.95 => write!(f, "{s:.1} s")?,
            s if s < 99.5 => write!(f, "{s:.0} s")?,
            s if s < 5400.0 => write!(f, "{:.0} min", s / 60.0)?,
            s => write!(f, "{} h {} min", (s / 3600.0) as u64, (s / 60.0) as u64 % 60)?,
        }
        match self.steps_per_second() {
            Some(rate) if rate < 10.0 => write!(f, ", {rate:.2} steps/s"),
            Some(rate) => write!(f, ", {rate:.0} steps/s"),
            None => Ok(()),
        }
    }
}
