//! `charloom train`.

use std::path::{Path, PathBuf};

use charloom::config::ModelKind;
use charloom::data::Data;
use charloom::models::{self, LanguageModel};
use charloom::run::RunFolder;
use charloom::{Checkpoint, Config, Error, Result};
use serde_json::json;

use crate::args::{self, DataFlags, ModelFlags, TrainFlags};
use crate::eval;
use crate::output::{Out, note};

/// Train a model; without arguments, on the embedded names
#[derive(clap::Args)]
pub struct Args {
    /// A file of lines or of running text, - for standard input, or the name of a known data set
    data: Option<PathBuf>,
    /// Begin from a built-in configuration; see charloom presets
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Begin from a configuration file, such as a run's config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The run folder [default: the next free one in runs/]
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on with the run in --out, with its own settings
    #[arg(long, requires = "out", conflicts_with_all = ["preset", "config", "force"])]
    resume: bool,
    /// Replace the run in --out
    #[arg(long)]
    force: bool,
    /// Threads to compute with; any number gives the same results [default: by the machine]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    data_flags: DataFlags,
    #[command(flatten)]
    model_flags: ModelFlags,
    #[command(flatten)]
    train_flags: TrainFlags,
}

impl Args {
    fn has_no_settings(&self) -> bool {
        self.data_flags == DataFlags::default()
            && self.model_flags == ModelFlags::default()
            && self.train_flags == TrainFlags::default()
    }
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let (mut config, resumed) = match (&args.out, args.resume) {
        (Some(path), true) => {
            if !args.has_no_settings() {
                let way = "leave out the flags of data, model and training, or start a new run";
                return Err(Error::usage(format!("--resume goes on with the run's own settings; {way}")));
            }
            let (run, checkpoint) = RunFolder::resume(path)?;
            (checkpoint.config.clone(), Some((run, checkpoint)))
        }
        _ => (args::base(args.preset.as_deref(), args.config.as_deref())?, None),
    };
    if resumed.is_some() {
        config.data.path = args.data.clone().or(config.data.path);
    } else {
        args.data_flags.apply(args.data.as_ref(), &mut config);
        args.model_flags.apply(&mut config);
        args.train_flags.apply(&mut config);
    }
    let data = config.load_data()?;
    let card = data.card(config.model.context);
    note(&card);
    for warning in &card.warnings {
        note(format_args!("warning: {warning}"));
    }
    let (mut run, checkpoint) = match resumed {
        Some((run, checkpoint)) => (run, Some(checkpoint)),
        None => (new_run(args, &config)?, None),
    };
    let path = run.path().to_path_buf();
    let mut model = train(&config, &data, &mut run, checkpoint)?;
    report(&mut *model, &config, &data, &path, out)
}

/// Makes the folder, so that what stands in its way is found before the training.
fn new_run(args: &Args, config: &Config) -> Result<RunFolder> {
    let run = match &args.out {
        Some(path) => RunFolder::create(path, args.force)?,
        None => {
            let name = args.preset.as_deref().unwrap_or(config.model.kind.word());
            RunFolder::create_next(Path::new("runs"), name)?
        }
    };
    run.write_config(config)?;
    Ok(run)
}

fn train(
    config: &Config,
    data: &Data,
    run: &mut RunFolder,
    checkpoint: Option<Checkpoint>,
) -> Result<Box<dyn LanguageModel>> {
    match config.model.kind {
        ModelKind::Ngram if checkpoint.is_some() => Err(Error::usage(
            "--resume: an n-gram model is trained in one pass, there is nothing to go on with",
        )),
        ModelKind::Ngram => Ok(Box::new(models::train_ngram(config, data, run)?)),
        ModelKind::Mlp | ModelKind::Linear => Err(Error::usage("only --model ngram can be trained so far")),
    }
}

/// The losses of the finished model, and what to do with it.
fn report(
    model: &mut dyn LanguageModel,
    config: &Config,
    data: &Data,
    path: &Path,
    out: &mut Out,
) -> Result<()> {
    let mut rows = eval::rows(model, data, "train")?;
    if !data.splits.val.is_empty() {
        rows.extend(eval::rows(model, data, "val")?);
    }
    if out.json {
        let last = rows.last().expect("the training split has a row");
        let parameters = config.model.parameters(data.vocab.len());
        let mut object = json!({"run": path, "parameters": parameters});
        for row in &rows {
            object[row.name] = json!(row.evaluation);
        }
        let flat = json!(last.evaluation);
        for (key, value) in flat.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        object["baselines"] = json!(last.baselines);
        return out.object(&object);
    }
    eval::print(&rows, None, out)?;
    let path = path.display();
    let eval = if data.splits.test.is_empty() {
        String::new()
    } else {
        format!(", charloom eval {path} --split test")
    };
    note(format_args!("saved in {path}; next: charloom sample {path}{eval}"));
    Ok(())
}
