//! `charloom sweep`.

mod show;
mod tuning;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use charloom::config::Config;
use charloom::data::Data;
use charloom::disk::replace_file;
use charloom::{Error, Result};
use charloom_plot::Theme;
use charloom_sweep::{
    Address, Event, Pruning, Sampler, Settings, Spec, State, Study, WorkOptions, parse_choices, parse_range,
    shown,
};
use serde_json::{Value, json};

use crate::output::{Out, detail, flags, name, note};
use crate::plot;
use crate::setup::{self, DataPath, RunData, reload_data};

use show::{none_finished, print_best, show, trials};
use tuning::tuning;

/// Try many settings, and find those of the lowest validation loss
///
/// The flags of data, model and training say what all trials share; --grid and --range what varies. Settings are
/// named as in a configuration, a teacher's teacher_weight and teacher_temperature; layers is the number of hidden
/// layers, preset a whole built-in configuration.
#[derive(clap::Args)]
#[command(
    allow_negative_numbers = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// A file of TOML that says what to try, flags come on top of it; or data as train takes it
    #[arg(value_name = "SPEC.toml|DATA")]
    spec: Option<PathBuf>,
    /// Where the study is: a file, or postgresql://user@host/database#name [default: the next free one in studies/]
    #[arg(long)]
    study: Option<Address>,
    /// Go on with this study, or help with it: any number of processes may
    #[arg(long, value_name = "STUDY", conflicts_with_all = ["spec", "study"])]
    resume: Option<Address>,
    /// Values of a setting, as in embed=2,6,10 or hidden=100,200x200
    #[arg(long, value_name = "NAME=A,B,...", value_parser = parse_choices)]
    grid: Vec<(String, Value)>,
    /// A range of a setting, as in lr=0.001..1.0:log or embed=2..10
    #[arg(long, value_name = "NAME=LOW..HIGH", value_parser = parse_range)]
    range: Vec<(String, Value)>,
    /// grid, random, tpe [default: tpe with ranges, else grid]
    #[arg(long, value_name = "NAME")]
    sampler: Option<Sampler>,
    /// The most trials [default: all of a grid, else 100]
    #[arg(long, value_name = "N")]
    trials: Option<u64>,
    /// The most steps of all trials together
    #[arg(long, value_name = "N")]
    max_steps: Option<u64>,
    /// Begin no trial after this many seconds
    #[arg(long, value_name = "SECONDS")]
    max_seconds: Option<f64>,
    /// Trainings a trial, each with a seed of its own [default: 1]
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// Seed of the sampler [default: 1]
    #[arg(long, value_name = "N")]
    sampler_seed: Option<u64>,
    /// Stop poor trials early: none, asha, hyperband [default: none]
    #[arg(long, value_name = "NAME")]
    prune: Option<Pruning>,
    /// The data by name [default: the embedded names]
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    #[command(flatten)]
    work: WorkArgs,
    #[command(flatten)]
    settings: setup::Settings,
}

#[derive(clap::Args)]
struct WorkArgs {
    /// Trials at once, each on one thread [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print the trials by their validation loss, what mattered, and the best configuration
    Show {
        /// Which study
        study: Address,
        /// Print the trials as comma-separated values
        #[arg(long, conflicts_with = "best")]
        csv: bool,
        /// Print the best configuration alone, for train --config
        #[arg(long)]
        best: bool,
    },
    /// Draw the best so far, parallel coordinates, or the loss against a setting
    Plot {
        /// Which study
        study: Address,
        /// progress, parallel, or the name of a setting
        what: String,
        /// A file to write, .svg or .png; without it the terminal
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// light or dark, of a file [default: light]
        #[arg(long, value_name = "NAME")]
        theme: Option<Theme>,
    },
    /// Write a page about it: one HTML file that needs no network
    Report {
        /// Which study
        study: Address,
        /// The page
        #[arg(short, long, value_name = "FILE", default_value = "study.html")]
        out: PathBuf,
    },
    /// Train the best trial again as a run, evaluate it on the test split, once, and close the study
    Choose {
        /// Which study
        study: Address,
        /// The run folder
        #[arg(long, value_name = "RUN")]
        out: PathBuf,
        #[command(flatten)]
        data: RunData,
    },
    /// Train the fifteen rows of the table that ends notebook 001, and print them beside its figures
    Tuning {
        /// Where the study is; one that is there is gone on with
        #[arg(long, default_value = "studies/tuning.db")]
        study: Address,
        /// Draw parameters as charloom's default does instead of as the notebook does
        #[arg(long)]
        ours: bool,
        /// The notebook's names.txt; without it the embedded names, which are others
        #[command(flatten)]
        data: DataPath,
        #[command(flatten)]
        work: WorkArgs,
    },
}

