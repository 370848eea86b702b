//! Arguments that commands share: the data, by position or as --data, and a configuration from a preset, a
//! file and flags.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use charloom::config::ModelConfig;
use charloom::data::{Data, DataConfig, Vocab};
use charloom::{Checkpoint, Config, Error, Result, files, models};

use crate::args::{self, DataFlags, EVALUATIONS, ModelFlags, OPTIMIZER, RATES, RUNS, TrainFlags};
use crate::output::detail;

/// Where the data is.
#[derive(clap::Args)]
pub struct DataPath {
    /// A file of lines or of running text, - for standard input, or the name of a known data set; the embedded names
    /// without it
    #[arg(value_name = "DATA")]
    data_path: Option<PathBuf>,
    /// The data, as a flag in place of the argument
    #[arg(long = "data", value_name = "DATA", conflicts_with = "data_path")]
    data_named: Option<PathBuf>,
}

impl DataPath {
    pub fn get(&self) -> Option<&PathBuf> {
        self.data_path.as_ref().or(self.data_named.as_ref())
    }
}

/// Where the data of a run is.
#[derive(clap::Args)]
pub struct RunData {
    /// Where the run's data is now, or the folder in which it is [default: where it was]
    #[arg(value_name = "DATA")]
    data_path: Option<PathBuf>,
    /// The data, as a flag in place of the argument
    #[arg(long = "data", value_name = "DATA", conflicts_with = "data_path")]
    data_named: Option<PathBuf>,
}

impl RunData {
    pub fn get(&self) -> Option<&PathBuf> {
        self.data_path.as_ref().or(self.data_named.as_ref())
    }
}

/// Where the data of several runs is: what stands by position are all runs.
#[derive(clap::Args)]
pub struct RunsData {
    /// Where the runs' data is now, or the folder in which it is
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
}

impl RunsData {
    pub fn get(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// If a positional argument is no run, adds to the error that data is named with `--data`.
    pub fn explain(error: Error) -> Error {
        let in_run =
            |path: &Path| path.parent().is_some_and(|run| run.is_dir() && files::model_file(run).is_ok());
        match error {
            Error::Model { path, message } if !is_model(&path) && !in_run(&path) => {
                Error::model(path, format!("{message}; data is named, with ``data``"))
            }
            Error::Io { path, source } if source.kind() == ErrorKind::NotFound && !is_model(&path) => {
                Error::model(path, "no such run; data is named, with ``data``")
            }
            error => error,
        }
    }
}

/// A trained model, or data.
#[derive(clap::Args)]
pub struct RunOrData {
    /// A run folder or a .safetensors file; or data as train takes it
    #[arg(value_name = "RUN|DATA")]
    what: Option<PathBuf>,
    #[command(flatten)]
    data: RunData,
}

/// The meaning of the arguments: a run and where its data is now, or data.
pub enum What<'a> {
    Run(&'a Path, Option<&'a PathBuf>),
    Data(Option<&'a PathBuf>),
}

impl RunOrData {
    pub fn get(&self) -> Result<What<'_>> {
        match (&self.what, self.data.get()) {
            (Some(what), data) if is_model(what) => Ok(What::Run(what, data)),
            _ => self.only_data().map(What::Data),
        }
    }

    /// The first argument as a run, without a check, and where its data is now.
    pub fn only_run(&self) -> Option<(&Path, Option<&PathBuf>)> {
        self.what.as_deref().map(|what| (what, self.data.get()))
    }

    /// The argument as data, without a check; two are refused.
    pub fn only_data(&self) -> Result<Option<&PathBuf>> {
        if let (Some(what), Some(data)) = (&self.what, self.data.get()) {
            let (what, data) = (what.display(), data.display());
            return Err(Error::usage(format!("the data is said twice, {what} and {data}; say it once")));
        }
        Ok(self.what.as_ref().or(self.data.get()))
    }
}

/// Whether a path is a run folder or a model file rather than data.
pub fn is_model(path: &Path) -> bool {
    path.is_dir() || path.extension().is_some_and(|extension| extension == "safetensors")
}

/// Reads the model of a run or a file; returns the file's path too.
pub fn read_model(path: &Path) -> Result<(PathBuf, Checkpoint)> {
    let file = files::model_file(path)?;
    let checkpoint = read_checkpoint(&file)?;
    Ok((file, checkpoint))
}

/// Reads a model's file.
pub fn read_checkpoint(file: &Path) -> Result<Checkpoint> {
    let checkpoint = Checkpoint::read(file).map_err(|error| match error {
        Error::Io { path, source } if source.kind() == ErrorKind::NotFound => {
            Error::model(path, "no such run or model file; charloom train makes one")
        }
        error => error,
    })?;
    detail(format_args!("the model is read: {}", file.display()));
    Ok(checkpoint)
}

/// The model's settings of a run whose weights a training begins with.
fn model_to_begin_with(run: &Path) -> Result<ModelConfig> {
    let (_, checkpoint) = read_model(run)?;
    models::refuse_mixture(&checkpoint.config).map_err(|_| {
        let first = files::seed_folder(run, 1);
        let such = if first.is_dir() { format!(", such as {}", first.display()) } else { String::new() };
        Error::model(run, format!("a mixture has no weights of its own; name the run of a member{such}"))
    })?;
    Ok(checkpoint.config.model)
}

