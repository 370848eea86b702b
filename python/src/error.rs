//! Errors of the library as Python's exceptions, which `charloom._errors` declares.

use charloom::Error;
use pyo3::prelude::*;

/// The exception class of an error; `SettingError` and `DataError` are also `ValueError`s, `FileError` an
/// `OSError`.
fn class(error: &Error) -> &'static str {
    match error {
        Error::Setting { .. } | Error::Usage { .. } => "SettingError",
        Error::Data { .. } | Error::UnknownCharacter(_) => "DataError",
        Error::Io { .. } => "FileError",
        Error::Model { .. } => "ModelError",
        _ => "CharloomError",
    }
}

/// serde's message about a wrong value, without the names of Rust's types.
fn plainly(said: &str) -> String {
    const NUMBER: &str = "and must be a whole number from 0 up";
    let words = [
        ("invalid type: ", "it is "),
        ("invalid value: ", "it is "),
        ("unknown variant ", "there is no "),
        ("expected u64", NUMBER),
        ("expected usize", NUMBER),
        ("expected f64", "and must be a number"),
        ("expected a sequence", "and must be a list"),
        ("expected an array of length", "and must be as many numbers as"),
        ("expected path string", "and must be a path"),
        ("expected a string", "and must be a word"),
        ("expected a boolean", "and must be True or False"),
    ];
    // The message about an unknown key keeps its list of keys.
    let is_of_words = said.contains("unknown variant ");
    let said = match is_of_words {
        true => said.replace(", expected one of ", "; there is ").replace(", expected ", "; there is "),
        false => said.to_owned(),
    };
    words.iter().fold(said, |said, (of_serde, plain)| said.replace(of_serde, plain))
}

/// The exception of an error, with the command's message; a setting is named by its keyword.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let mut message = match error {
        // The command's name for its standard input is `-`; here it stands for a text in memory.
        Error::Data { path, message } if path.as_os_str() == "-" => format!("the text: {message}"),
        _ => error.to_string().replace("``", "`"),
    };
    if matches!(error, Error::Setting { .. }) {
        message = plainly(&message);
    }
    // A value that is quoted may be of any length, so a long message is cut in the middle.
    if let (Some((end, _)), Some((begin, _))) =
        (message.char_indices().nth(1000), message.char_indices().nth_back(499))
        && end < begin
    {
        message = format!("{} ... {}", &message[..end], &message[begin..]);
    }
    let make = || py.import("charloom._errors")?.getattr(class(error))?.call1((message,));
    make().map_or_else(|failed| failed, PyErr::from_value)
}

/// The result, with an error as an exception.
pub fn or_raise<T>(py: Python<'_>, result: charloom::Result<T>) -> PyResult<T> {
    result.map_err(|error| raise(py, &error))
}
