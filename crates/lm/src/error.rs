//! What can go wrong: one line each, naming the thing, the place and the way out.
//!
//! In messages for users, a word in double backquotes, as in "try a lower ` ``lr`` `", is the key of a
//! setting or the name of an argument; the command shows it as its flag.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// Every failure of this crate; its `Display` is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting or an argument is wrong.
    #[error("``{key}``{}{message}", if message.starts_with([':', ',']) { "" } else { " " })]
    Setting {
        /// Its key in the configuration, or the argument's name.
        key: String,
        /// What follows the key in a sentence: the value, the limit and the way out.
        message: String,
    },

    /// The request makes no sense for another reason than one setting's value.
    #[error("{message}")]
    Usage {
        /// What is wrong and what to do about it.
        message: String,
    },

    /// A file of text cannot be used as data.
    #[error("{}: {message}", path.display())]
    Data {
        /// The file, or a word for where the text came from (`-` is standard input).
        path: PathBuf,
        /// What is wrong, where, and what to do about it.
        message: String,
    },

    /// The operating system refused to read or write.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// A model file, run folder or configuration cannot be used.
    #[error("{}: {message}", path.display())]
    Model {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, where, and what to do about it.
        message: String,
    },

    /// A character that the model has never seen.
    #[error(transparent)]
    UnknownCharacter(#[from] UnknownCharacter),

    /// A training's loss or parameters are not finite any more.
    #[error("{0}")]
    Diverged(String),

    /// A computation was asked to end before it was done.
    #[error("interrupted")]
    Interrupted,

    /// A computation went wrong.
    #[error("{0}")]
    Failed(String),
}

/// A character that the vocabulary does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{character:?} (U+{:04X}, character {position}) is not in the vocabulary, which is of the training data",
    *character as u32
)]
pub struct UnknownCharacter {
    /// The character.
    pub character: char,
    /// Which character of the string it is, from 1.
    pub position: usize,
}

/// The result of whatever can fail with an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Setting`] about `key`.
    pub fn setting(key: impl Display, message: impl Display) -> Self {
        Self::Setting { key: one_line(key), message: one_line(message) }
    }

    /// An [`Error::Setting`] whose value is not within its limit.
    pub fn out_of_range(key: impl Display, value: impl Display, limit: impl Display) -> Self {
        Self::setting(key, format!("{value} is out of range; it must be {limit}"))
    }

    /// An [`Error::Usage`].
    pub fn usage(message: impl Display) -> Self {
        Self::Usage { message: one_line(message) }
    }

    /// An [`Error::Data`] about `path`.
    pub fn data(path: impl AsRef<Path>, message: impl Display) -> Self {
        Self::Data { path: path.as_ref().to_path_buf(), message: one_line(message) }
    }

    /// An [`Error::Io`] about `path`; meant for `map_err(|e| Error::io(path, e))`.
    pub fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { path: path.as_ref().to_path_buf(), source }
    }

    /// An [`Error::Model`] about `path`.
    pub fn model(path: impl AsRef<Path>, message: impl Display) -> Self {
        Self::Model { path: path.as_ref().to_path_buf(), message: one_line(message) }
    }
}

/// A message as one line. Since it may quote a file, line ends and other control characters are escaped, and
/// more than `LONGEST` characters are cut off.
fn one_line(message: impl Display) -> String {
    const LONGEST: usize = 4096;
    let message = message.to_string();
    let shown = message.chars().take(LONGEST).fold(String::new(), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
        shown
    });
    if message.chars().nth(LONGEST).is_some() { shown + "..." } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_that_can_be_read() {
        let said = Error::model("m", "unknown `a\nb\u{1b}[31m\u{85}`, zo\u{eb}").to_string();
        assert_eq!(said, "m: unknown `a\\nb\\u{1b}[31m\\u{85}`, zo\u{eb}");
        assert_eq!(Error::data("d", "x".repeat(1 << 20)).to_string().len(), 3 + 4096 + 3);
    }

    #[test]
    fn a_setting_is_named_by_its_key() {
        let error = Error::out_of_range("lr_drops", "2:0.1", "from 0 to 1");
        assert_eq!(error.to_string(), "``lr_drops`` 2:0.1 is out of range; it must be from 0 to 1");
        assert!(matches!(error, Error::Setting { key, .. } if key == "lr_drops"));
        assert_eq!(Error::setting("norm", ": there is none").to_string(), "``norm``: there is none");
    }
}
