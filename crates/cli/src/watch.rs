//! Shows a training while it runs, and stops it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use charloom::data::Mode;
use charloom::files::{CONFIG, RunFolder};
use charloom::sample::{SampleOptions, Sampler};
use charloom::train::{Event, Observer, Trainer};
use charloom::{Config, Error, Result};
use charloom_plot::tensorboard::TensorBoard;
use indicatif::ProgressBar;

use crate::dashboard::{self, Dashboard};
use crate::output::{self, note};
use crate::train::Args;

/// The most columns of a sample that is shown below the bar.
const COLUMNS: usize = 60;
/// Drawing samples takes at most 1/200 of the training's time.
const SAMPLES_SHARE: u32 = 200;

/// Set by Ctrl-C or SIGTERM: finish the step or leave the evaluation, save, end.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// What the messages of Ctrl-C are about.
struct Watched {
    run: PathBuf,
    at: At,
}

/// What is computed.
#[derive(Clone, Copy)]
enum At {
    Step,
    Evaluation,
    /// Something before, between or after trainings.
    Other,
}

static WATCHED: Mutex<Option<Watched>> = Mutex::new(None);

fn watched() -> MutexGuard<'static, Option<Watched>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set_at(at: At) {
    watched().iter_mut().for_each(|watched| watched.at = at);
}

/// Ends the training of this run in order when Ctrl-C or SIGTERM comes, at once when another comes.
pub fn listen(run: &Path) -> Result<()> {
    static LISTENING: Once = Once::new();
    *watched() = Some(Watched { run: run.to_path_buf(), at: At::Other });
    let mut listening = Ok(());
    LISTENING.call_once(|| listening = ctrlc::set_handler(interrupt));
    listening.map_err(|error| Error::Failed(format!("cannot listen for Ctrl-C: {error}")))
}

/// What Ctrl-C does.
pub fn interrupt() {
    if STOP.swap(true, Ordering::Relaxed) {
        let told = watched().as_ref().map(Watched::how_to_go_on);
        dashboard::restore();
        output::clear_bar();
        told.into_iter().for_each(note);
        std::process::exit(130);
    }
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(1));
        // A dashboard tells it by itself.
        if dashboard::is_open() {
            return;
        }
        let told = watched().as_ref().map(Watched::how_it_ends);
        told.into_iter().for_each(output::note_above_bar);
    });
}

impl Watched {
    /// For the first Ctrl-C, if it does not end the training within a second.
    fn how_it_ends(&self) -> String {
        let when = match self.at {
            At::Step => "stops after the step that is being computed, and saves",
            At::Evaluation => "stops within the evaluation that is being computed, and saves",
            At::Other => "finishes what it is at, saves and stops",
        };
        format!("{when}; another Ctrl-C stops at once, without saving")
    }

    /// For the second.
    fn how_to_go_on(&self) -> String {
        let lost = if can_go_on(&self.run) {
            "what came after the last save is lost"
        } else {
            "nothing was saved yet"
        };
        format!("stopped at once; {lost}: {}", go_on(&self.run))
    }
}

/// Whether a run can be gone on with: it has a checkpoint, or is an ensemble's, which trains what it lacks.
fn can_go_on(run: &Path) -> bool {
    let is_ensemble = || Config::read(&run.join(CONFIG)).is_ok_and(|config| config.train.seeds > 1);
    RunFolder::has_checkpoint(run) || is_ensemble()
}

/// The command by which a training that ended early goes on.
pub fn go_on(run: &Path) -> String {
    match (can_go_on(run), run.display()) {
        (true, run) => format!("charloom train --resume --out {run} goes on"),
        (false, run) => format!("the same command with --resume --out {run} begins anew"),
    }
}

/// Prints how to resume what was stopped; `step` is `None` for an ensemble.
pub fn note_stopped(path: &Path, step: Option<u64>) {
    let at = step.map_or(String::new(), |step| format!(" at step {step}"));
    let path = path.display();
    note(format_args!("stopped{at}, saved; go on with: charloom train --resume --out {path}"));
}

/// How a training is shown.
enum Show {
    Dashboard(Box<Dashboard>),
    Bar(TrainingBar),
}

/// A bar, and a line for each evaluation.
struct TrainingBar {
    bar: ProgressBar,
    /// The step and losses of an evaluation to print, once the loss of the step's minibatch is known.
    evaluated: Option<(u64, String)>,
    /// Whether a sample of the model is shown below the bar.
    shows_samples: bool,
    begun: Instant,
    /// The time that drawing samples took.
    spent: Duration,
}

/// Where the events of a training are shown and written.
pub struct Watch {
    board: Option<TensorBoard>,
    show: Show,
}

