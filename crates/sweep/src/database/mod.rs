//! A study's database: SQLite, a file for the processes of one machine, or PostgreSQL, for several machines.
//!
//! Both run the same statements. An `Engine` has the differences: the connection, how a transaction excludes
//! others, and the clock.

#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use charloom::{Error, Result};

#[cfg(not(feature = "postgres"))]
const WITHOUT_POSTGRES: &str = "this charloom was built without PostgreSQL; \
    build one with it: cargo install --path crates/cli --features postgres";

/// Where a study is.
///
/// ```
/// use charloom_sweep::Address;
/// let file: Address = "studies/embed.db".parse()?;
/// let shared: Address = "postgresql://ada@db.example/charloom#embed".parse()?;
/// assert_eq!(file.to_string(), "studies/embed.db");
/// assert_eq!(shared.to_string(), "postgresql://ada@db.example/charloom#embed");
/// assert!("postgresql://ada@db.example/charloom".parse::<Address>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A SQLite file with one study. It must lie on a disk of this machine.
    File(PathBuf),
    /// A study by its name in a PostgreSQL database.
    Server {
        /// `postgresql://user@host/database`.
        url: String,
        /// The study's name.
        name: String,
    },
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
            return Ok(Self::File(text.into()));
        }
        match text.rsplit_once('#') {
            Some((url, name)) if !name.is_empty() => Ok(Self::Server { url: url.into(), name: name.into() }),
            _ => Err("it lacks the study's name, as in ...#my-study".to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server { url, name } => write!(f, "{}#{name}", without_password(url)),
        }
    }
}

/// A URL without anything that may be a password, so that it can be shown.
#[must_use]
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // Up to the last @, since a password may hold an @ that should have been escaped.
    let shown = match (rest.find(':'), rest.rfind('@')) {
        (Some(colon), Some(at)) if colon < at => format!("{}{}", &rest[..colon], &rest[at..]),
        _ => rest.to_owned(),
    };
    let hidden = shown.split_inclusive(['?', '&', '#']).map(|part| match part.split_once('=') {
        Some((key, _)) if key.to_ascii_lowercase().contains("password") => {
            let end = part.chars().last().filter(|c| matches!(c, '&' | '#'));
            format!("{key}=...{}", end.map_or(String::new(), String::from))
        }
        _ => part.to_owned(),
    });
    format!("{scheme}://{}", hidden.collect::<String>())
}

impl Address {
    /// The study's name in its database.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::File(_) => "study",
            Self::Server { name, .. } => name,
        }
    }

    /// An error about this study.
    pub(super) fn error(&self, message: impl fmt::Display) -> Error {
        Error::model(self.to_string(), message)
    }
}

