//! `charloom train`.

mod begin;

use std::path::{Path, PathBuf};

use charloom::data::{Data, Mode};
use charloom::ensemble::Ensemble;
use charloom::files::{self, RunFolder, Timing};
use charloom::models::{self, LanguageModel};
use charloom::sample::{self, KnownWords, Sample, SampleOptions, Sampler};
use charloom::size::Size;
use charloom::threads::{self, MAX_THREADS, Pool};
use charloom::train::{End, FitOptions, Threads, Training};
use charloom::{Checkpoint, Config, Error, Result};
use serde_json::{Value, json};

use crate::dashboard;
use crate::output::{self, Out, detail, flags, name, note};
use crate::setup::{DataPath, Settings, load_data};
use crate::watch::{self, Watch};
use crate::{ensemble, eval};

/// Train a model; without arguments, on the embedded names
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    #[command(flatten)]
    data: DataPath,
    /// Choose the settings by the amount of data: tiny, small, medium, large (seconds to an hour); flags come on top.
    /// In the end it says whether counts of n-grams do better, or help in a mixture
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["preset", "init_from"])]
    size: Option<Size>,
    /// Train N models with consecutive seeds, and mix them, each with the same weight; charloom mix fits weights to
    /// their runs in RUN/seed-1, ... [default: 1]
    #[arg(long, value_name = "N", conflicts_with_all = ["report", "dashboard", "tensorboard"])]
    seeds: Option<u64>,
    /// The run folder [default: the next free one in runs/]
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on with the run in --out, or begin it; with its own settings, to more --steps if they are more
    #[arg(long, requires = "out", conflicts_with = "force")]
    resume: bool,
    /// Replace the run in --out
    #[arg(long)]
    force: bool,
    /// Look at the layers now and then, for charloom inspect and plot; costs a few percent of the time
    #[arg(long)]
    pub diagnostics: bool,
    /// Watch on the whole screen, with keys: q stops, p pauses, l lowers the learning rate; turns on --diagnostics
    #[arg(long)]
    pub dashboard: bool,
    /// Write event files for TensorBoard; turns on --diagnostics
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// At the end, write a page about the run to report.html in its folder
    #[arg(long)]
    report: bool,
    /// Most threads to compute with; the results are the same for any number [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS as i64))]
    threads: Option<u16>,
    #[command(flatten)]
    settings: Settings,
}

impl Args {
    /// Whether nothing but the data is given: model and training are the defaults.
    fn is_bare(&self) -> bool {
        let begun = self.settings.has_base() || self.size.is_some() || self.seeds.is_some() || self.resume;
        !self.settings.has_flags() && !begun
    }

