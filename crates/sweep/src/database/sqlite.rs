//! SQLite: a study is a file, for the processes of one machine.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, params_from_iter};

use super::{Cell, Engine};

/// How long to wait for another process's transaction.
const BUSY: Duration = Duration::from_secs(60);

/// Opens a file; with `create` a missing one is created.
pub(super) fn open(path: &Path, create: bool) -> Result<Sqlite, String> {
    if !create && !path.exists() {
        return Err("no such study; 'charloom sweep' makes one".to_owned());
    }
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        // WAL lets others read during a write; with FULL each commit is on the disk before it returns.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(Sqlite(connection))
    };
    open().map_err(|error: rusqlite::Error| format!("cannot be opened as a study: {error}"))
}

pub(super) struct Sqlite(Connection);

impl Engine for Sqlite {
    fn dialect(&self, sql: &str) -> String {
        sql.replace("NOW()", "unixepoch('subsec')")
    }

    fn execute(&mut self, sql: &str, cells: &[Cell]) -> Result<u64, String> {
        let statement = self.0.prepare_cached(sql);
        let done = statement.and_then(|mut statement| statement.execute(params_from_iter(cells)));
        done.map(|rows| rows as u64).map_err(|error| error.to_string())
    }

    fn query(&mut self, sql: &str, cells: &[Cell]) -> Result<Vec<Vec<Cell>>, String> {
        rows(&self.0, sql, cells).map_err(|error| error.to_string())
    }

    fn prepare(&mut self, statements: &str) -> Result<(), String> {
        self.0.execute_batch(statements).map_err(|error| error.to_string())
    }

    fn begin(&self) -> &'static str {
        "BEGIN IMMEDIATE"
    }

    fn lock(&self) -> Option<&'static str> {
        None
    }
}

fn rows(connection: &Connection, sql: &str, cells: &[Cell]) -> rusqlite::Result<Vec<Vec<Cell>>> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(cells))?;
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

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Int(value) => value.to_sql(),
            Self::Real(value) => value.to_sql(),
            Self::Text(value) => value.to_sql(),
        }
    }
}
