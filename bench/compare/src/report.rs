//! The table, as text, Markdown and JSON.

use std::fmt::Write;

use protocol::Case;
use serde::Serialize;

use crate::cases::{Definition, flops};
use crate::footprint::Footprint;
use crate::machine::Machine;
use crate::measure::{Cell, Timing};
use crate::peers::{Peer, is_ours};

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine that it ran on.
    pub machine: Machine,
    /// How often each peer was timed.
    pub rounds: u32,
    /// The columns: name, and version or why it is absent.
    pub columns: Vec<Column>,
    /// The cases.
    pub rows: Vec<Row>,
    /// Start-up, memory, size.
    pub footprints: Vec<Footprint>,
    /// How long a clean build of the command takes, in seconds.
    pub build_seconds: Option<f64>,
}

/// A peer.
#[derive(Debug, Serialize)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    about: &'static str,
    version: Option<String>,
    absent: Option<String>,
}

/// A case.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// One line about it.
    pub about: String,
    /// The operations of a step's matrix products; `None` for other tasks.
    pub flops: Option<f64>,
    /// The least memory that a step has to touch, in bytes.
    pub bytes: f64,
    /// One for each column.
    pub cells: Vec<Cell>,
    /// The goals: column, ratio to reach, ratio measured.
    pub goals: Vec<(String, f64, Option<f64>)>,
}

impl Report {
    /// An empty report.
    pub fn new(machine: &Machine, peers: &[Peer], rounds: u32) -> Self {
        let column = |peer: &Peer| Column { name: peer.name, about: peer.about, version: None, absent: None };
        Self {
            machine: machine.clone(),
            rounds,
            columns: peers.iter().map(column).collect(),
            rows: Vec::new(),
            footprints: Vec::new(),
            build_seconds: None,
        }
    }

    /// Adds the version of a peer that runs.
    pub fn version(&mut self, name: &str, version: &str) {
        self.columns.iter_mut().filter(|c| c.name == name).for_each(|c| c.version = Some(version.to_owned()));
    }

    /// Adds the reason why a peer does not run.
    pub fn absent(&mut self, name: &str, why: &str) {
        self.columns.iter_mut().filter(|c| c.name == name).for_each(|c| c.absent = Some(why.to_owned()));
    }

    /// Adds a case that was measured.
    pub fn case(&mut self, definition: &Definition, case: &Case, cells: Vec<Cell>) {
        let of = |name: &str| {
            let i = self.columns.iter().position(|column| column.name == name)?;
            timing(&cells[i]).map(|t| t.median)
        };
        let goals = definition.goals.iter().map(|goal| {
            let ratio = of("torch").zip(of(goal.ours)).map(|(torch, ours)| torch / ours);
            (goal.ours.to_owned(), goal.ratio, ratio)
        });
        let goals = goals.collect();
        let parameters: usize = case.tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        let batch = if case.batch == 0 { case.examples } else { case.batch };
        self.rows.push(Row {
            name: definition.name.clone(),
            about: definition.about.clone(),
            flops: (definition.task == protocol::Task::Step).then(|| flops(case)),
            // Parameters are read in the forward pass, and read and written by the update; a batch's indices
            // are read.
            bytes: 4.0 * (3 * parameters + batch * (case.context + 1)) as f64,
            cells,
            goals,
        });
    }

    /// Adds the footprint of a peer.
    pub fn footprint(&mut self, footprint: Footprint) {
        self.footprints.push(footprint);
    }

