//! A study in its database: trials are taken, finished and taken up again, each change whole or not at all.

use serde::{Deserialize, Serialize};

use super::database::{Address, Cell, Database};
use super::sampler;
use super::space::{Settings, Space, apply};
use super::spec::Spec;
use super::trial::CurvePoint;
use charloom::data::Mode;
use charloom::{Config, Error, Result};

/// The version of the tables.
const FORMAT: u64 = 1;

/// `lease` is the time, on the database's clock, until which a running trial is its worker's.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS charloom_study (
        name TEXT PRIMARY KEY, format BIGINT NOT NULL, spec TEXT NOT NULL, base TEXT NOT NULL,
        chosen BIGINT, test DOUBLE PRECISION);
    CREATE TABLE IF NOT EXISTS charloom_trial (
        study TEXT NOT NULL, number BIGINT NOT NULL, settings TEXT NOT NULL, state TEXT NOT NULL,
        worker TEXT NOT NULL, lease DOUBLE PRECISION NOT NULL, attempts BIGINT NOT NULL, steps BIGINT NOT NULL,
        loss DOUBLE PRECISION, deviation DOUBLE PRECISION, seconds DOUBLE PRECISION, error TEXT,
        PRIMARY KEY (study, number));
    CREATE TABLE IF NOT EXISTS charloom_seed (
        study TEXT NOT NULL, number BIGINT NOT NULL, seed BIGINT NOT NULL, loss DOUBLE PRECISION NOT NULL,
        step BIGINT NOT NULL, test DOUBLE PRECISION,
        PRIMARY KEY (study, number, seed));
    CREATE TABLE IF NOT EXISTS charloom_curve (
        study TEXT NOT NULL, number BIGINT NOT NULL, seed BIGINT NOT NULL, step BIGINT NOT NULL,
        loss DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (study, number, seed, step))";

