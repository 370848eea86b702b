//! Errors of the library as Python's exceptions, which `charloom._errors` declares.

use charloom::Error;
use pyo3::prelude::*;

/// Which exception an error is: `SettingError` is a `ValueError` too, `DataError` as well, `FileError` an `OSError`.
fn class(error: &Error) -> &'static str {
    match error {
        Error::Setting { .. } | Error::Usage { .. } => "SettingError",
        Error::Data { .. } | Error::UnknownCharacter(_) => "DataError",
        Error::Io { .. } => "FileError",
        Error::Model { .. } => "ModelError",
        _ => "CharloomError",
    }
}

/// The exception of an error, in the words of the command; a setting is named by its keyword.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let message = error.to_string().replace("``", "`");
    let make = || py.import("charloom._errors")?.getattr(class(error))?.call1((message,));
    make().map_or_else(|failed| failed, PyErr::from_value)
}

/// The result in Python's terms.
pub fn or_raise<T>(py: Python<'_>, result: charloom::Result<T>) -> PyResult<T> {
    result.map_err(|error| raise(py, &error))
}