    /// The options of a training that are not in its configuration.
    pub fn fit(&self) -> FitOptions {
        let threads = match self.threads {
            Some(threads) => Threads::Pool(Pool::new(threads.into())),
            None => Threads::Measured(threads::available()),
        };
        let diagnose = self.diagnostics || self.dashboard || self.tensorboard.is_some();
        FitOptions { threads, diagnose, ..FitOptions::default() }
    }
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    if args.dashboard {
        dashboard::prepare(out.refuses_color())?;
    }
    if let (Some(path), true) = (&args.out, args.resume)
        && let Some(ensemble) = Ensemble::resume(path)?
    {
        let (ensemble, data) = begin::resume_ensemble(ensemble, args)?;
        check(args, ensemble.config())?;
        return ensemble::run(args, ensemble, &data, out);
    }
    let resumed = match &args.out {
        Some(path) if args.resume && RunFolder::has_checkpoint(path) => Some(begin::resume(path, args)?),
        _ => None,
    };
    let mut config = match &resumed {
        Some((_, checkpoint, data)) => Config { data: data.clone(), ..checkpoint.config.clone() },
        None => begin::configured(args)?,
    };
    if resumed.is_none() {
        models::refuse_mixture(&config)?;
    }
    let data = match (args.size, &resumed) {
        (Some(size), None) => begin::sized(size, args, &mut config)?,
        (None, None) => args.settings.load_data(&mut config)?,
        (_, Some(_)) => load_data(&mut config)?,
    };
    check(args, &config)?;
    let card = data.card(models::context(&config.model)?);
    note(flags(&card.to_string()));
    for warning in &card.warnings {
        note(format_args!("warning: {}", flags(warning)));
    }
    if let Some(parameters) = models::parameters(&config, data.vocab.len())? {
        note(format_args!("  parameters  {parameters}"));
    }
    if resumed.is_none() && config.train.seeds > 1 {
        let ensemble = Ensemble::create(&config, &data, || begin::new_run(args, &config))?;
        return ensemble::run(args, ensemble, &data, out);
    }
    // Settings are checked before the run folder is made, and the folder is made before training.
    let (training, mut run) = match resumed {
        Some((run, checkpoint, _)) if models::has_no_steps(&checkpoint.config)? => {
            let kind = &checkpoint.config.model.kind;
            note(format_args!("a model of kind {kind} is made at once; nothing is left to do"));
            (None, run)
        }
        Some((run, checkpoint, _)) => {
            (Some(Training::resume(&checkpoint, &data, run.path(), args.fit())?), run)
        }
        None => {
            let training = Training::new(&config, &data, args.fit())?;
            if let Some(trainer) = training.trainer() {
                config = trainer.config().clone();
                if let Some(size @ 1..) = config.train.eval_size {
                    let way = "--eval-size 0 judges all";
                    note(format_args!("evaluations judge {size} characters of the training split; {way}"));
                }
            }
            (Some(training), begin::new_run(args, &config)?)
        }
    };
    detail(format_args!("the model is made: {}", config.model.kind));
    let path = run.path().to_path_buf();
    let mut training = training;
    let is_done = match &mut training {
        Some(training) => {
            begin::note_new_characters(training, args);
            train(args, training, &mut run, !out.json)?
        }
        None => true,
    };
    if !is_done {
        return stopped(&path, out);
    }
    detail("trained");
    // A counted model is in memory as it was saved; of a trained model the best weights are in the run's
    // file.
    let mut counted = training.filter(|training| training.steps().is_none());
    let read;
    let (model, step) = match &mut counted {
        Some(counted) => (counted.model(), 1),
        None => {
            let file = files::model_file(&path)?;
            let checkpoint = Checkpoint::read(&file)?;
            read = models::open(&checkpoint, &file)?;
            (&*read, checkpoint.step)
        }
    };
    let samples = if config.notebook.is_some() && data.mode() == Mode::Lines {
        write_as_notebook(&data, &run)
    } else {
        write_samples(model, &data, &run)
    };
    let samples = samples.map_err(|error| explain_full_disk(error, &path))?;
    if args.report {
        let page = path.join(files::REPORT);
        let moved = args.data.get().map(PathBuf::as_path).filter(|_| args.resume);
        let written = crate::report::write(&path, moved, &page);
        written.map_err(|error| explain_full_disk(error, &path))?;
        note(format_args!("report written to {}", page.display()));
    }
    match report(model, &config, &data, &path, &samples, out) {
        Err(Error::Interrupted) => {
            note("stopped after the training, before its losses were printed");
            note_saved(&path, &data);
            return stopped(&path, out);
        }
        shown => shown?,
    }
    note_saved(&path, &data);
    begin::note_overfitting(&config, &data, step)?;
    begin::note_ngrams(args, model, &config, &data, &path)?;
    if args.is_bare() {
        begin::note_larger_size(args, &config, &data, Timing::read(&path))?;
    }
    Ok(())
}

/// Refuses flags that have no effect on this kind of model.
fn check(args: &Args, config: &Config) -> Result<()> {
    let kind = &config.model.kind;
    if args.diagnostics && !models::has_window(config)? {
        let why = "has no layers over a window to look at";
        return Err(Error::usage(format!("--diagnostics has no effect: a model of kind {kind:?} {why}")));
    }
    if args.threads.is_some() && models::has_no_steps(config)? {
        return Err(Error::usage(format!(
            "--threads has no effect: a model of kind {kind:?} is counted on one"
        )));
    }
    Ok(())
}

/// The result of a training that was stopped.
pub fn stopped(path: &Path, out: &mut Out) -> Result<()> {
    if out.json { out.object(&json!({"run": name(path), "stopped": true})) } else { Ok(()) }
}

/// Prints where a run is saved, and the commands to try next.
pub fn note_saved(path: &Path, data: &Data) {
    let path = path.display();
    let is_judged = data.splits.test.tokens().len() > usize::from(data.mode() == Mode::Text);
    let eval = if is_judged { format!(", charloom eval {path} --split test") } else { String::new() };
    note(format_args!("saved in {path}; next: charloom sample {path}{eval}"));
}

/// Adds to the error of a full disk how the run at `path`, whose folder was made, goes on.
pub fn explain_full_disk(error: Error, path: &Path) -> Error {
    output::explain_full_disk(error, || format!("once there is room, {}", watch::go_on(path)))
}

/// Trains, and prints why it ended early; false if it was stopped. `for_people` as in [`Watch::open`].
fn train(args: &Args, training: &mut Training<'_>, run: &mut RunFolder, for_people: bool) -> Result<bool> {
    watch::listen(run.path())?;
    let mut watch = Watch::open(args, run.path(), training.steps(), for_people)?;
    let outcome = training.run(Some(run), &watch::STOP, &mut watch);
    // If there is a dashboard, this restores the terminal.
    drop(watch);
    let outcome = outcome.map_err(|error| explain_full_disk(error, run.path()))?;
    if outcome.end == End::OutOfPatience {
        let step = outcome.step;
        note(format_args!("stopped early at step {step}: no better loss for --patience evaluations"));
    }
    if outcome.end == End::Stopped {
        watch::note_stopped(run.path(), Some(outcome.step));
    }
    Ok(outcome.end != End::Stopped)
}