charloom::words! {
    /// How far a trial is.
    State {
        /// A worker has it, or had it when it died.
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

/// A trial: one point of the space.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Counted from 0.
    pub number: u64,
    /// How far it is.
    pub state: State,
    /// What it tries.
    pub settings: Settings,
    /// The mean over the seeds of the best validation loss; of a pruned trial the best until then.
    ///
    /// # Units
    /// Nats per character.
    pub loss: Option<f64>,
    /// The standard deviation over the seeds.
    pub deviation: Option<f64>,
    /// Steps made; while it runs, those it will make.
    pub steps: u64,
    /// Seconds it took.
    pub seconds: Option<f64>,
    /// How often it was begun: more than once if a worker died.
    pub attempts: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Each seed's result.
    pub seeds: Vec<SeedResult>,
    /// The validation losses on the way.
    pub curve: Vec<CurvePoint>,
}

/// What a worker gets when it asks for work.
pub(super) enum Claim {
    /// This trial is its.
    Trial { number: u64, settings: Settings, attempt: u64 },
    /// Other workers have the last ones; one of them might die.
    Wait,
    /// There is nothing left to do.
    Finished,
}

/// How a trial ended.
pub(super) struct Ending {
    pub state: State,
    pub steps: u64,
    pub seconds: f64,
    pub error: Option<String>,
    pub seeds: Vec<SeedResult>,
    /// What has not been reported yet.
    pub curve: Vec<CurvePoint>,
}

/// A study, open.
pub struct Study {
    database: Database,
    address: Address,
    spec: Spec,
    base: Config,
    space: Space,
}

impl Study {
    /// Makes a new study. The base must name its data's hash and mode, as [`Config::load_data`] leaves it.
    ///
    /// # Errors
    /// A specification that is not valid, a study that is there already, a database that cannot be reached.
    pub fn create(address: &Address, spec: &Spec, base: &Config) -> Result<Self> {
        let space = spec.validate(base, mode(base))?;
        // Whatever can be refused before anything is written.
        sampler::propose(spec, &space, 0, &[])?;
        if let Address::File(path) = address
            && let Some(folder) = path.parent()
        {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        }
        let mut database = Database::open(address, true)?;
        database.prepare(TABLES)?;
        let text = |value: serde_json::Result<String>| value.map_err(|e| Error::Failed(e.to_string()));
        let (written, config) = (text(serde_json::to_string(spec))?, text(serde_json::to_string(base))?);
        let made = database.execute(
            "INSERT INTO charloom_study (name, format, spec, base) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO NOTHING",
            &[address.name().into(), FORMAT.into(), written.as_str().into(), config.as_str().into()],
        )?;
        if made == 0 {
            let way = format!("the study exists; --resume {address} goes on with it, or name another one");
            return Err(address.error(way));
        }
        Ok(Self { database, address: address.clone(), spec: spec.clone(), base: base.clone(), space })
    }

    /// Opens a study, to look at it or to work on it.
    ///
    /// # Errors
    /// There is none, or it is of a newer charloom.
    pub fn open(address: &Address) -> Result<Self> {
        let mut database = Database::open(address, false)?;
        let found = database
            .query("SELECT format, spec, base FROM charloom_study WHERE name = ?1", &[address.name().into()]);
        let rows = found.map_err(|e| match address {
            Address::File(_) => address.error("not a study's file"),
            Address::Server { .. } => e,
        })?;
        let Some(row) = rows.first() else { return Err(address.error("no such study in this database")) };
        if row[0].int() != FORMAT {
            let message = format!("the study has format {}, this charloom knows {FORMAT}", row[0].int());
            return Err(address.error(message));
        }
        let broken =
            |e: serde_json::Error| address.error(format!("the study's settings cannot be read: {e}"));
        let spec: Spec = serde_json::from_str(row[1].text().unwrap_or_default()).map_err(broken)?;
        let base: Config = serde_json::from_str(row[2].text().unwrap_or_default()).map_err(broken)?;
        let space = spec.validate(&base, mode(&base))?;
        Ok(Self { database, address: address.clone(), spec, base, space })
    }

    /// What it tries.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What all trials share.
    #[must_use]
    pub fn base(&self) -> &Config {
        &self.base
    }

    /// What varies.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The whole configuration of a trial, as `train --config` takes it.
    ///
    /// # Errors
    /// Settings that do not go together.
    pub fn config(&self, settings: &Settings) -> Result<Config> {
        let config = apply(&self.base, settings, mode(&self.base))?;
        config.validate()?;
        Ok(config)
    }

    /// All trials, by their numbers.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn trials(&mut self) -> Result<Vec<Trial>> {
        let address = self.address.clone();
        let name: [Cell; 1] = [address.name().into()];
        let rows = self.database.query(
            "SELECT number, settings, state, steps, loss, deviation, seconds, attempts, error
             FROM charloom_trial WHERE study = ?1 ORDER BY number",
            &name,
        )?;
        let mut trials = rows.iter().map(|row| read_trial(&address, row)).collect::<Result<Vec<_>>>()?;
        let at = |trials: &[Trial], number| trials.binary_search_by_key(&number, |trial| trial.number).ok();
        for row in self.database.query(
            "SELECT number, seed, loss, step, test FROM charloom_seed WHERE study = ?1 ORDER BY number, seed",
            &name,
        )? {
            if let Some(i) = at(&trials, row[0].int()) {
                let loss = row[2].real().unwrap_or(f64::NAN);
                let (seed, step, test) = (row[1].int(), row[3].int(), row[4].real());
                trials[i].seeds.push(SeedResult { seed, loss, step, test });
            }
        }
        for row in self.database.query(
            "SELECT number, seed, step, loss FROM charloom_curve WHERE study = ?1 ORDER BY number, seed, step",
            &name,
        )? {
            if let Some(i) = at(&trials, row[0].int()) {
                let loss = row[3].real().unwrap_or(f64::NAN);
                trials[i].curve.push(CurvePoint { seed: row[1].int(), step: row[2].int(), loss });
            }
        }
        Ok(trials)
    }

    /// The trial that was chosen, and its test loss once that is measured.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn chosen(&mut self) -> Result<Option<(u64, Option<f64>)>> {
        chosen(&mut self.database, self.address.name())
    }

    /// Closes the study with this trial as the chosen one.
    pub(super) fn close(&mut self, number: u64) -> Result<()> {
        let (name, address) = (self.address.name().to_owned(), self.address.clone());
        self.database.exclusively(|database| {
            if let Some((before, _)) = chosen(database, &name)?.filter(|(before, _)| *before != number) {
                return Err(address.error(format!("trial {before} was chosen already")));
            }
            let sql = "SELECT number FROM charloom_trial WHERE study = ?1 AND state = 'running'";
            if let Some(row) = database.query(sql, &[name.as_str().into()])?.first() {
                let way = "wait for it, or finish it with --resume";
                return Err(address.error(format!("trial {} is not finished; {way}", row[0].int())));
            }
            let sql = "UPDATE charloom_study SET chosen = ?2 WHERE name = ?1";
            database.execute(sql, &[name.as_str().into(), number.into()]).map(|_| ())
        })
    }

    /// Records the chosen trial's test loss; the first one stays.
    pub(super) fn record_test(&mut self, loss: f64) -> Result<()> {
        let sql = "UPDATE charloom_study SET test = ?2 WHERE name = ?1 AND test IS NULL";
        self.database.execute(sql, &[self.address.name().into(), loss.into()]).map(|_| ())
    }

    /// A trial for this worker: one whose worker died, or a new one; none if it may not begin any more.
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
            let is_running = |row: &Vec<Cell>| row[1].text() == Some(State::Running.word());
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
            // Settings that do not go together make no steps; the trial fails by itself.
            let steps = apply(base, &settings, mode(base)).map_or(0, |config| config.train.steps);
            let steps = steps.saturating_mul(spec.seeds);
            let spent: u64 = rows.iter().map(|row| row[3].int()).sum();
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

    /// Gives an unfinished trial back, for whoever comes next.
    pub(super) fn release(&mut self, number: u64, worker: &str) -> Result<()> {
        self.database
            .execute(
                "UPDATE charloom_trial SET lease = 0, worker = ''
                 WHERE study = ?1 AND number = ?2 AND worker = ?3 AND state = 'running'",
                &[self.address.name().into(), number.into(), worker.into()],
            )
            .map(|_| ())
    }

    /// Stores what was measured on the way to a rung; the losses of other trials there, or none if the trial is no
    /// longer this worker's.
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

    /// Stores a trial's end with all that belongs to it; false if it is no longer this worker's.
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
                    ending.state.word().into(),
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