impl Args {
    /// The file of settings, and the data.
    fn spec_or_data(&self) -> Result<(Option<&PathBuf>, Option<&PathBuf>)> {
        match (&self.spec, &self.data) {
            (Some(path), data) if path.extension().is_some_and(|extension| extension == "toml") => {
                Ok((Some(path), data.as_ref()))
            }
            (Some(path), Some(data)) => {
                let (path, data) = (path.display(), data.display());
                let message = "the data is said twice; say it once (a file of settings ends in .toml)";
                Err(Error::usage(format!("{path}, --data {data}: {message}")))
            }
            (path, data) => Ok((None, path.as_ref().or(data.as_ref()))),
        }
    }
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    match &args.command {
        None => search(args, out),
        Some(Command::Show { study, csv, best }) => {
            let mut study = Study::open(study)?;
            if *csv {
                let trials = trials(&mut study)?;
                return out.text(charloom_sweep::csv(study.space(), &trials));
            }
            if *best {
                return print_best(&mut study, out);
            }
            show(&mut study, out)
        }
        Some(Command::Plot { study, what, out: file, theme }) => {
            let theme = plot::theme(*theme, file.as_deref())?;
            let mut study = Study::open(study)?;
            let trials = study.trials()?;
            let all = charloom_sweep::figures(study.space(), &trials);
            if all.is_empty() {
                return Err(none_finished());
            }
            let Some((_, figure)) = all.iter().find(|(name, _)| name == what) else {
                let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
                return Err(Error::usage(format!("no picture {what:?}; there are {}", names.join(", "))));
            };
            plot::show(figure, file.as_deref(), theme, out)
        }
        Some(Command::Report { study, out: file }) => {
            let page = charloom_sweep::page(&mut Study::open(study)?)?;
            replace_file(file, page.as_bytes()).map_err(|e| Error::io(file, e))?;
            note(format_args!("written to {}; open it in a browser", file.display()));
            if out.json { out.object(&json!({"report": name(file), "bytes": page.len()})) } else { Ok(()) }
        }
        Some(Command::Choose { study, out: folder, data }) => {
            let mut study = Study::open(study)?;
            let data = load(&study, data.get())?;
            if study.chosen()?.is_some_and(|(_, test)| test.is_some()) {
                note("the study was closed before: this is what it recorded, and no run is written");
            }
            listen()?;
            let chosen = charloom_sweep::choose(&mut study, &data, folder, &STOP)?;
            if out.json {
                return out.object(&chosen);
            }
            let charloom_sweep::Chosen { number, validation, test } = chosen;
            out.line(format_args!(
                "trial {number}: validation {validation:.4}, test {test:.4} nats per character"
            ))
        }
        Some(Command::Tuning { study, ours, data, work }) => tuning(study, *ours, data.get(), work, out),
    }
}

fn search(args: &Args, out: &mut Out) -> Result<()> {
    let (mut study, data) = match &args.resume {
        Some(address) => {
            let is_bare = !args.settings.has_flags()
                && !args.settings.has_base()
                && args.grid.is_empty()
                && args.range.is_empty();
            let settled = [
                ("--seeds", args.seeds.is_some()),
                ("--sampler", args.sampler.is_some()),
                ("--sampler-seed", args.sampler_seed.is_some()),
                ("--prune", args.prune.is_some()),
            ];
            let settled = settled.iter().find(|(_, is_given)| *is_given).map(|(flag, _)| *flag);
            if let Some(what) = settled.or((!is_bare).then_some("a setting")) {
                return Err(Error::usage(format!(
                    "{what} has no effect on a study that exists: --resume goes on with its own settings, and takes \
                     --trials, --max-steps and --max-seconds"
                )));
            }
            let mut study = Study::open(address)?;
            study.limit(args.trials, args.max_steps, args.max_seconds)?;
            let data = load(&study, args.data.as_ref())?;
            (study, data)
        }
        None => {
            let (spec, mut base) = specification(args)?;
            let data = args.settings.read_data(&mut base)?;
            resolve_data(&mut base, &data)?;
            charloom_sweep::check_data(&data, &spec)?;
            (Study::create(&address(args)?, &spec, &base)?, data)
        }
    };
    note(format_args!("study {}; go on after a stop, or help: charloom sweep --resume {0}", study.address()));
    work(&mut study, &data, &args.work)?;
    show(&mut study, out)?;
    let trials = study.trials()?;
    if !trials.is_empty() && trials.iter().all(|trial| trial.state == State::Failed) {
        return Err(Error::Failed("every trial failed; see what each said above".to_owned()));
    }
    Ok(())
}

/// Writes the resolved settings of the data into `base`. Other settings that depend on the data are resolved in
/// each trial, since they may depend on the trial's settings too.
fn resolve_data(base: &mut Config, data: &Data) -> Result<()> {
    let mut resolved = base.clone();
    charloom::resolve_config(&mut resolved, data)?;
    base.data = resolved.data;
    detail("the data is read");
    Ok(())
}