/// Loads a configuration's data, and fills in the settings that depend on it, such as the split.
pub fn load_data(config: &mut Config) -> Result<Data> {
    let data = charloom::load_data(config)?;
    detail("the data is read");
    Ok(data)
}

/// Loads the data of the run at `path`; `moved` is where it is now, if it was moved.
pub fn reload_data(
    config: &DataConfig,
    vocab: Option<Vocab>,
    path: &Path,
    moved: Option<&Path>,
) -> Result<Data> {
    let data = charloom::reload_data(config, vocab, path, moved)?;
    detail("the data is read");
    Ok(data)
}

/// A configuration: of a preset, a file and flags.
#[derive(clap::Args)]
pub struct Settings {
    /// Begin from a built-in configuration; see charloom presets
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Begin from a configuration file, such as a run's config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub data_flags: DataFlags,
    #[command(flatten)]
    pub model_flags: ModelFlags,
    #[command(flatten)]
    pub train_flags: TrainFlags,
}

impl Settings {
    pub fn preset(&self) -> Option<&str> {
        self.preset.as_deref()
    }

    /// The configuration file, if one is named.
    pub fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Whether a preset or a file is named.
    pub fn has_base(&self) -> bool {
        self.preset.is_some() || self.config.is_some()
    }

    /// Whether a flag of data, model or training is given.
    pub fn has_flags(&self) -> bool {
        self.has_flags_but(&DataFlags::default())
    }

    /// Whether any setting is given, in whatever way.
    pub fn has_any(&self) -> bool {
        self.has_base() || self.has_flags()
    }

    fn has_flags_but(&self, data_flags: &DataFlags) -> bool {
        self.data_flags != *data_flags
            || self.model_flags != ModelFlags::default()
            || self.train_flags != TrainFlags::default()
    }

    /// Refuses each of these training flags that is given.
    pub fn refuse(&self, flags: &[&[&str]], why: &str) -> Result<()> {
        self.train_flags.refuse(flags, why)
    }

    /// Refuses the training flags where nothing is trained and no other run is read.
    pub fn refuse_training(&self) -> Result<()> {
        self.refuse(&[&["steps"], RATES, EVALUATIONS, OPTIMIZER, RUNS], "nothing is trained here")
    }

    /// Refuses settings beside a run, which has its own.
    pub fn refuse_beside_run(&self) -> Result<()> {
        if self.has_any() {
            return Err(Error::usage("a run has its own settings; leave out the other ones, or the run"));
        }
        Ok(())
    }

    /// The settings of a run's data. With `moved` any contents are accepted, and --lossy is the one flag
    /// allowed beside a run.
    pub fn data_of_run(&self, own: &DataConfig, moved: Option<&PathBuf>) -> Result<DataConfig> {
        let is_lossy = moved.is_some() && !self.has_base() && !self.has_flags_but(&DataFlags::lossy());
        if !is_lossy {
            self.refuse_beside_run()?;
        }
        Ok(match moved {
            Some(_) => DataConfig { sha256: None, lossy: own.lossy || is_lossy, ..own.clone() },
            None => own.clone(),
        })
    }

    /// The configuration of preset, file and flags, with this data.
    pub fn config(&self, data: Option<&PathBuf>) -> Result<Config> {
        self.config_from(None, data)
    }

    /// As [`Settings::config`], with a default for the preset.
    pub fn config_from(&self, preset: Option<&str>, data: Option<&PathBuf>) -> Result<Config> {
        let mut config = self.base(preset)?;
        self.apply(data, &mut config)?;
        Ok(config)
    }

    /// The configuration of preset and file, without the flags but for the model of --init-from.
    pub fn base(&self, preset: Option<&str>) -> Result<Config> {
        let mut config = args::base(self.preset().or(preset), self.config.as_deref())?;
        if let Some(run) = self.model_of().filter(|_| preset.is_none()) {
            config.model = model_to_begin_with(run)?;
        }
        Ok(config)
    }

    /// The run of --init-from, if the model's settings are that run's.
    fn model_of(&self) -> Option<&Path> {
        self.train_flags.start.init_from.as_deref().filter(|_| !self.has_base())
    }

    /// Reads the data of a configuration, which `charloom::resolve_config` has still to complete. A context that only
    /// the run of --init-from gives is left out where words are read whole.
    pub fn read_data(&self, config: &mut Config) -> Result<Data> {
        let data = charloom::read_data(config)?;
        let is_of_run = self.model_of().is_some() && !self.model_flags.has_context();
        if is_of_run && models::reads_whole_words(config, data.mode())? {
            config.model.unset("context");
        }
        Ok(data)
    }

    /// Loads the data of a configuration, and fills in the settings that depend on it, such as the split.
    pub fn load_data(&self, config: &mut Config) -> Result<Data> {
        let data = self.read_data(config)?;
        charloom::resolve_config(config, &data)?;
        detail("the data is read");
        Ok(data)
    }

    /// Applies the flags to a configuration.
    pub fn apply(&self, data: Option<&PathBuf>, config: &mut Config) -> Result<()> {
        self.data_flags.apply(data, config);
        self.model_flags.apply(config)?;
        self.train_flags.apply(config)?;
        config.resolve_seeds();
        self.data_flags.check(config)
    }
}