/// What the data of the base are; detected when the study was made.
fn mode(base: &Config) -> Mode {
    base.data.mode.unwrap_or(Mode::Lines)
}

fn chosen(database: &mut Database, name: &str) -> Result<Option<(u64, Option<f64>)>> {
    let sql = "SELECT chosen, test FROM charloom_study WHERE name = ?1 AND chosen IS NOT NULL";
    Ok(database.query(sql, &[name.into()])?.first().map(|row| (row[0].int(), row[1].real())))
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

fn read_settings(address: &Address, cell: &Cell) -> Result<Settings> {
    let broken = |e| address.error(format!("a trial's settings cannot be read: {e}"));
    serde_json::from_str(cell.text().unwrap_or_default()).map_err(broken)
}

fn read_trial(address: &Address, row: &[Cell]) -> Result<Trial> {
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

/// The mean, and from two numbers on the standard deviation with n - 1.
fn mean_and_deviation(losses: &[f64]) -> (Option<f64>, Option<f64>) {
    let n = losses.len() as f64;
    if losses.is_empty() {
        return (None, None);
    }
    let mean = losses.iter().sum::<f64>() / n;
    let squares: f64 = losses.iter().map(|loss| (loss - mean).powi(2)).sum();
    (Some(mean), (losses.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}
