//! The flags of the data: where the text comes from and how it is split.

use std::path::PathBuf;

use charloom::config::Generator;
use charloom::data::{DataConfig, Mode, Normalize, Shuffle, parse_split};
use charloom::{Config, Error, Result};

use super::{put, set};

// What `--split` parses to: the fractions of training, validation and test.
type Fractions = [f64; 3];

/// Where the text comes from and how it is split.
#[derive(clap::Args, Default, PartialEq)]
#[command(next_help_heading = "Data")]
pub struct DataFlags {
    /// Read the data as lines or as one running text [default: detected]
    #[arg(long, value_name = "lines|text")]
    mode: Option<Mode>,
    /// Fractions of training, validation and test [default: 0.8,0.1,0.1; a text's 0.9,0.1,0]
    #[arg(long, value_name = "A,B,C", value_parser = parse_split)]
    split: Option<Fractions>,
    /// Seed of the shuffle before the split [default: 42]
    #[arg(long, value_name = "N")]
    split_seed: Option<u64>,
    /// Order of the words before the split: python, torch, none [default: python]
    #[arg(long, value_name = "NAME")]
    shuffle: Option<Shuffle>,
    /// A file to validate on
    #[arg(long, value_name = "FILE")]
    val: Option<PathBuf>,
    /// A file to test on
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// Remove repeated lines before the split
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    dedupe: Option<bool>,
    /// Replace bytes that are not UTF-8
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    lossy: Option<bool>,
    /// Unicode normalization: nfc, nfkd [default: none]
    #[arg(long, value_name = "FORM")]
    normalize: Option<Normalize>,
}

impl DataFlags {
    /// The flags if only `--lossy` is given.
    pub fn lossy() -> Self {
        Self { lossy: Some(true), ..Self::default() }
    }

    /// Refuses a flag that has no effect with the other settings.
    ///
    /// # Errors
    /// `--split-seed` with a shared generator.
    pub fn check(&self, config: &Config) -> Result<()> {
        if self.split_seed.is_some() && config.train.generator == Generator::Shared {
            let why = "with --generator shared the split is drawn by the generator of --seed";
            return Err(Error::usage(format!("--split-seed has no effect: {why}")));
        }
        Ok(())
    }

    pub fn apply(&self, path: Option<&PathBuf>, config: &mut Config) {
        let data = &mut config.data;
        if path.is_some() {
            // A hash from a configuration file is that of other data.
            (data.path, data.sha256) = (path.cloned(), None);
        }
        put(&mut data.mode, self.mode.as_ref());
        put(&mut data.split, self.split.as_ref());
        set(&mut data.split_seed, self.split_seed.as_ref());
        set(&mut data.shuffle, self.shuffle.as_ref());
        if self.val.is_some() {
            (data.val, data.val_sha256) = (self.val.clone(), None);
        }
        if self.test.is_some() {
            (data.test, data.test_sha256) = (self.test.clone(), None);
        }
        set(&mut data.dedupe, self.dedupe.as_ref());
        set(&mut data.lossy, self.lossy.as_ref());
        put(&mut data.normalize, self.normalize.as_ref());
    }

    /// Sets where the validation and test files are now, and keeps their SHA-256.
    pub fn place(&self, data: &mut DataConfig) {
        put(&mut data.val, self.val.as_ref());
        put(&mut data.test, self.test.as_ref());
    }
}