impl Watch {
    /// Starts to watch a training in a folder. `steps` is how many are done, and how many there are; None for a
    /// model that is counted, which has no steps to show. `for_people`: samples are shown below the bar.
    pub fn open(args: &Args, folder: &Path, steps: Option<[u64; 2]>, for_people: bool) -> Result<Self> {
        set_at(if steps.is_some() { At::Step } else { At::Other });
        let done = steps.map_or(0, |[done, _]| done);
        let create = |folder| TensorBoard::create(folder, done);
        let board = args.tensorboard.as_deref().map(create).transpose()?;
        let Some([done, steps]) = steps else {
            return Ok(Self { board, show: Show::Bar(TrainingBar::new(ProgressBar::hidden(), false)) });
        };
        let dashboard =
            if args.dashboard { Dashboard::open(&folder.display().to_string(), steps)? } else { None };
        if args.dashboard && dashboard.is_none() {
            note("--dashboard needs a terminal; here is the bar");
        }
        let show = match dashboard {
            Some(dashboard) => Show::Dashboard(Box::new(dashboard)),
            None => Show::Bar(TrainingBar::new(output::bar(steps, "training"), for_people)),
        };
        if let Show::Bar(TrainingBar { bar, .. }) = &show {
            bar.set_position(done);
            bar.reset_eta();
        }
        Ok(Self { board, show })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        set_at(At::Other);
        if let Show::Bar(progress) = &mut self.show {
            progress.print(None);
            progress.bar.finish_and_clear();
        }
    }
}

impl Observer for Watch {
    fn event(&mut self, trainer: &mut Trainer, event: &Event) -> Result<()> {
        if let Some(board) = &mut self.board {
            board.observe(trainer, event)?;
        }
        if let Event::Evaluated { .. } = event {
            set_at(At::Step);
        }
        match &mut self.show {
            Show::Dashboard(dashboard) => dashboard.observe(trainer, event)?,
            Show::Bar(progress) => {
                progress.advance(event);
                if let Event::Evaluated { .. } = event {
                    progress.show_example(trainer);
                }
            }
        }
        Ok(())
    }

    fn evaluating(&mut self, step: u64, split: &'static str, share: f64) -> Result<()> {
        set_at(At::Evaluation);
        match &mut self.show {
            Show::Dashboard(dashboard) => dashboard.evaluating(step, split, share)?,
            Show::Bar(progress) => progress.bar.set_message(evaluating(split, share)),
        }
        Ok(())
    }
}

/// A message with the split that is evaluated and the share that is done.
pub fn evaluating(split: &str, share: f64) -> String {
    format!("evaluating {split}, {:.0} %", share * 100.0)
}

/// A sample from the model as it is now: one word, or the beginning of a text, in one line of at most
/// [`COLUMNS`].
fn example(trainer: &mut Trainer) -> Option<String> {
    let (vocab, seed) = (trainer.vocab().clone(), trainer.steps_done());
    let min_length = usize::from(vocab.mode() == Mode::Lines);
    let options = SampleOptions { n: 1, seed, min_length, max_length: COLUMNS, ..SampleOptions::default() };
    // An error here is ignored: it must not end the training.
    let sample = Sampler::new(trainer.model(), &vocab, options, None).ok()?.next()?.ok()?;
    let in_a_row = sample.text.replace(char::is_whitespace, " ");
    let mut columns = 0;
    let fits = |c: &char| {
        // East Asian letters and pictures take two columns.
        columns += if *c < '\u{1100}' { 1 } else { 2 };
        columns <= COLUMNS
    };
    Some(in_a_row.trim().chars().take_while(fits).collect()).filter(|text: &String| !text.is_empty())
}

impl TrainingBar {
    fn new(bar: ProgressBar, shows_samples: bool) -> Self {
        let shows_samples = shows_samples && !bar.is_hidden();
        Self { bar, evaluated: None, shows_samples, begun: Instant::now(), spent: Duration::ZERO }
    }

    /// Shows an example, unless examples took more than their share of the time so far.
    fn show_example(&mut self, trainer: &mut Trainer) {
        if !self.shows_samples || self.spent * SAMPLES_SHARE > self.begun.elapsed() {
            return;
        }
        let since = Instant::now();
        if let Some(text) = example(trainer) {
            output::show_below(&self.bar, &format!("e.g. {}", output::shown(&text, Mode::Lines)));
        }
        self.spent += since.elapsed();
    }

    fn advance(&mut self, event: &Event) {
        match event {
            Event::Diagnostics(_) => {}
            Event::Step { step, loss, lr } | Event::Tick { step, loss, lr } => {
                self.print(Some((*step, *loss)));
                self.bar.set_position(*step);
                self.bar.set_message(format!("loss {loss:.3}  lr {lr:.4}"));
            }
            Event::Evaluated { step, train, val, best } => {
                self.print(None);
                self.bar.set_position(*step);
                self.bar.set_message("");
                let val = val.map_or(String::new(), |val| format!("  val {:.4}", val.loss));
                let best = if *best { "  best so far" } else { "" };
                let train = train.map_or(String::new(), |train| format!("train {:.4}", train.loss));
                self.evaluated = Some((*step, format!("{train}{val}{best}")));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_ctrl_c_says_how_to_go_on_from_what_was_saved() {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().to_path_buf();
        let watched = Watched { run: run.clone(), at: At::Step };
        let anew = format!("nothing was saved yet: the same command with --resume --out {}", run.display());
        assert!(watched.how_to_go_on().contains(&anew));
        let goes_on = format!("charloom train --resume --out {} goes on", run.display());
        std::fs::write(run.join(CONFIG), "train.seeds = 2").unwrap();
        assert!(watched.how_to_go_on().ends_with(&goes_on));
        std::fs::remove_file(run.join(CONFIG)).unwrap();
        std::fs::write(run.join("last.safetensors"), "").unwrap();
        assert!(watched.how_to_go_on().ends_with(&goes_on));
    }
}
