//! One database behind two engines: SQLite, a file, for the processes of one machine; PostgreSQL, for several machines.
//!
//! The statements are the same for both. What differs is here: how a connection is made, how a transaction shuts
//! others out, and where the clock is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use charloom::{Error, Result};

/// How long a SQLite transaction waits for another process's.
const BUSY: Duration = Duration::from_secs(60);

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
        /// Which of the studies there.
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
            _ => Err(format!("{}: add the study's name, as in ...#my-study", without_password(text))),
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

/// The URL as it may be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host = rest.find('/').unwrap_or(rest.len());
    match (rest[..host].rfind('@'), rest.find(':')) {
        (Some(at), Some(colon)) if colon < at => format!("{scheme}://{}{}", &rest[..colon], &rest[at..]),
        _ => url.to_owned(),
    }
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

/// A value on its way into or out of the database.
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
    /// A whole number; 0 for anything else, which no column of ours holds.
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

    fn parameter(&self) -> &(dyn postgres::types::ToSql + Sync) {
        match self {
            Self::Int(value) => value,
            Self::Real(value) => value,
            Self::Text(value) => value,
        }
    }

    pub fn text(&self) -> Option<&str> {
        if let Self::Text(value) = self { value.as_deref() } else { None }
    }
}

enum Engine {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Client>),
}

/// A connection.
pub(super) struct Database {
    engine: Engine,
    address: Address,
}

impl Database {
    /// Connects; `create` makes a file that is not there.
    pub fn open(address: &Address, create: bool) -> Result<Self> {
        let engine = match address {
            Address::File(path) => Engine::Sqlite(open_file(path, create).map_err(|e| match e {
                Opening::Absent => address.error("no such study; 'charloom sweep' makes one"),
                Opening::Sql(error) => address.error(format!("cannot be opened as a study: {error}")),
            })?),
            Address::Server { url, .. } => {
                let client = postgres::Client::connect(url, postgres::NoTls);
                Engine::Postgres(Box::new(client.map_err(|e| address.error(explain(&e)))?))
            }
        };
        Ok(Self { engine, address: address.clone() })
    }

    /// The statement in the engine's dialect: ours numbers parameters `?1` and calls the database's clock `NOW()`,
    /// in seconds. It is the database's because machines' clocks differ.
    fn dialect(&self, sql: &str) -> String {
        match self.engine {
            Engine::Sqlite(_) => sql.replace("NOW()", "unixepoch('subsec')"),
            Engine::Postgres(_) => sql
                .replace('?', "$")
                .replace("NOW()", "extract(epoch from clock_timestamp())::double precision"),
        }
    }

    /// Runs a statement; how many rows it changed.
    pub fn execute(&mut self, sql: &str, cells: &[Cell]) -> Result<u64> {
        let sql = self.dialect(sql);
        let done = match &mut self.engine {
            Engine::Sqlite(connection) => connection
                .prepare_cached(&sql)
                .and_then(|mut statement| statement.execute(rusqlite::params_from_iter(cells)))
                .map(|rows| rows as u64)
                .map_err(|e| e.to_string()),
            Engine::Postgres(client) => client.execute(&sql, &parameters(cells)).map_err(|e| explain(&e)),
        };
        done.map_err(|e| self.address.error(e))
    }

    /// The rows of a query.
    pub fn query(&mut self, sql: &str, cells: &[Cell]) -> Result<Vec<Vec<Cell>>> {
        let sql = self.dialect(sql);
        let rows = match &mut self.engine {
            Engine::Sqlite(connection) => query_sqlite(connection, &sql, cells).map_err(|e| e.to_string()),
            Engine::Postgres(client) => client
                .query(&sql, &parameters(cells))
                .and_then(|rows| rows.iter().map(row_of_postgres).collect())
                .map_err(|e| explain(&e)),
        };
        rows.map_err(|e| self.address.error(e))
    }