/// The losses of the finished model on the training split, or as much of it as the training's evaluations judge
/// (all of a large split could take longer than the training), and on the validation split.
fn losses(model: &dyn LanguageModel, config: &Config, data: &Data) -> Result<Vec<eval::Row>> {
    let sample = config.train.sample_of(&data.splits.train);
    let judged = sample.as_ref().unwrap_or(&data.splits.train);
    let mut rows: Vec<eval::Row> = eval::row("train", model, data, judged, None)?.into_iter().collect();
    if data.splits.val.tokens().len() > 1 {
        rows.extend(eval::rows(model, data, "val", None)?);
    }
    Ok(rows)
}

/// The result of a training for `--json`.
pub fn object(
    model: &dyn LanguageModel,
    config: &Config,
    data: &Data,
    path: &Path,
    samples: &[Sample],
) -> Result<Value> {
    let rows = losses(model, config, data)?;
    let last =
        rows.last().ok_or_else(|| Error::Failed("nothing in the training split is judged".to_owned()))?;
    let parameters = models::parameters(config, data.vocab.len())?;
    let mut object = json!({"run": name(path), "parameters": parameters});
    for row in &rows {
        object[row.name] = json!(row.evaluation);
    }
    let flat = json!(last.evaluation);
    for (key, value) in flat.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object["baselines"] = json!(last.baselines);
    object["samples"] = json!(samples);
    Ok(object)
}

/// Prints the losses and samples of the finished model.
fn report(
    model: &dyn LanguageModel,
    config: &Config,
    data: &Data,
    path: &Path,
    samples: &[Sample],
    out: &mut Out,
) -> Result<()> {
    if out.json {
        return out.object(&object(model, config, data, path, samples)?);
    }
    let mut rows = losses(model, config, data)?;
    if config.train.is_sampled(&data.splits.train)
        && let Some(train) = rows.first_mut()
    {
        train.name = "train (sample)";
    }
    eval::print(&rows, None, out)?;
    let shown = if config.notebook.is_some() { samples.len() } else { samples.len().min(10) };
    print_samples(&samples[..shown], data.vocab.mode(), out)
}

/// Samples twenty words, or one text, and writes them into the run.
pub fn write_samples(model: &dyn LanguageModel, data: &Data, run: &RunFolder) -> Result<Vec<Sample>> {
    let is_text = data.vocab.mode() == Mode::Text;
    let n = if is_text { 1 } else { SampleOptions::default().n };
    let known = (!is_text).then(|| KnownWords::of(&data.splits));
    let options = SampleOptions { n, ..SampleOptions::default() };
    write(Sampler::new(model, &data.vocab, options, known.as_ref())?, run)
}

/// Samples as the notebook of the run's preset did, with the last weights, and writes them into the run.
fn write_as_notebook(data: &Data, run: &RunFolder) -> Result<Vec<Sample>> {
    let file = files::last_file(run.path())?;
    let last = Checkpoint::read(&file)?;
    let (options, generator) = sample::notebook(&last)?;
    note("the samples are drawn as the notebook drew its own, from the last weights");
    let (model, known) = (models::open(&last, &file)?, KnownWords::of(&data.splits));
    write(Sampler::new(&*model, &data.vocab, options, Some(&known))?.with_generator(generator), run)
}

fn write(sampler: Sampler<'_>, run: &RunFolder) -> Result<Vec<Sample>> {
    let samples = sampler.collect::<Result<Vec<_>>>()?;
    run.write_samples(&samples.iter().fold(String::new(), |all, sample| all + &sample.text + "\n"))?;
    Ok(samples)
}

/// Prints the text, or the words, each with whether the data has it.
fn print_samples(samples: &[Sample], mode: Mode, out: &mut Out) -> Result<()> {
    out.line("")?;
    let row = |sample: &Sample| {
        let mark = sample.novelty.map_or(String::new(), |novelty| novelty.to_string());
        let cut = if sample.truncated && !mark.is_empty() { ", cut off" } else { "" };
        (out.shown(&sample.text, mode), mark + cut)
    };
    let rows: Vec<_> = samples.iter().map(row).collect();
    let width = rows.iter().map(|(text, _)| text.chars().count()).max().unwrap_or(0);
    for (text, mark) in rows {
        out.line(if mark.is_empty() { text } else { format!("{text:<width$}  {mark}") })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_full_disk_is_told_how_the_run_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let run = home.path();
        let of = |kind: ErrorKind| explain_full_disk(Error::io("r/last", kind.into()), run).to_string();
        let begin = format!("the same command with --resume --out {} begins anew", run.display());
        assert_eq!(
            of(ErrorKind::StorageFull),
            format!("r/last: no storage space; once there is room, {begin}")
        );
        std::fs::write(run.join("last.safetensors"), "").unwrap();
        let go_on = format!("charloom train --resume --out {} goes on", run.display());
        assert!(of(ErrorKind::QuotaExceeded).ends_with(&format!("; once there is room, {go_on}")));
        assert!(!of(ErrorKind::PermissionDenied).contains("--resume"));
    }
}
