//! Where the text comes from and how it is split: [`DataConfig`].

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::choices;
use crate::error::{Error, Result};

/// Where the text comes from and how it is split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The file; none: the embedded names. The name of a known data set stands for its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// SHA-256 of the file's bytes, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Lines or running text; none: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Fractions of training, validation and test; none: 0.8, 0.1, 0.1 of lines, 0.9, 0.1, 0 of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<[f64; 3]>,
    /// Seed of the shuffle.
    pub split_seed: u64,
    /// The order of the words before the split.
    pub shuffle: Shuffle,
    /// A file to validate on, instead of a part of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val: Option<PathBuf>,
    /// A file to test on, instead of a part of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// SHA-256 of the bytes of `val`, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_sha256: Option<String>,
    /// SHA-256 of the bytes of `test`, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_sha256: Option<String>,
    /// Whether repeated lines are removed before the split.
    pub dedupe: bool,
    /// Whether bytes that are not UTF-8 are replaced instead of refused.
    pub lossy: bool,
    /// Unicode normalization; none: the text as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalize>,
}

choices! {
    /// What a file of data is.
    Mode {
        /// One word a line.
        Lines = "lines",
        /// One running text.
        Text = "text",
    }
}

choices! {
    /// Which order the words are put in before they are split.
    Shuffle {
        /// As CPython's `random.seed(split_seed); random.shuffle(words)`.
        Python = "python",
        /// The order and the lengths of `torch.utils.data.random_split`, its generator seeded with
        /// `split_seed`.
        Torch = "torch",
        /// As in the file.
        None = "none",
    }
}

choices! {
    /// A Unicode normalization form.
    Normalize {
        /// Composed: one character where there is one.
        Nfc = "nfc",
        /// Decomposed, and compatibility forms replaced.
        Nfkd = "nfkd",
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: None,
            sha256: None,
            mode: None,
            split: None,
            split_seed: 42,
            shuffle: Shuffle::Python,
            val: None,
            test: None,
            val_sha256: None,
            test_sha256: None,
            dedupe: false,
            lossy: false,
            normalize: None,
        }
    }
}

impl Normalize {
    /// The text in this form.
    #[must_use]
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::Nfc => text.nfc().collect(),
            Self::Nfkd => text.nfkd().collect(),
        }
    }
}

impl Mode {
    /// The default fractions of training, validation and test: lines 0.8, 0.1, 0.1; text 0.9, 0.1 and no test
    /// split.
    #[must_use]
    pub fn default_split(self) -> [f64; 3] {
        match self {
            Self::Lines => [0.8, 0.1, 0.1],
            Self::Text => [0.9, 0.1, 0.0],
        }
    }
}

impl DataConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// One line with the key, its value and the limit.
    pub fn validate(&self) -> Result<()> {
        // A TOML integer is at most i64::MAX.
        if i64::try_from(self.split_seed).is_err() {
            return Err(Error::out_of_range(
                "split_seed",
                self.split_seed,
                format!("from 0 to {}", i64::MAX),
            ));
        }
        if let Some(split) = self.split {
            check_split(split)?;
        }
        for (key, path) in [("data", &self.path), ("val", &self.val), ("test", &self.test)] {
            check_name(key, path.as_deref())?;
        }
        let hashes = [
            ("data.sha256", &self.sha256),
            ("data.val_sha256", &self.val_sha256),
            ("data.test_sha256", &self.test_sha256),
        ];
        for (key, sha256) in hashes {
            if let Some(sha256) = sha256
                && !(sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()))
            {
                return Err(Error::out_of_range(key, sha256, "64 hexadecimal digits"));
            }
        }
        Ok(())
    }
}

/// Checks that a file name is UTF-8, as a configuration needs.
pub(crate) fn check_name(key: &str, path: Option<&Path>) -> Result<()> {
    match path {
        Some(path) if path.to_str().is_none() => {
            let message =
                format!("{}: a configuration holds no name that is not UTF-8; rename it", path.display());
            Err(Error::setting(key, message))
        }
        _ => Ok(()),
    }
}

/// Checks that three fractions sum to 1 and that the first is above 0.
pub(super) fn check_split(split: [f64; 3]) -> Result<()> {
    let fractions = split.iter().all(|part| (0.0..=1.0).contains(part));
    if fractions && (split.iter().sum::<f64>() - 1.0).abs() < 1e-6 && split[0] > 0.0 {
        return Ok(());
    }
    let limit = "three fractions from 0 to 1 that sum to 1, the first above 0";
    Err(Error::out_of_range("split", split.map(|part| part.to_string()).join(","), limit))
}

/// Three fractions between commas, such as `0.8,0.1,0.1`.
///
/// # Errors
/// A part that is not a number, or another number of parts than three.
pub fn parse_split(text: &str) -> std::result::Result<[f64; 3], String> {
    let fraction = |part: &str| {
        part.trim().parse().map_err(|_| format!("{part:?} is not a fraction, as in 0.8,0.1,0.1"))
    };
    let parts: Vec<f64> = text.split(',').map(fraction).collect::<std::result::Result<_, _>>()?;
    <[f64; 3]>::try_from(parts)
        .map_err(|parts| format!("{} fractions instead of three (training, validation, test)", parts.len()))
}
