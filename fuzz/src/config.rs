//! Configurations.

use std::path::Path;

use charloom::Config;
use charloom::config::{Batch, parse_hidden, parse_lr_drops};
use charloom::data::{Mode, parse_split};

/// Reads text as a configuration; one that is valid is written and read again. Each line of the text is a flag's value
/// too.
///
/// # Panics
/// An error of more than one line; a configuration that is another after it was written and read.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines() {
        for error in [
            parse_hidden(line).err(),
            parse_lr_drops(line).err(),
            parse_split(line).err(),
            line.parse::<Batch>().err(),
        ] {
            assert!(error.is_none_or(|error| !error.contains('\n')));
        }
    }
    let path = Path::new("fuzz.toml");
    let mut config = match Config::from_toml(text, path).and_then(|config| config.validate().map(|()| config))
    {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error:?}");
            return;
        }
    };
    let again = |config: &Config| {
        assert_eq!(*config, Config::from_toml(&config.to_toml(), path).expect("what was written is read"));
    };
    again(&config);
    config.resolve(Mode::Lines);
    again(&config);
    // What follows from a valid configuration is valid.
    config.validate().expect("as valid as before");
}
