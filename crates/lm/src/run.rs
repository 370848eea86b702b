//! The folder of a run: its files, its lock, and the one way in which files are replaced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::inspect::Record;
use crate::{Config, Error, Result};

const CONFIG: &str = "config.toml";
const BEST: &str = "best.safetensors";
const LAST: &str = "last.safetensors";
const METRICS: &str = "metrics.jsonl";
const SAMPLES: &str = "samples.txt";
/// The longest line that is read, in bytes, and the most lines of the metrics and of the diagnostics.
const MAX_LINE: u64 = 1 << 14;
const MAX_METRICS: usize = 1 << 23;
const MAX_RECORDS: usize = 1 << 20;
const DIAGNOSTICS: &str = "diagnostics.jsonl";
/// The page about a run, if one is asked for with its training.
pub const REPORT: &str = "report.html";
/// What the name of a half-written file begins with.
const TEMPORARY: &str = ".charloom-";

/// The folder of a run, locked as long as this lives: no second program writes to it.
///
/// ```text
/// runs/NAME/config.toml         every setting
///          best.safetensors     weights of the best validation loss
///          last.safetensors     the whole state
///          metrics.jsonl        one Metric a line
///          samples.txt
///          diagnostics.jsonl    one Record a line, of a training with diagnostics
///          report.html          a page about it, on request
/// ```
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// `metrics.jsonl`, which is also what is locked.
    metrics: File,
}

/// A line of `metrics.jsonl`.
///
/// # Units
/// `loss` in nats per character.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Updates made before this was measured.
    pub step: u64,
    /// `batch`, `train` or `val`.
    pub split: String,
    /// The loss.
    pub loss: f64,
    /// The learning rate of that step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
}

impl Metric {
    /// The metrics of a run folder, as far as they are written.
    ///
    /// # Errors
    /// No run folder, or a line that charloom did not write.
    pub fn read_all(run: &Path) -> Result<Vec<Self>> {
        let path = run.join(METRICS);
        if !path.is_file() {
            return Err(Error::model(run, "no run folder with a metrics.jsonl; 'charloom train' makes one"));
        }
        read_lines(&path, MAX_METRICS)
    }
}

impl RunFolder {
    /// Makes a new run; with `force`, in place of one that is there.
    ///
    /// # Errors
    /// The folder holds something already and `force` is not given, another program writes to it, or it cannot
    /// be written. Nothing has changed then.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        if !force && is_occupied(path)? {
            let out = path.display();
            let way = format!(
                "exists; --resume --out {out} goes on with it, --force replaces it, or choose another --out"
            );
            return Err(Error::model(path, way));
        }
        fs::create_dir_all(path).map_err(|error| Error::io(path, error))?;
        let run = Self::lock(path)?;
        run.metrics.set_len(0).map_err(|error| Error::io(path.join(METRICS), error))?;
        for name in [CONFIG, BEST, LAST, SAMPLES, DIAGNOSTICS, REPORT] {
            match fs::remove_file(path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io(path.join(name), error));
                }
                _ => {}
            }
        }
        Ok(run)
    }

    /// Makes a new run in `folder` under the first of NAME, NAME-2, NAME-3, ... that is free.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn create_next(folder: &Path, name: &str) -> Result<Self> {
        let mut path = folder.join(name);
        for number in 2.. {
            if !is_occupied(&path)? {
                break;
            }
            path = folder.join(format!("{name}-{number}"));
        }
        Self::create(&path, false)
    }

    /// Opens a run to go on with it from [`Checkpoint`] `last.safetensors`: what the metrics say beyond that is
    /// cut off, so that the resumed run's file equals an undisturbed one's.
    ///
    /// # Errors
    /// There is no such run, another program writes to it, its last checkpoint cannot be used, or its metrics
    /// have been shortened since.
    pub fn resume(path: &Path) -> Result<(Self, Checkpoint)> {
        if !path.join(LAST).is_file() {
            let message = "no run to resume here (no last.safetensors); start one without --resume";
            return Err(Error::model(path, message));
        }
        let run = Self::lock(path)?;
        let checkpoint = Checkpoint::read(&path.join(LAST))?;
        let metrics = path.join(METRICS);
        let length = run.metrics.metadata().map_err(|error| Error::io(&metrics, error))?.len();
        if length < checkpoint.metrics_bytes {
            let message = "shorter than when the run was last saved; restore it, or start anew with --force";
            return Err(Error::model(metrics, message));
        }
        run.metrics.set_len(checkpoint.metrics_bytes).map_err(|error| Error::io(&metrics, error))?;
        run.cut_records(checkpoint.step)?;
        Ok((run, checkpoint))
    }

    fn lock(path: &Path) -> Result<Self> {
        let file = path.join(METRICS);
        let metrics = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&file)
            .map_err(|error| Error::io(&file, error))?;
        match metrics.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::model(
                    path,
                    "another charloom is writing to this run; wait, or choose another --out",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(file, error)),
        }
        remove_temporaries(path);
        Ok(Self { path: path.to_path_buf(), metrics })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `config.toml`.
    ///
    /// # Errors
    /// It cannot be written; the one before is kept.
    pub fn write_config(&self, config: &Config) -> Result<()> {
        self.replace(CONFIG, config.to_toml().as_bytes())
    }

    /// Writes `best.safetensors`.
    ///
    /// # Errors
    /// It cannot be written; the one before is kept.
    pub fn save_best(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.replace(BEST, &checkpoint.to_bytes()?)
    }

    /// Writes `last.safetensors`, with the length of the metrics at this point.
    ///
    /// # Errors
    /// It cannot be written; the one before is kept.
    pub fn save_last(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        let metrics = self.path.join(METRICS);
        self.metrics.sync_data().map_err(|error| Error::io(&metrics, error))?;
        checkpoint.metrics_bytes = self.metrics.metadata().map_err(|error| Error::io(&metrics, error))?.len();
        self.replace(LAST, &checkpoint.to_bytes()?)
    }

    /// Appends a line to `metrics.jsonl`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn log(&mut self, metric: &Metric) -> Result<()> {
        let mut line = serde_json::to_vec(metric).map_err(|error| Error::Failed(error.to_string()))?;
        line.push(b'\n');
        self.metrics.write_all(&line).map_err(|error| Error::io(self.path.join(METRICS), error))
    }

    /// Appends lines to `diagnostics.jsonl`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn log_records(&self, records: &[Record]) -> Result<()> {
        let path = self.path.join(DIAGNOSTICS);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(&lines(records)?)).map_err(|error| Error::io(path, error))
    }

    /// What `diagnostics.jsonl` says; nothing if there is none.
    ///
    /// # Errors
    /// A line is none of charloom's, or it cannot be read.
    pub fn records(path: &Path) -> Result<Vec<Record>> {
        let path = path.join(DIAGNOSTICS);
        if path.is_file() { read_lines(&path, MAX_RECORDS) } else { Ok(Vec::new()) }
    }

    /// Removes what was seen from `step` on, which will be seen again.
    fn cut_records(&self, step: u64) -> Result<()> {
        let path = self.path.join(DIAGNOSTICS);
        if !path.is_file() {
            return Ok(());
        }
        let mut records: Vec<Record> = read_lines(&path, MAX_RECORDS)?;
        records.retain(|record| record.step < step);
        let written = lines(&records).and_then(|lines| replace_file(&path, |file| file.write_all(&lines)));
        written.map_err(|error| Error::io(path, error))
    }

    /// Writes `samples.txt`.
    ///
    /// # Errors
    /// It cannot be written; the one before is kept.
    pub fn write_samples(&self, text: &str) -> Result<()> {
        self.replace(SAMPLES, text.as_bytes())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        replace_file(&path, |file| file.write_all(bytes)).map_err(|error| Error::io(&path, error))
    }
}

