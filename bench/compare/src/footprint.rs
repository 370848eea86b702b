//! The footprint of a peer: start-up time, memory, size.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use protocol::{Case, Task};
use serde::Serialize;

use crate::measure::median;
use crate::peers::{Installed, Peer};
use crate::process::{Process, peak_memory};

type Failure = Box<dyn std::error::Error>;

/// The footprint of a peer.
#[derive(Clone, Debug, Serialize)]
pub struct Footprint {
    /// The peer's name.
    pub peer: String,
    /// From the process's start to the end of the first step, data and compilation included, in seconds.
    pub start: Option<f64>,
    /// The peak memory of 1,000 steps, in bytes (of the command, of a longer run).
    pub memory: Option<u64>,
    /// The size of its program, in bytes, if it is one file.
    pub program: Option<u64>,
}

/// Measures a peer on a case, in fresh processes.
pub fn of(bench: &Path, installed: &Installed, peer: &Peer, case: &Case, rounds: u32) -> Footprint {
    let once = |_| {
        if peer.name.starts_with("train") {
            command(installed, case)
        } else {
            process(bench, installed, peer, case)
        }
    };
    let runs: Vec<(f64, Option<u64>)> = (0..rounds).filter_map(|round| once(round).ok()).collect();
    let starts: Vec<f64> = runs.iter().map(|run| run.0).collect();
    Footprint {
        peer: peer.name.to_owned(),
        start: (!starts.is_empty()).then(|| median(&starts)),
        memory: runs.iter().filter_map(|run| run.1).max(),
        program: installed.program(peer).and_then(|path| Some(fs::metadata(path).ok()?.len())),
    }
}

fn process(
    bench: &Path,
    installed: &Installed,
    peer: &Peer,
    case: &Case,
) -> Result<(f64, Option<u64>), Failure> {
    let start = Instant::now();
    let mut process = Process::start(installed.start(bench, peer)?)?;
    process.open(case)?;
    process.run(Task::Check, 1)?;
    let seconds = start.elapsed().as_secs_f64();
    process.run(Task::Step, 1000)?;
    Ok((seconds, process.peak_memory()))
}

/// Times the command on a run of one step, which evaluates and saves as any run does; its memory is read
/// during a longer run.
fn command(installed: &Installed, case: &Case) -> Result<(f64, Option<u64>), Failure> {
    let config = case.weights.with_extension("toml");
    fs::write(&config, &case.config)?;
    let run = |steps: &str| {
        let mut command = Command::new(installed.command()?);
        command.args(["train", "--force", "--threads", "1", "--steps", steps, "--config"]).arg(&config);
        command.arg("--out").arg(case.weights.with_extension("run"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map_err(|e| e.to_string())
    };
    let start = Instant::now();
    if !run("1")?.wait()?.success() {
        return Err("the command failed".into());
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut child = run("20000")?;
    let mut peak = None;
    while child.try_wait()?.is_none() {
        peak = peak.max(peak_memory(child.id()));
        thread::sleep(Duration::from_millis(2));
    }
    Ok((seconds, peak))
}

/// The seconds that the `release` build of the command takes from scratch.
pub fn clean_build(root: &Path) -> Result<f64, Failure> {
    let target = tempfile::tempdir()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let start = Instant::now();
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["build", "--release", "-p", "charloom-cli", "--target-dir"])
        .arg(target.path());
    if !command.status()?.success() {
        return Err("the command does not build".into());
    }
    Ok(start.elapsed().as_secs_f64())
}
