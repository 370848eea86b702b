//! What may change when a training is resumed: how many steps it has, and where its data is.

use super::Config;
use crate::{Error, Result};

/// Settings that say where the data is, and its hashes, which are checked when it is read.
const DATA_FILE_KEYS: [&str; 6] =
    ["data.path", "data.val", "data.test", "data.sha256", "data.val_sha256", "data.test_sha256"];

impl Config {
    /// The configuration to resume a training of `self` with when `wanted` is asked for: `self` with the
    /// steps of `wanted`, which may be more. Settings that `wanted` leaves open are not compared, except that
    /// `normalize`, `val` and `test` left open mean none.
    ///
    /// # Errors
    /// [`Error::Setting`]: the first setting that differs, or fewer steps.
    pub fn resume_with(&self, wanted: &Self) -> Result<Self> {
        wanted.validate()?;
        let (mine, theirs) = (self.flat(), wanted.flat());
        let differs = |key: &&str, value: &String| mine.get(*key) != Some(value);
        let kind = ("model.kind", &wanted.model.kind);
        let kind = (self.model.kind != *kind.1).then_some(kind.0);
        let given = theirs.iter().map(|(key, value)| (key.as_str(), value));
        let first = given
            .filter(|(key, _)| !DATA_FILE_KEYS.contains(key) && *key != "train.steps")
            .find(|(key, value)| differs(key, value));
        if let Some(key) = kind.or(first.map(|(key, _)| key)) {
            return Err(changed(key, theirs.get(key), mine.get(key)));
        }
        let normalize = "data.normalize";
        if mine.contains_key(normalize) && !theirs.contains_key(normalize) {
            return Err(changed(normalize, None, mine.get(normalize)));
        }
        for key in ["data.val", "data.test"] {
            if mine.contains_key(key) != theirs.contains_key(key) {
                return Err(changed(key, theirs.get(key), mine.get(key)));
            }
        }
        let [before, steps] = [self.train.steps, wanted.train.steps];
        if steps < before {
            let message =
                format!("{steps} are fewer than the {before} that the run has; only more can be asked for");
            return Err(Error::setting("steps", message));
        }
        let mut config = self.clone();
        config.train.steps = steps;
        Ok(config)
    }
}

/// The error for a setting that differs from what the run began with.
fn changed(key: &str, wanted: Option<&String>, mine: Option<&String>) -> Error {
    let none = || "none".to_owned();
    let [wanted, mine] = [wanted, mine].map(|value| value.cloned().unwrap_or_else(none));
    let name = if key == "model.kind" { "model" } else { key.split_once('.').map_or(key, |(_, name)| name) };
    Error::setting(
        name,
        format!("{wanted}: the run began with {mine}; leave it as it was, or start a new run"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Config {
        Config::from_toml(toml, "my.toml".as_ref()).unwrap()
    }

    #[test]
    fn more_steps_and_other_places_are_no_other_run() {
        let run = config("[data]\npath = \"a\"\nval = \"b\"\n[train]\nsteps = 10\neval_every = 2\n");
        let wanted = config("[data]\npath = \"c\"\nval = \"d\"\n[train]\nsteps = 20\n");
        let on = run.resume_with(&wanted).unwrap();
        assert_eq!((on.train.steps, on.data.path, on.train.eval_every), (20, run.data.path, Some(2)));
    }

    #[test]
    fn the_setting_that_differs_is_named() {
        let run = config("[data]\nnormalize = \"nfc\"\n[train]\nsteps = 10\neval_every = 2\n");
        for (toml, said) in [
            (
                "[data]\nnormalize = \"nfc\"\n[train]\nsteps = 10\nlr = 0.2\n",
                "``lr`` 0.2: the run began with 0.1",
            ),
            ("[data]\nnormalize = \"nfc\"\n[train]\nsteps = 9\n", "``steps`` 9 are fewer"),
            (
                "[data]\nnormalize = \"nfc\"\n[train]\nsteps = 10\neval_every = 3\n",
                "``eval_every`` 3: the run",
            ),
            (
                "[data]\nnormalize = \"nfc\"\nval = \"v\"\n[train]\nsteps = 10\n",
                "``val`` \"v\": the run began with none",
            ),
            ("[train]\nsteps = 10\n", "``normalize`` none: the run began with \"nfc\""),
            ("[model]\nkind = \"linear\"\ncontext = 9\n", "``model`` \"linear\": the run began with \"mlp\""),
        ] {
            let error = run.resume_with(&config(toml)).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
