//! A worker's operations on a study: claiming, reporting and finishing a trial.

use super::database::{Cell, Database};
use super::sampler;
use super::space::{Settings, apply};
use super::study::{Study, chosen, mode};
use super::trial::CurvePoint;
use super::trials::{SeedResult, State, read_settings};
use charloom::{Error, Result};

/// The answer to a worker that asks for a trial.
pub(super) enum Claim {
    /// The trial is this worker's now.
    Trial { number: u64, settings: Settings, attempt: u64 },
    /// Other workers have all trials that are left. Ask again later: one of them might die.
    Wait,
    /// No trial is left.
    Finished,
}

/// How a trial ended.
pub(super) struct Ending {
    pub state: State,
    pub steps: u64,
    pub seconds: f64,
    pub error: Option<String>,
    pub seeds: Vec<SeedResult>,
    /// The points of the curve that are not stored yet.
    pub curve: Vec<CurvePoint>,
}

impl Study {
    /// Claims a trial for this worker: one whose worker died, else a new one; none unless `may_begin`.
    pub(super) fn claim(&mut self, worker: &str, may_begin: bool) -> Result<Claim> {
        let Self { database, address, spec, base, space } = self;
        let (name, lease) = (address.name(), spec.lease);
        database.exclusively(|database| {
            if let Some((number, _)) = chosen(database, name)? {
                let message = format!("the study is closed: trial {number} was chosen and tested");
                return Err(address.error(message));
            }
            if !may_begin {
                return Ok(Claim::Finished);
            }
            let rows = database.query(
                "UPDATE charloom_trial SET worker = ?1, lease = NOW() + ?2, attempts = attempts + 1
                 WHERE study = ?3 AND number = (SELECT MIN(number) FROM charloom_trial
                     WHERE study = ?3 AND state = 'running' AND lease < NOW() AND worker <> ?1)
                 RETURNING number, settings, attempts",
                &[worker.into(), lease.into(), name.into()],
            )?;
            if let Some(row) = rows.first() {
                let number = row[0].int();
                let sql = "DELETE FROM charloom_curve WHERE study = ?1 AND number = ?2";
                database.execute(sql, &[name.into(), number.into()])?;
                let settings = read_settings(address, &row[1])?;
                return Ok(Claim::Trial { number, settings, attempt: row[2].int() });
            }
            let rows = database.query(
                "SELECT settings, state, loss, steps FROM charloom_trial WHERE study = ?1 ORDER BY number",
                &[name.into()],
            )?;
            let is_running = |row: &Vec<Cell>| row[1].text() == Some(State::Running.as_str());
            let none_left = if rows.iter().any(is_running) { Claim::Wait } else { Claim::Finished };
            let number = rows.len() as u64;
            if number >= spec.limit() {
                return Ok(none_left);
            }
            let mut finished = Vec::new();
            for row in rows.iter().filter(|row| !is_running(row)) {
                finished.push((read_settings(address, &row[0])?, row[2].real().unwrap_or(f64::INFINITY)));
            }
            let Some(settings) = sampler::propose(spec, space, number, &finished)? else {
                return Ok(none_left);
            };
            // Invalid settings count as no steps: their trial fails when it is run.
            let steps = apply(base, &settings, mode(base)).map_or(0, |config| config.train.steps);
            let steps = steps.saturating_mul(spec.seeds);
            let spent = rows.iter().map(|row| row[3].int()).fold(0, u64::saturating_add);
            if spec.max_steps.is_some_and(|most| spent.saturating_add(steps) > most) {
                return Ok(none_left);
            }
            let text = serde_json::to_string(&settings).map_err(|e| Error::Failed(e.to_string()))?;
            database.execute(
                "INSERT INTO charloom_trial
                     (study, number, settings, state, worker, lease, attempts, steps)
                 VALUES (?1, ?2, ?3, 'running', ?4, NOW() + ?5, 1, ?6)",
                &[
                    name.into(),
                    number.into(),
                    text.as_str().into(),
                    worker.into(),
                    lease.into(),
                    steps.into(),
                ],
            )?;
            Ok(Claim::Trial { number, settings, attempt: 1 })
        })
    }