/// The objects of a file with one on each line.
fn read_lines<T: DeserializeOwned>(path: &Path, most: usize) -> Result<Vec<T>> {
    let mut lines = BufReader::new(open_regular(path)?);
    let mut objects = Vec::new();
    for number in 1.. {
        let mut line = String::new();
        let read = lines.by_ref().take(MAX_LINE).read_line(&mut line);
        if read.map_err(|error| Error::io(path, error))? == 0 {
            break;
        }
        match serde_json::from_str(&line) {
            Ok(object) => objects.push(object),
            // A training that goes on may be writing this line.
            Err(_) if !line.ends_with('\n') && (line.len() as u64) < MAX_LINE => break,
            Err(_) => return Err(Error::model(path, format!("line {number} is none that charloom wrote"))),
        }
        if number == most {
            return Err(Error::model(path, format!("more than {most} lines; that is no run's")));
        }
    }
    Ok(objects)
}

/// One JSON object a line.
fn lines(records: &[Record]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// The model file that a path means: of a run folder its best (its last while there is no best), else itself.
///
/// # Errors
/// There is neither.
pub fn model_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    [BEST, LAST].iter().map(|name| path.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        Error::model(path, "no run folder: it holds neither best.safetensors nor last.safetensors")
    })
}

/// Whether something is there that a new run would mix with.
fn is_occupied(path: &Path) -> Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io(path, error)),
    }
}

/// Half-written files of a program that was killed. Called under the lock; what cannot be removed does no harm.
fn remove_temporaries(path: &Path) {
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Replaces a file as a whole or not at all: `fill` writes a temporary beside it, which is synced and renamed, and
/// the folder synced. When anything fails the temporary is removed and the file is as it was.
///
/// # Errors
/// What the operating system says, or `fill`.
pub fn replace_file(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    {
        // Readable as any other new file; tempfile's own choice is the owner alone.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut temporary = builder.tempfile_in(folder)?;
    fill(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    // Windows has no folders to open, and syncs a rename by itself.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Opens a file to read, and refuses what is none: a folder, a pipe, a device, which might never end.
pub(crate) fn open_regular(path: &Path) -> Result<File> {
    let meta = fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if meta.is_dir() {
        return Err(Error::model(path, "a folder, not a file"));
    }
    if !meta.is_file() {
        return Err(Error::model(path, "not a regular file; copy its contents to one first"));
    }
    File::open(path).map_err(|error| Error::io(path, error))
}

#[cfg(test)]
mod tests;
