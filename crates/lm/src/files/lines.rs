//! Files with a JSON object on each line.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::open_regular;
use crate::{Error, Result};

/// The longest line that is read, in bytes.
pub(super) const MAX_LINE: u64 = 1 << 14;

/// The objects of a file with one on each line.
pub(super) fn read_lines<T: DeserializeOwned>(path: &Path, most: usize) -> Result<Vec<T>> {
    let mut lines = BufReader::new(open_regular(path)?);
    let mut objects = Vec::new();
    for number in 1.. {
        let mut line = String::new();
        let read = lines.by_ref().take(MAX_LINE).read_line(&mut line);
        if read.map_err(|error| Error::io(path, error))? == 0 {
            break;
        }
        if number > most {
            return Err(Error::model(path, format!("more than {most} lines; that is no run's")));
        }
        match serde_json::from_str(&line) {
            Ok(object) => objects.push(object),
            // A training that goes on may be writing this line.
            Err(_) if !line.ends_with('\n') && (line.len() as u64) < MAX_LINE => break,
            Err(_) => return Err(Error::model(path, format!("line {number} is none that charloom wrote"))),
        }
    }
    Ok(objects)
}

/// One JSON object a line.
pub(super) fn lines(objects: &[impl Serialize]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for object in objects {
        serde_json::to_writer(&mut lines, object)?;
        lines.push(b'\n');
    }
    Ok(lines)
}
