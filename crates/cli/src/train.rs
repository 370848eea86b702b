//! `charloom train`.

mod begin;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use charloom::data::{Data, Mode};
use charloom::files::{self, NamedTensor, RunFolder, Timing};
use charloom::models::{self, LanguageModel};
use charloom::sample::{self, Known, Sample, SampleOptions, Sampler};
use charloom::size::Size;
use charloom::threads::{self, MAX_THREADS, Pool};
use charloom::train::{self, End, Event, Observer, Threads, Trainer};
use charloom::{Checkpoint, Config, Error, Result};
use charloom_plot::tensorboard::TensorBoard;
use indicatif::ProgressBar;
use serde_json::json;

use crate::dashboard::{self, Dashboard};
use crate::eval;
use crate::output::{self, Out, detail, flags, note};
use crate::setup::{DataPath, Settings};

/// Train a model; without arguments, on the embedded names
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    data: DataPath,
    /// Choose the settings by the amount of data: tiny, small, medium, large (seconds to an hour); flags come on top
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["preset", "init_from"])]
    size: Option<Size>,
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
    diagnostics: bool,
    /// Watch on the whole screen, with keys: q stops, p pauses, l lowers the learning rate; with --diagnostics
    #[arg(long)]
    dashboard: bool,
    /// Write event files for TensorBoard; with --diagnostics
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
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
    /// Whether everything is left to the program: the data, the model and the training.
    fn is_bare(&self) -> bool {
        let begun = self.settings.has_base() || self.size.is_some() || self.resume;
        !self.settings.has_flags() && !begun && self.data.get().is_none()
    }
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    if args.dashboard {
        dashboard::check()?;
    }
    let resumed = match &args.out {
        Some(path) if args.resume && RunFolder::has_checkpoint(path) => Some(begin::resume(path, args)?),
        _ => None,
    };
    let mut config = match &resumed {
        Some((_, checkpoint, data)) => Config { data: data.clone(), ..checkpoint.config.clone() },
        None => begin::configured(args)?,
    };
    let data = match (args.size, &resumed) {
        (Some(size), None) => begin::sized(size, args, &mut config)?,
        _ => charloom::load_data(&mut config)?,
    };
    detail("the data is read");
    let card = data.card(models::context(&config.model)?);
    note(&card);
    for warning in &card.warnings {
        note(format_args!("warning: {}", flags(warning)));
    }
    if let Some(parameters) = models::parameters(&config, data.vocab.len())? {
        note(format_args!("  parameters  {parameters}"));
    }
    // What can be wrong is found before anything is written, and an output that cannot be written before training.
    let (job, mut run) = match resumed {
        Some((run, checkpoint, _)) => (Job::resume(&checkpoint, &data, run.path())?, run),
        None => (Job::new(&config, &data)?, begin::new_run(args, &config)?),
    };
    detail(format_args!("the model is made: {}", config.model.kind));
    let path = run.path().to_path_buf();
    let is_done = match job {
        Job::Train(trainer) => {
            if let (Some(run), false) = (&trainer.config().train.init_from, args.resume) {
                let known = match trainer.new_characters() {
                    [] => "it knows all characters".to_owned(),
                    new => format!(
                        "new characters, as drawn: {}",
                        output::shown(&new.iter().collect::<String>(), Mode::Lines)
                    ),
                };
                note(format_args!("begins with the weights of {}; {known}", run.display()));
            }
            let threads = match args.threads {
                Some(threads) => Threads::Pool(Pool::new(threads.into())),
                None => Threads::Measured(threads::available()),
            };
            train(args, &mut trainer.with_threads(threads), &mut run)?
        }
        Job::Save(model, tensors) => {
            train::save_counted((&*model, tensors), &config, &data, &mut run)?;
            true
        }
        Job::Done => true,
    };
    if !is_done {
        return if out.json { out.object(&json!({"run": path, "stopped": true})) } else { Ok(()) };
    }
    detail("trained");
    let file = files::model_file(&path)?;
    let model = models::open(&Checkpoint::read(&file)?, &file)?;
    let samples = if config.notebook.is_some() && data.mode() == Mode::Lines {
        write_as_notebook(&data, &run)?
    } else {
        write_samples(&*model, &data, &run)?
    };
    if args.report {
        let page = path.join(files::REPORT);
        crate::report::write(&path, args.data.get().map(PathBuf::as_path).filter(|_| args.resume), &page)?;
        note(format_args!("report written to {}", page.display()));
    }
    report(&*model, &config, &data, &path, &samples, out)?;
    let folder = path;
    let path = folder.display();
    let eval = if data.splits.test.is_empty() {
        String::new()
    } else {
        format!(", charloom eval {path} --split test")
    };
    note(format_args!("saved in {path}; next: charloom sample {path}{eval}"));
    if args.is_bare() {
        begin::offer(&config, &data, Timing::read(&folder))?;
    }
    Ok(())
}