    /// Whether all peers that ran computed the same.
    pub fn everyone_agrees(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).filter_map(timing).all(|t| t.agrees)
    }

    /// The report for a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for table in self.tables() {
            let width = |i: usize| table.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
            for row in &table {
                for (i, cell) in row.iter().enumerate() {
                    let pad = width(i) - cell.chars().count();
                    let (before, after) = if i == 0 { (0, pad) } else { (pad + 2, 0) };
                    let _ = write!(out, "{:before$}{cell}{:after$}", "", "");
                }
                out.push('\n');
            }
            out.push('\n');
        }
        out + &self.notes()
    }

    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for table in self.tables() {
            for (i, row) in table.iter().enumerate() {
                let _ = writeln!(out, "| {} |", row.join(" | "));
                if i == 0 {
                    let _ = writeln!(out, "|---|{}", "---:|".repeat(row.len() - 1));
                }
            }
            out.push('\n');
        }
        for line in self.notes().lines() {
            let _ = writeln!(out, "- {line}");
        }
        out
    }

    fn tables(&self) -> Vec<Vec<Vec<String>>> {
        let mut tables = Vec::new();
        if !self.rows.is_empty() {
            let mut head = vec!["case".to_owned(), "floor".to_owned()];
            head.extend(self.columns.iter().map(|column| column.name.to_owned()));
            let rows = self.rows.iter().map(|row| {
                let ours = self.ours(row);
                let floor = row.flops.map_or(String::new(), |flops| duration(flops / self.machine.flops));
                let cell = |(column, cell): (&Column, &Cell)| match timing(cell) {
                    None => "absent".to_owned(),
                    Some(t) if !t.agrees => "differs".to_owned(),
                    Some(t) if column.name == "charloom" || ours.is_none() => duration(t.median),
                    Some(t) => {
                        format!("{} ({})", duration(t.median), times(t.median / ours.unwrap_or(f64::NAN)))
                    }
                };
                let cells = self.columns.iter().zip(&row.cells).map(cell);
                [row.name.clone(), floor].into_iter().chain(cells).collect()
            });
            tables.push([head].into_iter().chain(rows).collect());
        }
        let goals: Vec<Vec<String>> = self
            .rows
            .iter()
            .flat_map(|row| row.goals.iter().map(move |goal| (row, goal)))
            .map(|(row, (ours, promised, is))| {
                let is_text = is.map_or("not measured".to_owned(), times);
                let verdict = match is {
                    None => "?",
                    Some(ratio) if ratio >= promised => "met",
                    Some(_) => "missed",
                };
                vec![row.name.clone(), ours.clone(), times(*promised), is_text, verdict.to_owned()]
            })
            .collect();
        if !goals.is_empty() {
            let head = ["goal", "column", "torch / it, promised", "is", ""].map(str::to_owned).to_vec();
            tables.push([head].into_iter().chain(goals).collect());
        }
        if !self.footprints.is_empty() {
            let head =
                ["footprint", "first step after", "peak memory", "program"].map(str::to_owned).to_vec();
            let none = || "-".to_owned();
            let rows = self.footprints.iter().map(|f| {
                let memory = f.memory.map_or_else(none, bytes);
                vec![
                    f.peer.clone(),
                    f.start.map_or_else(none, duration),
                    memory,
                    f.program.map_or_else(none, bytes),
                ]
            });
            tables.push([head].into_iter().chain(rows).collect());
        }
        tables
    }

    fn notes(&self) -> String {
        let mut out = String::new();
        let m = &self.machine;
        let (gflops, bandwidth) = (m.flops / 1e9, m.bandwidth / 1e9);
        let _ = writeln!(
            out,
            "{}, {} cores; one core: {gflops:.0} GFLOP/s, copies {bandwidth:.1} GB/s; medians of {} rounds; in \
             brackets: how many times charloom's time",
            m.processor, m.cores, self.rounds
        );
        for column in &self.columns {
            let what = match (&column.version, &column.absent) {
                (_, Some(why)) => format!("absent: {why}"),
                (version, None) => version.clone().unwrap_or_default(),
            };
            let _ = writeln!(out, "{}: {} {what}", column.name, column.about);
        }
        for row in &self.rows {
            for (column, cell) in self.columns.iter().zip(&row.cells) {
                match cell {
                    Cell::Absent(why) if column.absent.is_none() => {
                        let _ = writeln!(out, "{}, {}: {why}", row.name, column.name);
                    }
                    Cell::Measured(t) if !t.agrees => {
                        let _ = writeln!(
                            out,
                            "{}, {}: loss {} is not the others'",
                            row.name, column.name, t.check
                        );
                    }
                    _ => {}
                }
            }
            if let Some((name, ratio)) = self.fastest_peer(row).filter(|(_, ratio)| *ratio < 1.0) {
                let _ = writeln!(
                    out,
                    "{}: {name} is faster than charloom, {} of its time",
                    row.name,
                    times(ratio)
                );
            }
        }
        if let Some(seconds) = self.build_seconds {
            let _ = writeln!(out, "clean build of the command: {seconds:.0} s");
        }
        out
    }

    fn ours(&self, row: &Row) -> Option<f64> {
        let i = self.columns.iter().position(|column| column.name == "charloom")?;
        timing(&row.cells[i]).map(|t| t.median)
    }

    /// The fastest of the other peers, and the ratio of its time to charloom's.
    fn fastest_peer(&self, row: &Row) -> Option<(&'static str, f64)> {
        let ours = self.ours(row)?;
        let others = self.columns.iter().zip(&row.cells).filter(|(column, _)| !is_ours(column.name));
        let ratios = others.filter_map(|(column, cell)| Some((column.name, timing(cell)?.median / ours)));
        ratios.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

fn timing(cell: &Cell) -> Option<&Timing> {
    match cell {
        Cell::Measured(timing) => Some(timing),
        Cell::Absent(_) => None,
    }
}

/// A duration with three digits and a unit.
fn duration(seconds: f64) -> String {
    let (number, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    format!("{} {unit}", digits(number))
}

fn times(ratio: f64) -> String {
    digits(ratio) + "x"
}

fn digits(number: f64) -> String {
    let decimals = if number >= 100.0 {
        0
    } else if number >= 10.0 {
        1
    } else {
        2
    };
    format!("{number:.decimals$}")
}

fn bytes(n: u64) -> String {
    format!("{} MB", digits(n as f64 / 1e6))
}
