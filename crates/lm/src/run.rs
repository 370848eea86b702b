//! The folder of a run.

use std::fs::{self, File};
use std::path::Path;

use crate::{Error, Result};

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
