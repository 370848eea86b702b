//! PostgreSQL: studies by name in one database, for several machines.

use std::error::Error;

use postgres::types::{ToSql, Type};
use postgres::{Client, Column, NoTls, Row};

use super::{Cell, Engine};

/// Connects.
pub(super) fn open(url: &str) -> Result<Postgres, String> {
    Client::connect(url, NoTls).map(Postgres).map_err(|error| explain(&error))
}

pub(super) struct Postgres(Client);

impl Engine for Postgres {
    fn dialect(&self, sql: &str) -> String {
        sql.replace('?', "$").replace("NOW()", "extract(epoch from clock_timestamp())::double precision")
    }

    fn execute(&mut self, sql: &str, cells: &[Cell]) -> Result<u64, String> {
        self.0.execute(sql, &parameters(cells)).map_err(|error| explain(&error))
    }

    fn query(&mut self, sql: &str, cells: &[Cell]) -> Result<Vec<Vec<Cell>>, String> {
        let rows = self.0.query(sql, &parameters(cells));
        rows.and_then(|rows| rows.iter().map(cells_of).collect()).map_err(|error| explain(&error))
    }

    fn prepare(&mut self, statements: &str) -> Result<(), String> {
        // Under a lock, since two connections that create a table at the same time fail. Its number is
        // arbitrary.
        let sql = format!("BEGIN; SELECT pg_advisory_xact_lock(629120); {statements}; COMMIT");
        self.0.batch_execute(&sql).map_err(|error| explain(&error))
    }

    fn begin(&self) -> &'static str {
        "BEGIN"
    }

    fn lock(&self) -> Option<&'static str> {
        Some("SELECT format FROM charloom_study WHERE name = ?1 FOR UPDATE")
    }
}

fn parameter(cell: &Cell) -> &(dyn ToSql + Sync) {
    match cell {
        Cell::Int(value) => value,
        Cell::Real(value) => value,
        Cell::Text(value) => value,
    }
}

fn parameters(cells: &[Cell]) -> Vec<&(dyn ToSql + Sync)> {
    cells.iter().map(parameter).collect()
}

fn cells_of(row: &Row) -> Result<Vec<Cell>, postgres::Error> {
    let cell = |(i, column): (usize, &Column)| {
        Ok(match *column.type_() {
            Type::INT8 => Cell::Int(row.try_get::<_, Option<i64>>(i)?.unwrap_or(0)),
            Type::FLOAT8 => Cell::Real(row.try_get(i)?),
            _ => Cell::Text(row.try_get(i)?),
        })
    };
    row.columns().iter().enumerate().map(cell).collect()
}

/// The error and its cause in one line: the library's message leaves out the cause.
fn explain(error: &postgres::Error) -> String {
    let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
    format!("{error}{cause}").replace('\n', "; ")
}
