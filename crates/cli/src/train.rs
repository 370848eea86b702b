//! `charloom train`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use charloom::config::{Mode, ModelKind};
use charloom::data::Data;
use charloom::models::{self, LanguageModel};
use charloom::run::{self, RunFolder};
use charloom::sample::{SampleOptions, Sampler};
use charloom::train::{self, End, Event, Trainer};
use charloom::{Checkpoint, Config, Error, Result};
use serde_json::json;

use crate::args::{self, DataFlags, ModelFlags, TrainFlags};
use crate::eval;
use crate::output::{self, Out, note};

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
            if checkpoint.config.model.kind == ModelKind::Ngram {
                return Err(Error::usage("--resume: an n-gram model is trained in one pass, nothing is left to do"));
            }
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
    let is_done = train(&config, &data, &mut run, checkpoint.as_ref())?;
    if !is_done {
        return if out.json { out.object(&json!({"run": path, "stopped": true})) } else { Ok(()) };
    }
    let file = run::model_file(&path)?;
    let best = Checkpoint::read(&file)?;
    let mut model = models::open(&best, &file)?;
    let samples = samples(&mut *model, &data)?;
    run.write_samples(&samples)?;
    report(&mut *model, &config, &data, &path, out)?;
    if !out.json {
        out.line("")?;
        samples.lines().take(10).try_for_each(|line| out.line(line))?;
    }
    let eval = if data.splits.test.is_empty() { String::new() } else { format!(", charloom eval {} --split test", path.display()) };
    note(format_args!("saved in {0}; next: charloom sample {0}{eval}", path.display()));
    Ok(())
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

/// Set by Ctrl-C or SIGTERM: finish the step, save, end.
static STOP: AtomicBool = AtomicBool::new(false);

/// Trains, or counts; false if it was stopped before its end.
fn train(config: &Config, data: &Data, run: &mut RunFolder, checkpoint: Option<&Checkpoint>) -> Result<bool> {
    if config.model.kind == ModelKind::Ngram {
        models::train_ngram(config, data, run)?;
        return Ok(true);
    }
    let mut trainer = match checkpoint {
        Some(checkpoint) => Trainer::resume(checkpoint, data, run.path())?,
        None => Trainer::new(config, data)?,
    };
    let handled = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            // Asked twice: at once, without saving.
            std::process::exit(130);
        }
    });
    handled.map_err(|error| Error::Failed(format!("cannot listen for Ctrl-C: {error}")))?;
    let bar = output::bar(config.train.steps, "training");
    let outcome = train::run(&mut trainer, run, &STOP, &mut |event| match event {
        Event::Step { step, loss, .. } => {
            bar.set_position(*step);
            bar.set_message(format!("loss {loss:.3}"));
        }
        Event::Evaluated { step, train, val, best } => {
            bar.set_position(*step);
            let val = val.map_or(String::new(), |val| format!("  val {:.4}", val.loss));
            let best = if *best { "  best so far" } else { "" };
            bar.suspend(|| note(format_args!("step {step:>8}  train {:.4}{val}{best}", train.loss)));
        }
    })?;
    bar.finish_and_clear();
    match outcome.end {
        End::Finished => {}
        End::OutOfPatience => note(format_args!("stopped early at step {}: no better loss for a while", outcome.step)),
        End::Stopped => {
            let path = run.path().display();
            note(format_args!("stopped at step {}, saved; go on with: charloom train --resume --out {path}", outcome.step));
            return Ok(false);
        }
    }
    Ok(true)
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
    Ok(())
}

/// What samples.txt holds: twenty words, or a text.
fn samples(model: &mut dyn LanguageModel, data: &Data) -> Result<String> {
    let n = if data.vocab.mode() == Mode::Text { 1 } else { SampleOptions::default().n };
    let options = SampleOptions { n, ..SampleOptions::default() };
    let mut text = String::new();
    for sample in Sampler::new(model, &data.vocab, options, None)? {
        text += &sample?.text;
        text.push('\n');
    }
    Ok(text)
}
