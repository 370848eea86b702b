//! The command `charloom`, as a function.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command with these arguments; returns its exit code.
#[pyfunction]
pub fn command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    let all = std::iter::once(OsString::from("charloom")).chain(arguments);
    py.detach(|| charloom_cli::run(all))
}
