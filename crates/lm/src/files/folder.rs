//! The folder of a run: its files and its lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::lines::{lines, read_lines};
use super::metrics::{METRICS, Metric, TIMING, Timing};
use super::record::Record;
use crate::disk::{self, Bytes, Disk, RealDisk, TEMPORARY};
use crate::{Config, Error, Result};

/// The configuration of a run, in its folder.
pub const CONFIG: &str = "config.toml";
pub(super) const BEST: &str = "best.safetensors";
pub(super) const LAST: &str = "last.safetensors";
const PREVIOUS: &str = "previous.safetensors";
const SAMPLES: &str = "samples.txt";
/// The most lines of the diagnostics.
const MAX_RECORDS: usize = 1 << 20;
const DIAGNOSTICS: &str = "diagnostics.jsonl";
/// The page about a run, if one is asked for with its training.
pub const REPORT: &str = "report.html";

/// All files of a run but its metrics.
const FILES: [&str; 8] = [CONFIG, BEST, LAST, PREVIOUS, SAMPLES, DIAGNOSTICS, REPORT, TIMING];

/// The folder of a run, locked as long as this lives: no second program writes to it.
///
/// ```text
/// runs/NAME/config.toml         every setting
///          best.safetensors     weights of the best validation loss
///          last.safetensors     the whole state
///          previous.safetensors the one before, should the last be damaged
///          metrics.jsonl        one Metric a line
///          samples.txt
///          diagnostics.jsonl    one Record a line, of a training with diagnostics
///          report.html          a page about it, on request
///          timing.json          Timing: how long it took
/// ```
///
/// The same training writes the same bytes into every file but `timing.json`, which alone has a clock, and
/// the page, which quotes it. [`files`](super) shows how a run is written and read.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// `metrics.jsonl`, which is also what is locked.
    metrics: File,
    disk: Box<dyn Disk>,
    warning: Option<String>,
}

