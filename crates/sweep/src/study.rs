//! A study in its database; each change is made as a whole or not at all.

use super::database::{Address, Cell, Database};
use super::sampler;
use super::space::{Settings, Space, apply};
use super::spec::Spec;
use super::trial::CurvePoint;
use super::trials::{SeedResult, Trial, read_trial};
use charloom::data::Mode;
use charloom::{Config, Error, Result};

/// The version of the tables.
const FORMAT: u64 = 1;

/// `lease` is the time on the database's clock until which a running trial belongs to its worker.
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

/// An open study.
///
/// ```
/// use charloom::prelude::*;
/// use charloom_sweep::{Address, Spec, Study};
///
/// let spec = "sampler = 'grid'\nbase.model.kind = 'ngram'\n[settings]\norder = [2, 3]";
/// let (spec, mut base) = Spec::from_toml(spec, "spec.toml".as_ref())?;
/// let data = load_data(&mut base.clone())?;
/// (base.data.sha256, base.data.mode) = (Some(data.source.sha256.clone()), Some(data.mode()));
/// # let home = tempfile::tempdir().unwrap();
/// let address = Address::File(home.path().join("study.db"));
/// drop(Study::create(&address, &spec, &base)?);
/// // Another day.
/// let mut study = Study::open(&address)?;
/// assert!(study.trials()?.is_empty() && *study.spec() == spec);
/// let settings = [("order".to_owned(), 3.into())].into_iter().collect();
/// assert_eq!(study.config(&settings)?.flat()["model.order"], "3");
/// assert!(Study::create(&address, &spec, &base).is_err());
/// # Ok::<(), Error>(())
/// ```
pub struct Study {
    pub(super) database: Database,
    pub(super) address: Address,
    pub(super) spec: Spec,
    pub(super) base: Config,
    pub(super) space: Space,
}

impl Study {
    /// Makes a new study. The base must name its data's hash and mode, as [`charloom::load_data`] leaves it.
    ///
    /// # Errors
    /// A specification that is not valid, a study that is there already, a database that cannot be reached.
    pub fn create(address: &Address, spec: &Spec, base: &Config) -> Result<Self> {
        let space = spec.validate(base, mode(base))?;
        // Refuses a grid that is too large, before anything is written.
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
            let way = format!("the study exists; ``resume`` {address} goes on with it, or name another one");
            return Err(address.error(way));
        }
        Ok(Self { database, address: address.clone(), spec: spec.clone(), base: base.clone(), space })
    }

    /// Opens a study, to look at it or to work on it.
    ///
    /// # Errors
    /// There is none, or its format is another one than this charloom's.
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

    /// Replaces the limits that are given: the most trials, the most steps of all trials together, and the
    /// seconds after which a worker begins no more. Running workers keep the old limits.
    ///
    /// # Errors
    /// A value out of range; the database cannot be written.
    pub fn limit(
        &mut self,
        trials: Option<u64>,
        max_steps: Option<u64>,
        max_seconds: Option<f64>,
    ) -> Result<()> {
        if trials.is_none() && max_steps.is_none() && max_seconds.is_none() {
            return Ok(());
        }
        let mut spec = self.spec.clone();
        spec.trials = trials.or(spec.trials);
        spec.max_steps = max_steps.or(spec.max_steps);
        spec.max_seconds = max_seconds.or(spec.max_seconds);
        spec.validate(&self.base, mode(&self.base))?;
        let text = serde_json::to_string(&spec).map_err(|e| Error::Failed(e.to_string()))?;
        let sql = "UPDATE charloom_study SET spec = ?2 WHERE name = ?1";
        self.database.execute(sql, &[self.address.name().into(), text.as_str().into()])?;
        self.spec = spec;
        Ok(())
    }

    /// The specification.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The base configuration, which all trials share.
    #[must_use]
    pub fn base(&self) -> &Config {
        &self.base
    }

    /// The search space.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The address.
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
                let way = "wait for it, or finish it with ``resume``";
                return Err(address.error(format!("trial {} is not finished; {way}", row[0].int())));
            }
            let sql = "UPDATE charloom_study SET chosen = ?2 WHERE name = ?1";
            database.execute(sql, &[name.as_str().into(), number.into()]).map(|_| ())
        })
    }

    /// Records the chosen trial's test loss, unless one is recorded already.
    pub(super) fn record_test(&mut self, loss: f64) -> Result<()> {
        let sql = "UPDATE charloom_study SET test = ?2 WHERE name = ?1 AND test IS NULL";
        self.database.execute(sql, &[self.address.name().into(), loss.into()]).map(|_| ())
    }
}

/// The mode of the base's data, which was detected when the study was made.
pub(super) fn mode(base: &Config) -> Mode {
    base.data.mode.unwrap_or(Mode::Lines)
}

pub(super) fn chosen(database: &mut Database, name: &str) -> Result<Option<(u64, Option<f64>)>> {
    let sql = "SELECT chosen, test FROM charloom_study WHERE name = ?1 AND chosen IS NOT NULL";
    Ok(database.query(sql, &[name.into()])?.first().map(|row| (row[0].int(), row[1].real())))
}