/// What is to be done in a run.
enum Job {
    /// Saving a model that is counted already, which takes no time.
    Save(Box<dyn LanguageModel>, Vec<NamedTensor>),
    Train(Box<Trainer>),
    /// Nothing: a model that is counted was counted at once.
    Done,
}

impl Job {
    fn resume(checkpoint: &Checkpoint, data: &Data, path: &Path) -> Result<Self> {
        if models::counts(&checkpoint.config)? {
            let kind = &checkpoint.config.model.kind;
            note(format_args!("a model of kind {kind} is made at once; nothing is left to do"));
            return Ok(Self::Done);
        }
        Ok(Self::Train(Box::new(Trainer::resume(checkpoint, data, path)?)))
    }

    fn new(config: &Config, data: &Data) -> Result<Self> {
        if models::counts(config)? {
            let (model, tensors) = models::count(config, data)?;
            return Ok(Self::Save(model, tensors));
        }
        Ok(Self::Train(Box::new(Trainer::new(config, data)?)))
    }
}

/// Set by Ctrl-C or SIGTERM: finish the step, save, end.
static STOP: AtomicBool = AtomicBool::new(false);

fn train(args: &Args, trainer: &mut Trainer, run: &mut RunFolder) -> Result<bool> {
    let handled = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            // Asked twice: at once, without saving.
            dashboard::restore();
            std::process::exit(130);
        }
    });
    handled.map_err(|error| Error::Failed(format!("cannot listen for Ctrl-C: {error}")))?;
    let board = args.tensorboard.as_deref().map(TensorBoard::create).transpose()?;
    if args.diagnostics || args.dashboard || board.is_some() {
        trainer.diagnose()?;
    }
    let steps = trainer.config().train.steps;
    let dashboard =
        if args.dashboard { Dashboard::open(&run.path().display().to_string(), steps)? } else { None };
    if args.dashboard && dashboard.is_none() {
        note("--dashboard needs a terminal; here is the bar");
    }
    let show = match dashboard {
        Some(dashboard) => Show::Dashboard(Box::new(dashboard)),
        None => Show::Bar(Progress { bar: output::bar(steps, "training"), evaluated: None }),
    };
    if let Show::Bar(Progress { bar, .. }) = &show {
        bar.set_position(trainer.steps_done());
        bar.reset_eta();
    }
    let mut watch = Watch { board, show };
    let outcome = train::run(trainer, run, &STOP, &mut watch);
    if let Show::Bar(progress) = &mut watch.show {
        progress.print(None);
        progress.bar.finish_and_clear();
    }
    // A dashboard gives the terminal back.
    drop(watch);
    let outcome = outcome?;
    match outcome.end {
        End::Finished => Ok(true),
        End::OutOfPatience => {
            note(format_args!(
                "stopped early at step {}: no better loss for --patience evaluations",
                outcome.step
            ));
            Ok(true)
        }
        End::Stopped => {
            let path = run.path().display();
            let way = format!("go on with: charloom train --resume --out {path}");
            note(format_args!("stopped at step {}, saved; {way}", outcome.step));
            Ok(false)
        }
    }
}

/// How a training is shown.
enum Show {
    Dashboard(Box<Dashboard>),
    Bar(Progress),
}

/// A bar, and a line for each evaluation.
struct Progress {
    bar: ProgressBar,
    /// The step and the losses of an evaluation that is not printed yet: its step's minibatch comes first.
    evaluated: Option<(u64, String)>,
}

/// Where what a training tells goes.
struct Watch {
    board: Option<TensorBoard>,
    show: Show,
}

impl Observer for Watch {
    fn event(&mut self, trainer: &mut Trainer, event: &Event) -> Result<()> {
        if let Some(board) = &mut self.board {
            board.observe(trainer, event)?;
        }
        match &mut self.show {
            Show::Dashboard(dashboard) => dashboard.observe(trainer, event, &STOP)?,
            Show::Bar(progress) => progress.advance(event),
        }
        Ok(())
    }