/// The value of a parameter or of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Int(i64),
    Real(Option<f64>),
    Text(Option<String>),
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        Self::Int(value as i64)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Real(Some(value))
    }
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Self {
        Self::Real(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<String>> for Cell {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl Cell {
    /// A whole number that is not negative; 0 for anything else, which no such column of ours holds.
    pub fn int(&self) -> u64 {
        if let Self::Int(value) = self { u64::try_from(*value).unwrap_or(0) } else { 0 }
    }

    pub fn real(&self) -> Option<f64> {
        match self {
            Self::Real(value) => *value,
            Self::Int(value) => Some(*value as f64),
            Self::Text(_) => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        if let Self::Text(value) = self { value.as_deref() } else { None }
    }
}

/// The differences between engines. The other methods take statements in its dialect; errors are one line.
trait Engine: Send {
    /// Translates a statement to the engine's dialect. Ours has parameters `?1` and `NOW()`, the time in
    /// seconds on the database's clock, since the machines' clocks differ.
    fn dialect(&self, sql: &str) -> String;

    /// Runs a statement; returns how many rows it changed.
    fn execute(&mut self, sql: &str, cells: &[Cell]) -> std::result::Result<u64, String>;

    /// The rows of a query.
    fn query(&mut self, sql: &str, cells: &[Cell]) -> std::result::Result<Vec<Vec<Cell>>, String>;

    /// Creates the tables that do not exist yet.
    fn prepare(&mut self, statements: &str) -> std::result::Result<(), String>;

    /// The statement that begins a transaction.
    fn begin(&self) -> &'static str;

    /// The query that locks the study of a given name against other transactions; `None` if `begin` does it.
    fn lock(&self) -> Option<&'static str>;
}

/// A connection.
pub(super) struct Database {
    engine: Box<dyn Engine>,
    address: Address,
}

impl Database {
    /// Connects; with `create` a missing file is created.
    pub fn open(address: &Address, create: bool) -> Result<Self> {
        let engine: std::result::Result<Box<dyn Engine>, String> = match address {
            Address::File(path) => sqlite::open(path, create).map(|engine| Box::new(engine) as _),
            #[cfg(feature = "postgres")]
            Address::Server { url, .. } => postgres::open(url).map(|engine| Box::new(engine) as _),
            #[cfg(not(feature = "postgres"))]
            Address::Server { .. } => return Err(Error::usage(format!("{address}: {WITHOUT_POSTGRES}"))),
        };
        Ok(Self { engine: engine.map_err(|error| address.error(error))?, address: address.clone() })
    }

    /// Runs a statement; returns how many rows it changed.
    pub fn execute(&mut self, sql: &str, cells: &[Cell]) -> Result<u64> {
        let sql = self.engine.dialect(sql);
        self.engine.execute(&sql, cells).map_err(|error| self.address.error(error))
    }

    /// The rows of a query.
    pub fn query(&mut self, sql: &str, cells: &[Cell]) -> Result<Vec<Vec<Cell>>> {
        let sql = self.engine.dialect(sql);
        self.engine.query(&sql, cells).map_err(|error| self.address.error(error))
    }

    /// Creates the tables that do not exist yet.
    pub fn prepare(&mut self, statements: &str) -> Result<()> {
        self.engine.prepare(statements).map_err(|error| self.address.error(error))
    }

    /// Runs `work` in a transaction that excludes all others on this study, and rolls it back on an error.
    pub fn exclusively<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.execute(self.engine.begin(), &[])?;
        let done = self.lock().and_then(|()| work(self));
        match done {
            Ok(value) => self.execute("COMMIT", &[]).map(|_| value),
            Err(error) => {
                // An error here is ignored: the first one is returned, and a lost connection is rolled back
                // anyway.
                let _ = self.execute("ROLLBACK", &[]);
                Err(error)
            }
        }
    }

    fn lock(&mut self) -> Result<()> {
        let Some(sql) = self.engine.lock() else { return Ok(()) };
        let name = self.address.name().into();
        self.query(sql, &[name]).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("postgresql://ada@db.example/charloom", "postgresql://ada@db.example/charloom"),
            ("postgresql://db.example:5432/charloom", "postgresql://db.example:5432/charloom"),
            ("postgresql://ada:X@db.example/charloom", "postgresql://ada@db.example/charloom"),
            ("postgresql://ada:X/Y@db.example/charloom", "postgresql://ada@db.example/charloom"),
            ("postgresql://ada:X?Y@db.example/charloom", "postgresql://ada@db.example/charloom"),
            ("postgresql://ada:X@Y=Z@db.example/charloom", "postgresql://ada@db.example/charloom"),
            ("postgresql://db/c?user=ada&password=X", "postgresql://db/c?user=ada&password=..."),
            ("postgresql://db/c?password=X&user=ada", "postgresql://db/c?password=...&user=ada"),
            ("postgresql://db/c?sslPassword=X=Y", "postgresql://db/c?sslPassword=..."),
            ("studies/x.db", "studies/x.db"),
        ] {
            assert_eq!(without_password(url), shown);
        }
        let address: Address = "postgresql://db/c?user=ada&password=X#study".parse().unwrap();
        assert_eq!(address.to_string(), "postgresql://db/c?user=ada&password=...#study");
        assert!(!"postgresql://ada:X@db/c".parse::<Address>().unwrap_err().contains('X'));
    }
}