    /// Makes the tables where they are not there yet.
    pub fn prepare(&mut self, statements: &str) -> Result<()> {
        let done = match &mut self.engine {
            Engine::Sqlite(connection) => connection.execute_batch(statements).map_err(|e| e.to_string()),
            // Two that create a table at the same moment would trip over each other. The number is any.
            Engine::Postgres(client) => client
                .batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock(629120); {statements}; COMMIT"))
                .map_err(|e| explain(&e)),
        };
        done.map_err(|e| self.address.error(e))
    }

    /// Does `work` in a transaction that no other one on this study overlaps. It counts only if it succeeds.
    pub fn exclusively<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        match self.engine {
            Engine::Sqlite(_) => self.execute("BEGIN IMMEDIATE", &[])?,
            Engine::Postgres(_) => self.execute("BEGIN", &[])?,
        };
        let done = self.locked().and_then(|()| work(self));
        match done {
            Ok(value) => self.execute("COMMIT", &[]).map(|_| value),
            Err(error) => {
                // The first error is the one to tell; a connection that is gone has rolled back by itself.
                let _ = self.execute("ROLLBACK", &[]);
                Err(error)
            }
        }
    }

    fn locked(&mut self) -> Result<()> {
        if let Engine::Postgres(_) = self.engine {
            let name = self.address.name().to_owned();
            let sql = "SELECT format FROM charloom_study WHERE name = ?1 FOR UPDATE";
            self.query(sql, &[Cell::Text(Some(name))])?;
        }
        Ok(())
    }
}

enum Opening {
    Absent,
    Sql(rusqlite::Error),
}

fn open_file(path: &Path, create: bool) -> std::result::Result<rusqlite::Connection, Opening> {
    use rusqlite::OpenFlags;
    if !create && !path.exists() {
        return Err(Opening::Absent);
    }
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    let open = || {
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        // A write-ahead log lets others read meanwhile; each commit is on the disk before it counts.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(connection)
    };
    open().map_err(Opening::Sql)
}

fn query_sqlite(
    connection: &rusqlite::Connection,
    sql: &str,
    cells: &[Cell],
) -> rusqlite::Result<Vec<Vec<Cell>>> {
    use rusqlite::types::ValueRef;
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(cells))?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let cell = |i| {
            Ok(match row.get_ref(i)? {
                ValueRef::Integer(value) => Cell::Int(value),
                ValueRef::Real(value) => Cell::Real(Some(value)),
                ValueRef::Text(_) => Cell::Text(Some(row.get(i)?)),
                ValueRef::Null | ValueRef::Blob(_) => Cell::Text(None),
            })
        };
        all.push((0..columns).map(cell).collect::<rusqlite::Result<_>>()?);
    }
    Ok(all)
}

impl rusqlite::ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Self::Int(value) => value.to_sql(),
            Self::Real(value) => value.to_sql(),
            Self::Text(value) => value.to_sql(),
        }
    }
}

fn parameters(cells: &[Cell]) -> Vec<&(dyn postgres::types::ToSql + Sync)> {
    cells.iter().map(Cell::parameter).collect()
}

fn row_of_postgres(row: &postgres::Row) -> std::result::Result<Vec<Cell>, postgres::Error> {
    use postgres::types::Type;
    let cell = |(i, column): (usize, &postgres::Column)| {
        Ok(match *column.type_() {
            Type::INT8 => Cell::Int(row.try_get::<_, Option<i64>>(i)?.unwrap_or(0)),
            Type::FLOAT8 => Cell::Real(row.try_get(i)?),
            _ => Cell::Text(row.try_get(i)?),
        })
    };
    row.columns().iter().enumerate().map(cell).collect()
}

/// What the server said, in a line: the library's own message leaves out the cause.
fn explain(error: &postgres::Error) -> String {
    let cause = std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
    format!("{error}{cause}").replace('\n', "; ")
}