    fn evaluating(&mut self, step: u64, split: &'static str, share: f64) -> Result<()> {
        match &mut self.show {
            Show::Dashboard(dashboard) => dashboard.evaluating(step, split, share, &STOP)?,
            Show::Bar(progress) => progress.bar.set_message(evaluating(split, share)),
        }
        Ok(())
    }
}

/// What is evaluated, and how far it has come.
pub fn evaluating(split: &str, share: f64) -> String {
    format!("evaluating {split}, {:.0} %", share * 100.0)
}

impl Progress {
    fn advance(&mut self, event: &Event) {
        match event {
            Event::Looked(_) => {}
            Event::Step { step, loss, lr } | Event::Tick { step, loss, lr } => {
                self.print(Some((*step, *loss)));
                self.bar.set_position(*step);
                self.bar.set_message(format!("loss {loss:.3}  lr {lr:.4}"));
            }
            Event::Evaluated { step, train, val, best } => {
                self.print(None);
                self.bar.set_position(*step);
                let val = val.map_or(String::new(), |val| format!("  val {:.4}", val.loss));
                let best = if *best { "  best so far" } else { "" };
                self.evaluated = Some((*step, format!("train {:.4}{val}{best}", train.loss)));
            }
        }
    }

    /// Prints the last evaluation; `batch` is a step and its minibatch's loss before the update.
    fn print(&mut self, batch: Option<(u64, f32)>) {
        if let Some((step, losses)) = self.evaluated.take() {
            let batch = batch.filter(|(at, _)| *at == step);
            let batch = batch.map_or(String::new(), |(_, loss)| format!("batch {loss:.4}  "));
            self.bar.suspend(|| note(format_args!("step {step:>8}  {batch}{losses}")));
        }
    }
}

/// The losses of the finished model, and what to do with it.
fn report(
    model: &dyn LanguageModel,
    config: &Config,
    data: &Data,
    path: &Path,
    samples: &[Sample],
    out: &mut Out,
) -> Result<()> {
    let mut rows = eval::rows(model, data, "train")?;
    if data.splits.val.tokens().len() > 1 {
        rows.extend(eval::rows(model, data, "val")?);
    }
    if out.json {
        let last = rows.last().expect("the training split has a row");
        let parameters = models::parameters(config, data.vocab.len())?;
        let mut object = json!({"run": path, "parameters": parameters});
        for row in &rows {
            object[row.name] = json!(row.evaluation);
        }
        let flat = json!(last.evaluation);
        for (key, value) in flat.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        object["baselines"] = json!(last.baselines);
        object["samples"] = json!(samples);
        return out.object(&object);
    }
    eval::print(&rows, None, out)?;
    let shown = if config.notebook.is_some() { samples.len() } else { samples.len().min(10) };
    print_samples(&samples[..shown], data.vocab.mode(), out)
}

/// Writes twenty words, or a text, into the run.
pub fn write_samples(model: &dyn LanguageModel, data: &Data, run: &RunFolder) -> Result<Vec<Sample>> {
    let is_text = data.vocab.mode() == Mode::Text;
    let n = if is_text { 1 } else { SampleOptions::default().n };
    let known = (!is_text).then(|| Known::of(&data.splits));
    let options = SampleOptions { n, ..SampleOptions::default() };
    write(Sampler::new(model, &data.vocab, options, known.as_ref())?, run)
}

/// The same as the notebook of the run's preset drew: with the last weights.
fn write_as_notebook(data: &Data, run: &RunFolder) -> Result<Vec<Sample>> {
    let file = files::last_file(run.path())?;
    let last = Checkpoint::read(&file)?;
    let (options, generator) = sample::notebook(&last)?;
    note("the samples are drawn as the notebook drew its own, from the last weights");
    let (model, known) = (models::open(&last, &file)?, Known::of(&data.splits));
    write(Sampler::new(&*model, &data.vocab, options, Some(&known))?.with_generator(generator), run)
}

fn write(sampler: Sampler<'_>, run: &RunFolder) -> Result<Vec<Sample>> {
    let samples = sampler.collect::<Result<Vec<_>>>()?;
    run.write_samples(&samples.iter().fold(String::new(), |all, sample| all + &sample.text + "\n"))?;
    Ok(samples)
}

/// The words, each with a word on whether the data has it, or the text.
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
