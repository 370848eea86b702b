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

/// What serde says of a wrong value, without the names of Rust's types.
fn plainly(said: &str) -> String {
    const NUMBER: &str = "and must be a whole number from 0 up";
    let words = [
        ("invalid type: ", "it is "),
        ("invalid value: ", "it is "),
        ("unknown variant ", "there is no "),
        ("expected u64", NUMBER),
        ("expected usize", NUMBER),
        ("expected f64", "and must be a number"),
        ("expected a sequence", "and must be a list of numbers"),
        ("expected a string", "and must be a word"),
        ("expected a boolean", "and must be True or False"),
    ];
    // Of an unknown key the list stays as it is.
    let is_of_words = said.contains("unknown variant ");
    let said = if is_of_words { said.replace(", expected one of ", "; there is ") } else { said.to_owned() };
    words.iter().fold(said, |said, (of_serde, plain)| said.replace(of_serde, plain))
}

/// The exception of an error, in the words of the command; a setting is named by its keyword.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let mut message = error.to_string().replace("``", "`");
    if matches!(error, Error::Setting { .. }) {
        message = plainly(&message);
    }
    let make = || py.import("charloom._errors")?.getattr(class(error))?.call1((message,));
    make().map_or_else(|failed| failed, PyErr::from_value)
}

/// The result in Python's terms.
pub fn or_raise<T>(py: Python<'_>, result: charloom::Result<T>) -> PyResult<T> {
    result.map_err(|error| raise(py, &error))
}
