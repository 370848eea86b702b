//! Which file of a run holds its model.

use std::path::{Path, PathBuf};

use super::folder::{BEST, CONFIG, LAST};
use crate::{Error, Result};

/// The run folder of an ensemble's training, numbered from 1, in the ensemble's folder.
#[must_use]
pub fn seed_folder(ensemble: &Path, number: u64) -> PathBuf {
    ensemble.join(format!("seed-{number}"))
}

/// The model file at a path: `best.safetensors` of a run folder (`last.safetensors` if there is no best); a
/// path that is no folder, itself.
///
/// # Errors
/// A folder with neither; that of an ensemble whose trainings are not finished is told how to go on.
pub fn model_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    [BEST, LAST].iter().map(|name| path.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        let first = seed_folder(path, 1);
        if path.join(CONFIG).is_file() && first.is_dir() {
            let (path_shown, first) = (path.display(), first.display());
            let hint =
                format!("charloom train --resume --out {path_shown} goes on; {first} is a run of its own");
            return Error::model(path, format!("trainings of seeds that are not all finished: {hint}"));
        }
        Error::model(path, "no run folder: it holds neither best.safetensors nor last.safetensors")
    })
}

/// The model file of the last step: `last.safetensors` of a run folder; a path that is no folder, itself.
///
/// # Errors
/// A folder without it.
pub fn last_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let file = path.join(LAST);
    if file.is_file() {
        return Ok(file);
    }
    Err(Error::model(path, "no run folder: it does not hold last.safetensors"))
}
