//! A trial as a study stores it.

use serde::{Deserialize, Serialize};

use super::database::{Address, Cell};
use super::space::Settings;
use super::trial::CurvePoint;
use charloom::Result;

charloom::choices! {
    /// The state of a trial.
    State {
        /// A worker trains it, or did until it died.
        Running = "running",
        /// Trained to its end.
        Done = "done",
        /// Stopped early, because others were better.
        Pruned = "pruned",
        /// Its settings do not work: they are not valid, or the training diverged.
        Failed = "failed",
    }
}

/// One seed's training in a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// The best validation loss.
    ///
    /// # Units
    /// Nats per character.
    pub loss: f64,
    /// The step at which it was reached.
    pub step: u64,
    /// The finished model's test loss, in a study that measures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<f64>,
}

/// A trial: one point of the search space.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Its number, counted from 0.
    pub number: u64,
    /// Its state.
    pub state: State,
    /// Its settings.
    pub settings: Settings,
    /// The mean over the seeds of the best validation loss; of a pruned trial the best until then.
    ///
    /// # Units
    /// Nats per character.
    pub loss: Option<f64>,
    /// The standard deviation over the seeds.
    pub deviation: Option<f64>,
    /// The steps made, or while it runs the steps planned.
    pub steps: u64,
    /// The seconds it took.
    pub seconds: Option<f64>,
    /// How often it was begun: more than once if a worker died.
    pub attempts: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Each seed's result.
    pub seeds: Vec<SeedResult>,
    /// The validation losses during training.
    pub curve: Vec<CurvePoint>,
}

pub(super) fn read_settings(address: &Address, cell: &Cell) -> Result<Settings> {
    let broken = |e| address.error(format!("a trial's settings cannot be read: {e}"));
    serde_json::from_str(cell.text().unwrap_or_default()).map_err(broken)
}

pub(super) fn read_trial(address: &Address, row: &[Cell]) -> Result<Trial> {
    Ok(Trial {
        number: row[0].int(),
        settings: read_settings(address, &row[1])?,
        state: row[2].text().unwrap_or_default().parse().map_err(|e: String| address.error(e))?,
        steps: row[3].int(),
        loss: row[4].real(),
        deviation: row[5].real(),
        seconds: row[6].real(),
        attempts: row[7].int(),
        error: row[8].text().map(str::to_owned),
        seeds: Vec::new(),
        curve: Vec::new(),
    })
}