impl RunFolder {
    /// Makes a new run; with `force`, replaces one that is there.
    ///
    /// # Errors
    /// The folder holds something and `force` is not given, another program writes to it, or it cannot be
    /// written. Nothing has changed then.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        Self::create_on(Box::new(RealDisk), path, force)
    }

    fn create_on(disk: Box<dyn Disk>, path: &Path, force: bool) -> Result<Self> {
        if !force && Self::is_taken(path)? {
            let out = path.display();
            let hint = format!(
                "exists; ``resume`` ``out`` {out} goes on with it, ``force`` replaces it, or choose another ``out``"
            );
            return Err(Error::model(path, hint));
        }
        disk::create_folders(&*disk, path).map_err(|error| Error::io(path, error))?;
        let run = Self::lock(disk, path)?;
        let mut removed = false;
        for name in FILES {
            let path = path.join(name);
            removed |= disk::remove(&*run.disk, &path).map_err(|error| Error::io(&path, error))?;
        }
        // The metrics last: after a power cut there is no checkpoint without its metrics.
        if removed {
            run.sync_names()?;
        }
        run.cut_metrics(0)?;
        Ok(run)
    }

    /// Removes a new run that could not be written, and its folder, if nothing else is there.
    pub fn remove(self) {
        // Errors are ignored: what keeps the run from being written is told.
        for name in FILES.into_iter().chain([METRICS]) {
            let _ = disk::remove(&*self.disk, &self.path.join(name));
        }
        let _ = fs::remove_dir(&self.path);
    }

    /// Whether the folder holds anything that a new run would mix with.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn is_taken(path: &Path) -> Result<bool> {
        match fs::read_dir(path) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io(path, error)),
        }
    }

    /// Whether a run is there that [`RunFolder::resume`] can go on with.
    #[must_use]
    pub fn has_checkpoint(path: &Path) -> bool {
        [LAST, PREVIOUS].iter().any(|name| path.join(name).is_file())
    }

    /// As [`RunFolder::create`], but replaces a run that ended before its first checkpoint.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn start(path: &Path) -> Result<Self> {
        let ours = [CONFIG, BEST, METRICS, DIAGNOSTICS];
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let is_ours = |name: &str| ours.contains(&name) || name.starts_with(TEMPORARY);
        let is_left = !Self::has_checkpoint(path)
            && entries.into_iter().all(|entry| entry.file_name().to_str().is_some_and(is_ours));
        Self::create(path, is_left)
    }

    /// Makes a new run in `folder` under the first of NAME, NAME-2, NAME-3, ... that is free.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn create_next(folder: &Path, name: &str) -> Result<Self> {
        let mut path = folder.join(name);
        for number in 2.. {
            if !Self::is_taken(&path)? {
                break;
            }
            path = folder.join(format!("{name}-{number}"));
        }
        Self::create(&path, false)
    }

    /// Opens a run to resume it from `last.safetensors` or, if that is damaged, from `previous.safetensors`;
    /// [`RunFolder::warning`] then says so. Metrics after the checkpoint are cut off, so that the resumed
    /// run's file equals that of an uninterrupted run.
    ///
    /// # Errors
    /// There is no such run, another program writes to it, neither checkpoint can be used, or its metrics
    /// have been shortened since.
    pub fn resume(path: &Path) -> Result<(Self, Checkpoint)> {
        Self::resume_on(Box::new(RealDisk), path)
    }

    fn resume_on(disk: Box<dyn Disk>, path: &Path) -> Result<(Self, Checkpoint)> {
        let (last, previous) = (path.join(LAST), path.join(PREVIOUS));
        if !last.is_file() && !previous.is_file() {
            let message = "no run to resume here (no last.safetensors); start one without ``resume``";
            return Err(Error::model(path, message));
        }
        let mut run = Self::lock(disk, path)?;
        let checkpoint = match Checkpoint::read(&last) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                let Ok(checkpoint) = Checkpoint::read(&previous) else { return Err(error) };
                let step = checkpoint.step;
                run.warning = Some(format!("{error}; going on from {PREVIOUS}, step {step}, instead"));
                checkpoint
            }
        };
        let metrics = path.join(METRICS);
        let length = run.metrics.metadata().map_err(|error| Error::io(&metrics, error))?.len();
        if length < checkpoint.metrics_bytes {
            let message =
                "shorter than when the run was last saved; restore it, or start anew with ``force``";
            return Err(Error::model(metrics, message));
        }
        run.cut_metrics(checkpoint.metrics_bytes)?;
        run.cut_records(checkpoint.step)?;
        Ok((run, checkpoint))
    }

    /// Opens a run as it is.
    ///
    /// # Errors
    /// Another program writes to it, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        Self::lock(Box::new(RealDisk), path)
    }

    fn lock(disk: Box<dyn Disk>, path: &Path) -> Result<Self> {
        let file = path.join(METRICS);
        // A link is refused: the file that it leads to may not be ours.
        if fs::symlink_metadata(&file).is_ok_and(|meta| !meta.is_file()) {
            return Err(Error::model(file, "not a regular file; choose another ``out``"));
        }
        let metrics = disk.open_append(&file).map_err(|error| Error::io(&file, error))?;
        match metrics.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::model(
                    path,
                    "another charloom is writing to this run; wait, or choose another ``out``",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(file, error)),
        }
        remove_temporaries(path);
        Ok(Self { path: path.to_path_buf(), metrics, disk, warning: None })
    }

    fn cut_metrics(&self, length: u64) -> Result<()> {
        let path = self.path.join(METRICS);
        self.disk.set_len(&path, &self.metrics, length).map_err(|error| Error::io(path, error))
    }

    /// A warning for the user about how the run was opened.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration to resume with: the checkpoint's, with the steps and data paths of `config.toml`.
    ///
    /// # Errors
    /// The first setting in `config.toml` that differs from the checkpoint's, or a file that cannot be read.
    pub fn resume_config(&self, run: &Config) -> Result<Config> {
        let path = self.path.join(CONFIG);
        if !path.is_file() {
            return Ok(run.clone());
        }
        let mut file = Config::read(&path)?;
        // A file without `train.steps`, which may have been cut off, does not change them.
        let says = |text: String| text.parse::<toml::Table>().ok()?.get("train")?.get("steps").map(drop);
        if fs::read_to_string(&path).ok().and_then(says).is_none() {
            file.train.steps = run.train.steps;
        }
        let mut config = run.resume_with(&file).map_err(|error| match error {
            Error::Setting { key, message } => Error::model(&path, format!("{key} {message}")),
            error => error,
        })?;
        config.data.path = file.data.path.or(config.data.path);
        (config.data.val, config.data.test) = (file.data.val, file.data.test);
        Ok(config)
    }

    /// Writes `config.toml`; a power cut before the next [`RunFolder::save_last`] may undo it.
    ///
    /// # Errors
    /// It cannot be written; the one before is kept.
    pub fn write_config(&self, config: &Config) -> Result<()> {
        self.put(CONFIG, &|to| to(config.to_toml().as_bytes()), None)
    }

    /// Writes `best.safetensors`; a power cut before the next [`RunFolder::save_last`] may undo it.
    ///
    /// # Errors
    /// It cannot be written; the one before is kept.
    pub fn save_best(&self, checkpoint: &Checkpoint) -> Result<()> {
        let bytes = checkpoint.encode()?;
        self.put(BEST, &|to| bytes.write(to), None)
    }

    /// Writes `last.safetensors`, with the length of the metrics at this point; the one before becomes
    /// `previous.safetensors`.
    ///
    /// # Errors
    /// It cannot be written; the one before is kept.
    pub fn save_last(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        let metrics = self.path.join(METRICS);
        self.disk.sync(&metrics, &self.metrics).map_err(|error| Error::io(&metrics, error))?;
        let diagnostics = self.path.join(DIAGNOSTICS);
        if diagnostics.is_file() {
            let file = self.disk.open_append(&diagnostics);
            file.and_then(|file| self.disk.sync(&diagnostics, &file))
                .map_err(|error| Error::io(&diagnostics, error))?;
        }
        checkpoint.metrics_bytes = self.metrics.metadata().map_err(|error| Error::io(&metrics, error))?.len();
        let bytes = checkpoint.encode()?;
        self.put(LAST, &|to| bytes.write(to), Some(PREVIOUS))?;
        self.sync_names()
    }

    /// Appends a line to `metrics.jsonl`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn log(&mut self, metric: &Metric) -> Result<()> {
        let mut line = serde_json::to_vec(metric).map_err(|error| Error::Failed(error.to_string()))?;
        line.push(b'\n');
        let path = self.path.join(METRICS);
        self.disk.write(&path, &self.metrics, &line).map_err(|error| Error::io(path, error))
    }

    /// Appends lines to `diagnostics.jsonl`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn log_records(&self, records: &[Record]) -> Result<()> {
        let path = self.path.join(DIAGNOSTICS);
        let written =
            lines(records).and_then(|lines| self.disk.write(&path, &self.disk.open_append(&path)?, &lines));
        written.map_err(|error| Error::io(path, error))
    }

    /// The records in `diagnostics.jsonl`; empty if there is no such file.
    ///
    /// # Errors
    /// A line is none of charloom's, or it cannot be read.
    pub fn records(path: &Path) -> Result<Vec<Record>> {
        let path = path.join(DIAGNOSTICS);
        if path.is_file() { read_lines(&path, MAX_RECORDS) } else { Ok(Vec::new()) }
    }

    /// Removes the records from `step` on, which the resumed training writes again.
    fn cut_records(&self, step: u64) -> Result<()> {
        let path = self.path.join(DIAGNOSTICS);
        if !path.is_file() {
            return Ok(());
        }
        let mut records: Vec<Record> = read_lines(&path, MAX_RECORDS)?;
        records.retain(|record| record.step < step);
        let lines = lines(&records).map_err(|error| Error::io(path, error))?;
        self.replace(DIAGNOSTICS, &lines)
    }

    /// Writes `samples.txt`.
    ///
    /// # Errors
    /// It cannot be written; the one before is kept.
    pub fn write_samples(&self, text: &str) -> Result<()> {
        self.replace(SAMPLES, text.as_bytes())
    }

    /// Writes `timing.json`.
    ///
    /// # Errors
    /// It cannot be written; the one before is kept.
    pub fn write_timing(&self, timing: &Timing) -> Result<()> {
        let text = serde_json::to_string(timing).map_err(|error| Error::Failed(error.to_string()))? + "\n";
        self.replace(TIMING, text.as_bytes())
    }

    /// Syncs the folder: the names of its files survive a power cut from here on.
    ///
    /// # Errors
    /// The folder cannot be synced.
    pub(crate) fn sync_names(&self) -> Result<()> {
        self.disk.sync_folder(&self.path).map_err(|error| Error::io(&self.path, error))
    }

    /// Replaces a file and syncs the folder.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.put(name, &|to| to(bytes), None)?;
        self.sync_names()
    }

    /// Replaces a file; the old one stays as `keep`. A power cut before [`RunFolder::sync_names`] may undo
    /// it.
    fn put(&self, name: &str, bytes: &Bytes<'_>, keep: Option<&str>) -> Result<()> {
        let path = self.path.join(name);
        let keep = keep.map(|name| self.path.join(name));
        disk::replace(&*self.disk, &path, bytes, keep.as_deref()).map_err(|error| Error::io(&path, error))
    }
}

/// Removes half-written files of a killed program, under the lock; one that cannot be removed does no harm.
fn remove_temporaries(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