    /// Renews the leases of all trials of the workers whose names begin with `prefix`.
    pub(super) fn renew(&mut self, prefix: &str) -> Result<()> {
        self.database
            .execute(
                "UPDATE charloom_trial SET lease = NOW() + ?1
                 WHERE study = ?2 AND state = 'running' AND worker LIKE ?3",
                &[self.spec.lease.into(), self.address.name().into(), format!("{prefix}%").as_str().into()],
            )
            .map(|_| ())
    }

    /// Releases an unfinished trial, for the next worker that asks.
    pub(super) fn release(&mut self, number: u64, worker: &str) -> Result<()> {
        self.database
            .execute(
                "UPDATE charloom_trial SET lease = 0, worker = ''
                 WHERE study = ?1 AND number = ?2 AND worker = ?3 AND state = 'running'",
                &[self.address.name().into(), number.into(), worker.into()],
            )
            .map(|_| ())
    }

    /// Stores the points of the curve up to a rung. Returns the other trials' losses at the last one's step,
    /// or `None` if the trial is no longer this worker's.
    pub(super) fn report(
        &mut self,
        number: u64,
        worker: &str,
        curve: &[CurvePoint],
    ) -> Result<Option<Vec<f64>>> {
        let Self { database, address, .. } = self;
        let name = address.name();
        let Some(last) = curve.last() else { return Ok(Some(Vec::new())) };
        database.exclusively(|database| {
            let owned = database.query(
                "SELECT number FROM charloom_trial
                 WHERE study = ?1 AND number = ?2 AND worker = ?3 AND state = 'running'",
                &[name.into(), number.into(), worker.into()],
            )?;
            if owned.is_empty() {
                return Ok(None);
            }
            store_curve(database, name, number, curve)?;
            let rows = database.query(
                "SELECT loss FROM charloom_curve WHERE study = ?1 AND number <> ?2 AND seed = ?3 AND step = ?4",
                &[name.into(), number.into(), last.seed.into(), last.step.into()],
            )?;
            Ok(Some(rows.iter().filter_map(|row| row[0].real()).collect()))
        })
    }

    /// Stores a trial's end, its seeds and the rest of its curve; false if the trial is no longer this
    /// worker's.
    pub(super) fn finish(&mut self, number: u64, worker: &str, ending: &Ending) -> Result<bool> {
        let Self { database, address, .. } = self;
        let name = address.name();
        let losses: Vec<f64> = ending.seeds.iter().map(|seed| seed.loss).collect();
        let (loss, deviation) = mean_and_deviation(&losses);
        database.exclusively(|database| {
            let changed = database.execute(
                "UPDATE charloom_trial
                 SET state = ?1, loss = ?2, deviation = ?3, seconds = ?4, steps = ?5, error = ?6
                 WHERE study = ?7 AND number = ?8 AND worker = ?9 AND state = 'running'",
                &[
                    ending.state.as_str().into(),
                    loss.into(),
                    deviation.into(),
                    ending.seconds.into(),
                    ending.steps.into(),
                    ending.error.clone().into(),
                    name.into(),
                    number.into(),
                    worker.into(),
                ],
            )?;
            if changed == 0 {
                return Ok(false);
            }
            store_curve(database, name, number, &ending.curve)?;
            for result in &ending.seeds {
                database.execute(
                    "INSERT INTO charloom_seed (study, number, seed, loss, step, test)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    &[
                        name.into(),
                        number.into(),
                        result.seed.into(),
                        result.loss.into(),
                        result.step.into(),
                        result.test.into(),
                    ],
                )?;
            }
            Ok(true)
        })
    }
}

fn store_curve(database: &mut Database, name: &str, number: u64, curve: &[CurvePoint]) -> Result<()> {
    for point in curve {
        database.execute(
            "INSERT INTO charloom_curve (study, number, seed, step, loss) VALUES (?1, ?2, ?3, ?4, ?5)",
            &[name.into(), number.into(), point.seed.into(), point.step.into(), point.loss.into()],
        )?;
    }
    Ok(())
}

/// The mean, and with two numbers or more the standard deviation over n - 1.
fn mean_and_deviation(losses: &[f64]) -> (Option<f64>, Option<f64>) {
    let n = losses.len() as f64;
    if losses.is_empty() {
        return (None, None);
    }
    let mean = losses.iter().sum::<f64>() / n;
    let squares: f64 = losses.iter().map(|loss| (loss - mean).powi(2)).sum();
    (Some(mean), (losses.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}