/// The specification and the base configuration of file and flags.
fn specification(args: &Args) -> Result<(Spec, Config)> {
    let (spec_file, data) = args.spec_or_data()?;
    let (mut spec, mut base) = match spec_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
            if args.settings.has_base() {
                let way = "put preset or base into the file";
                return Err(Error::usage(format!(
                    "--preset and --config do not go with a file of settings; {way}"
                )));
            }
            Spec::from_toml(&text, path)?
        }
        None => {
            let sampler = if args.range.is_empty() { Sampler::Grid } else { Sampler::Tpe };
            let base = args.settings.base(None)?;
            (Spec { sampler, ..Spec::default() }, base)
        }
    };
    spec.settings.extend(args.grid.iter().chain(&args.range).cloned());
    spec.sampler = args.sampler.unwrap_or(spec.sampler);
    spec.prune = args.prune.unwrap_or(spec.prune);
    spec.trials = args.trials.or(spec.trials);
    spec.max_steps = args.max_steps.or(spec.max_steps);
    spec.max_seconds = args.max_seconds.or(spec.max_seconds);
    spec.seeds = args.seeds.unwrap_or(spec.seeds);
    spec.sampler_seed = args.sampler_seed.unwrap_or(spec.sampler_seed);
    args.settings.apply(data, &mut base)?;
    Ok((spec, base))
}

/// The address of a new study: `--study`, else the next free file in studies/.
fn address(args: &Args) -> Result<Address> {
    if let Some(address) = &args.study {
        return Ok(address.clone());
    }
    let stem = args
        .spec_or_data()?
        .0
        .map(PathBuf::as_path)
        .and_then(Path::file_stem)
        .map_or("sweep".into(), |stem| stem.to_string_lossy());
    let folder = Path::new("studies");
    let numbered = (2..).map(|n| format!("{stem}-{n}"));
    let names = std::iter::once(stem.to_string()).chain(numbered);
    let mut paths = names.map(|name| folder.join(format!("{name}.db")));
    Ok(Address::File(paths.find(|path| !path.exists()).expect("some number is free")))
}

/// Loads the study's data; `path` is where it is now, if that is elsewhere.
fn load(study: &Study, path: Option<&PathBuf>) -> Result<Data> {
    let place = match study.address() {
        Address::File(path) => path,
        Address::Server { .. } => Path::new("."),
    };
    reload_data(&study.base().data, None, place, path.map(PathBuf::as_path))
}

/// Set by Ctrl-C or SIGTERM.
static STOP: AtomicBool = AtomicBool::new(false);

fn listen() -> Result<()> {
    let handled = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            // The second signal ends at once; the study's database stays consistent.
            std::process::exit(130);
        }
    });
    handled.map_err(|error| Error::Failed(format!("cannot listen for Ctrl-C: {error}")))
}

/// Runs trials until none is left, and prints each.
fn work(study: &mut Study, data: &Data, args: &WorkArgs) -> Result<()> {
    listen()?;
    let address = study.address().clone();
    let best = charloom_sweep::best(&study.trials()?).and_then(|trial| Some((trial.loss?, trial.number)));
    let shared = Mutex::new((best, std::collections::HashMap::<u64, Settings>::new()));
    let observe = |event: &Event| {
        let mut shared = shared.lock().unwrap_or_else(|e| e.into_inner());
        match event {
            Event::Begun { number, settings, attempt } => {
                if *attempt > 1 {
                    note(format_args!("trial {number:>4}  taken up again, attempt {attempt}"));
                }
                shared.1.insert(*number, settings.clone());
            }
            Event::Finished { number, state, loss, error } => {
                let settings = shared.1.remove(number).unwrap_or_default();
                if let (State::Done, Some(loss)) = (state, loss)
                    && shared.0.is_none_or(|(best, _)| *loss < best)
                {
                    shared.0 = Some((*loss, *number));
                }
                let loss = loss.map_or(String::new(), |loss| format!(" {loss:.4}"));
                let best =
                    shared.0.map_or(String::new(), |(best, of)| format!("  (best {best:.4}, trial {of})"));
                let error = error.as_ref().map_or(String::new(), |error| format!(": {}", flags(error)));
                note(format_args!("trial {number:>4}  {state}{loss}{error}{best}  {}", line(&settings)));
            }
        }
    };
    let options = WorkOptions { threads: args.threads.map_or(0, usize::from) };
    charloom_sweep::work(&address, data, options, &STOP, &observe)?;
    if STOP.load(Ordering::Relaxed) {
        note(format_args!("stopped; go on with: charloom sweep --resume {address}"));
    }
    Ok(())
}

fn line(settings: &Settings) -> String {
    let each = settings.iter().map(|(name, value)| format!("{name}={}", shown(Some(value))));
    each.collect::<Vec<_>>().join(" ")
}
