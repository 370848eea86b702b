//! The flags of the data: where the text comes from and how it is split.

use std::path::PathBuf;

use charloom::config::Generator;
use charloom::data::{DataConfig, Mode, Normalize, Shuffle, parse_split};
use charloom::{Config, Result};

use super::flags::{Flags, flags};

// What `--split` parses to: the fractions of training, validation and test.
type Fractions = [f64; 3];

flags! {
    /// Where the text comes from and how it is split.
    #[command(next_help_heading = "Data")]
    pub DataFlags of data {
        /// Read the data as lines or as one running text [default: detected]
        mode("lines|text"): Mode;
        /// Fractions of training, validation and test [default: 0.8,0.1,0.1; a text's 0.9,0.1,0]
        #[arg(value_parser = parse_split)]
        split("A,B,C"): Fractions;
        /// Seed of the shuffle before the split [default: 42]
        split_seed("N"): u64, "with --generator shared the split is drawn by the generator of --seed",
            |config| config.train.generator != Generator::Shared;
        /// Order of the words before the split: python, torch, none [default: python]
        shuffle("NAME"): Shuffle;
        /// A file to validate on
        val("FILE"): PathBuf;
        /// A file to test on
        test("FILE"): PathBuf;
        /// Remove repeated lines before the split
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        dedupe("BOOL"): bool;
        /// Replace bytes that are not UTF-8
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        lossy("BOOL"): bool;
        /// Unicode normalization: nfc, nfkd [default: none]
        normalize("FORM"): Normalize;
    }
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
        self.given().iter().try_for_each(|flag| flag.check(config))
    }

    pub fn apply(&self, path: Option<&PathBuf>, config: &mut Config) {
        let data = &mut config.data;
        // A hash from a configuration file is that of other data.
        if path.is_some() {
            (data.path, data.sha256) = (path.cloned(), None);
        }
        if self.val.is_some() {
            data.val_sha256 = None;
        }
        if self.test.is_some() {
            data.test_sha256 = None;
        }
        self.write(config);
    }

    /// The flags that are given, as on a command line: ` --mode=text`.
    pub fn to_flags(&self, config: &Config) -> String {
        let settings = config.flat();
        let said = self.given().into_iter().filter_map(|flag| {
            let value = settings.get(&format!("data.{}", flag.key))?.trim_matches(['"', '[', ']']);
            Some(format!(" --{}={}", flag.key.replace('_', "-"), value.replace(", ", ",")))
        });
        said.collect()
    }

    /// Sets where the validation and test files are now, and keeps their SHA-256.
    pub fn set_files(&self, data: &mut DataConfig) {
        data.val = self.val.clone().or_else(|| data.val.take());
        data.test = self.test.clone().or_else(|| data.test.take());
    }
}
