//! From a configuration to its data: what training begins with.

use std::path::{Path, PathBuf};

use crate::data::{Data, DataConfig, Dataset, Vocab};
use crate::{Config, Error, Result, config, models, train};

/// Reads and splits the data that a configuration names, and makes explicit in it what depends on the files:
/// the hashes, the mode and all that follows from it.
///
/// # Errors
/// A value out of range; as [`Data::load`]; sizes too large for the data's vocabulary; a teacher that cannot
/// be read.
///
/// ```
/// let mut config = charloom::Config::default();
/// let data = charloom::load_data(&mut config)?;
/// assert_eq!((data.vocab.len(), config.data.split), (27, Some([0.8, 0.1, 0.1])));
/// # Ok::<(), charloom::Error>(())
/// ```
pub fn load_data(config: &mut Config) -> Result<Data> {
    let data = read_data(config)?;
    resolve_config(config, &data)?;
    Ok(data)
}

/// Loads the data of a configuration, which [`resolve_config`] has still to complete.
///
/// # Errors
/// A value out of range; as [`Data::load`].
pub fn read_data(config: &mut Config) -> Result<Data> {
    config.validate()?;
    models::fill(&mut config.model)?;
    config.resolve_seeds();
    Data::load(&config.data, None)
}

/// Makes explicit in a configuration what depends on its data, which is loaded already.
///
/// # Errors
/// A value out of range, or sizes too large for the data's vocabulary.
pub fn resolve_config(config: &mut Config, data: &Data) -> Result<()> {
    config.validate()?;
    models::fill(&mut config.model)?;
    config.data.sha256 = Some(data.source.sha256.clone());
    config.data.val_sha256 = data.val_source.as_ref().map(|source| source.sha256.clone());
    config.data.test_sha256 = data.test_source.as_ref().map(|source| source.sha256.clone());
    config.resolve(data.mode());
    models::fill_from_data(config, data)?;
    models::check_sizes(config, data.vocab.len())?;
    if let Some(teacher) = &mut config.train.teacher {
        train::resolve_teacher(teacher)?;
    }
    Ok(())
}

/// A configuration from the defaults, a preset's TOML and a file's, with a model that is checked.
///
/// # Errors
/// As [`Config::layered`] and [`models::check`].
pub fn read_config(preset: Option<&str>, file: Option<&Path>) -> Result<Config> {
    let config = Config::layered(preset, file)?;
    models::check(&config.model).map_err(|error| match file {
        Some(path) => Error::model(path, format!("{}[model] {error}", line_prefix(path, &error))),
        None => error,
    })?;
    Ok(config)
}

/// Reads a run's data again. `run` is where the run is; `moved` is where the data is now, if it was moved.
///
/// # Errors
/// As [`find_data`] and [`Data::load`].
pub fn reload_data(
    config: &DataConfig,
    vocab: Option<Vocab>,
    run: &Path,
    moved: Option<&Path>,
) -> Result<Data> {
    Data::load(&find_data(config, run, moved)?, vocab)
}

/// A run's data settings with the paths that its files have now. `moved` is the main file, or a folder that
/// holds the files under their names. A relative path that does not exist is looked for in the run's folder
/// and those above it.
///
/// # Errors
/// A file that is not found, or was standard input.
pub fn find_data(config: &DataConfig, run: &Path, moved: Option<&Path>) -> Result<DataConfig> {
    let mut found = config.clone();
    let folder = moved.filter(|moved| moved.is_dir());
    if let (Some(moved), None) = (moved, folder) {
        found.path = Some(moved.to_path_buf());
    } else if let Some(path) = &config.path {
        found.path = Some(find(path, run, folder)?);
    }
    for path in [&mut found.val, &mut found.test] {
        *path = path.as_deref().map(|path| find(path, run, folder)).transpose()?;
    }
    Ok(found)
}

fn find(path: &Path, run: &Path, folder: Option<&Path>) -> Result<PathBuf> {
    if let Some(here) = folder.zip(path.file_name()).map(|(folder, name)| folder.join(name))
        && here.is_file()
    {
        return Ok(here);
    }
    if path == Path::new("-") {
        let message = "the run's data was standard input; ``data`` names a file with the same text";
        return Err(Error::data(path, message));
    }
    if path.exists() {
        return Ok(path.to_path_buf());
    }
    let run = std::path::absolute(run).unwrap_or_else(|_| run.to_path_buf());
    let beside = run.ancestors().map(|folder| folder.join(path)).find(|file| file.is_file());
    let is_known = |path: &Path| path.to_str().is_some_and(|name| Dataset::get(name).is_ok());
    let beside = beside.or_else(|| is_known(path).then(|| path.to_path_buf()));
    beside.ok_or_else(|| {
        let message =
            "no such file, here or where the run is; ``data`` names it, or the folder in which it is now";
        Error::data(path, message)
    })
}

/// The line of a configuration's file that an error about its model is about, as `line N: `; empty if
/// unknown.
fn line_prefix(path: &Path, error: &Error) -> String {
    let key = match error {
        Error::Setting { key, .. } if key != "model" => key.strip_prefix("model.").unwrap_or(key),
        _ => "kind",
    };
    let line = config::read_text(path).ok().and_then(|text| config::line_of(&text, &format!("model.{key}")));
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_model_is_told_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, said) in [
            (
                "[train]\nsteps = 3\n[model]\nkind = 'mlp'\nhiden = [3]\n",
                "line 5: [model] ``hiden``: a model",
            ),
            ("[model]\n\nembed = -1\n", "line 3: [model] ``embed``"),
            ("model.kind = 'mlq'", "line 1: [model] ``model`` \"mlq\" is unknown"),
            (
                "[model]\nkind = 'mixture'\n[[model.members]]\nweight = 2.0\nmodel.kind = 'mlp'\n",
                "line 3: [model] ``model.members``",
            ),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = read_config(None, Some(file.path())).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
