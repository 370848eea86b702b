//! The full-screen view of a training.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Stderr};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use charloom::data::Mode;
use charloom::inspect::RecordKind;
use charloom::sample::{SampleOptions, Sampler};
use charloom::train::{Event, Trainer};
use charloom::{Error, Result};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyModifiers};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, style};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, Paragraph};
use ratatui::{Frame, Terminal};

use crate::output::shown;
use crate::watch::{self, evaluating};

/// The time between new samples from the model.
const SAMPLE_EVERY: Duration = Duration::from_secs(2);
/// The time between looks at the keyboard while the training is paused.
const PAUSE: Duration = Duration::from_millis(50);
/// The most points of a curve; beyond that every second one is dropped.
const POINTS: usize = 2000;
/// The decay of the running mean of the loss: mean = decay * mean + (1 - decay) * loss.
const LOSS_DECAY: f64 = 0.98;

/// Whether a dashboard has the terminal.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// Shows a training on the whole screen. Keys are heard by a thread of their own, also within a long step.
pub struct Dashboard {
    screen: Arc<Mutex<Screen>>,
    keyboard: Option<JoinHandle<()>>,
}

/// The terminal and the state that it shows.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stderr>>,
    view: View,
}

impl Screen {
    fn draw(&mut self) -> Result<()> {
        let Self { terminal, view } = self;
        terminal.draw(|frame| view.draw(frame)).map(drop).map_err(failed)
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("the terminal", error)
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state that the dashboard shows.
#[derive(Default)]
struct View {
    title: String,
    steps: u64,
    first: Option<(Instant, u64)>,
    /// How long the training has paused.
    paused_for: Duration,
    paused: bool,
    stopping: bool,
    /// How often the learning rate is to be divided by 10 before the next step.
    divisions: u32,
    /// The progress of the evaluation that runs now; else empty.
    evaluating: String,
    step: u64,
    lr: f64,
    /// Points (step, running mean of the minibatch loss).
    losses: VecDeque<(f64, f64)>,
    mean: Option<f64>,
    /// One in `stride` steps gives a point of `losses`.
    stride: usize,
    skipped: usize,
    train: Option<f64>,
    val: Vec<(f64, f64)>,
    best: Option<f64>,
    /// The last update ratio of each weight.
    ratios: Vec<(String, f64)>,
    samples: Vec<String>,
    sampled: Option<Instant>,
}

/// Turns colours off if `refuses_color`. (In a build without the dashboard `prepare` fails.)
pub fn prepare(refuses_color: bool) -> Result<()> {
    if refuses_color {
        style::force_color_output(false);
    }
    Ok(())
}

impl Dashboard {
    /// Takes over the screen; `None` unless standard input and standard error are terminals.
    pub fn open(title: &str, steps: u64) -> Result<Option<Self>> {
        if !io::stderr().is_terminal() || !io::stdin().is_terminal() {
            return Ok(None);
        }
        // If a panic aborts, nothing is dropped: the hook restores the terminal before the message is
        // printed.
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
        let terminal = take_terminal().inspect_err(|_| restore());
        let view = View { title: title.to_owned(), steps, stride: 1, ..View::default() };
        let screen = Arc::new(Mutex::new(Screen { terminal: terminal.map_err(failed)?, view }));
        let shared = Arc::clone(&screen);
        let keyboard = std::thread::spawn(move || {
            // An error here is ignored: that of drawing is told by the training.
            let _ = listen(&shared);
        });
        Ok(Some(Self { screen, keyboard: Some(keyboard) }))
    }

    /// Shows which split is evaluated, and the share that is done.
    pub fn evaluating(&mut self, step: u64, split: &str, share: f64) -> Result<()> {
        let mut screen = lock(&self.screen);
        (screen.view.step, screen.view.evaluating) = (step, evaluating(split, share));
        stop(&screen.view);
        drop(screen);
        self.pause()
    }

    /// Takes in an event of the training, redraws and does what keys asked for.
    pub fn observe(&mut self, trainer: &mut Trainer, event: &Event) -> Result<()> {
        let sampled = {
            let view = &mut lock(&self.screen).view;
            view.take(event);
            view.lr = trainer.lr();
            view.sampled
        };
        let sample = match event {
            Event::Tick { .. } => sampled.is_none_or(|at| at.elapsed() > SAMPLE_EVERY),
            Event::Evaluated { .. } => true,
            Event::Step { .. } | Event::Diagnostics(_) => return Ok(()),
        };
        if sample {
            let samples = samples(trainer)?;
            let view = &mut lock(&self.screen).view;
            (view.samples, view.sampled) = (samples, Some(Instant::now()));
        }
        self.pause()?;
        let view = &mut lock(&self.screen).view;
        for _ in 0..std::mem::take(&mut view.divisions) {
            trainer.scale_lr(0.1);
        }
        view.lr = trainer.lr();
        stop(view);
        Ok(())
    }

    /// Draws, and waits while the training is paused.
    fn pause(&self) -> Result<()> {
        lock(&self.screen).draw()?;
        while lock(&self.screen).view.is_paused() {
            std::thread::sleep(PAUSE);
            lock(&self.screen).view.paused_for += PAUSE;
        }
        Ok(())
    }
}

/// Handles keys while the dashboard is open.
fn listen(screen: &Mutex<Screen>) -> Result<()> {
    loop {
        let key = event::poll(PAUSE).map_err(failed)?;
        let mut screen = lock(screen);
        if !IS_OPEN.load(Ordering::Relaxed) {
            return Ok(());
        }
        let key = if key { event::read().map_err(failed)?.as_key_press_event() } else { None };
        let view = &mut screen.view;
        let is_stopping = view.stopping;
        match key {
            // The screen stays locked: nothing is drawn on the terminal that a second Ctrl-C gives back.
            Some(KeyEvent { code: KeyCode::Char('c'), modifiers: KeyModifiers::CONTROL, .. }) => {
                watch::interrupt()
            }
            Some(KeyEvent { code: KeyCode::Char('q'), .. }) => view.stopping = true,
            Some(KeyEvent { code: KeyCode::Char('p'), .. }) => view.paused = !view.paused,
            Some(KeyEvent { code: KeyCode::Char('l'), .. }) => view.divisions += 1,
            _ => {}
        }
        view.stopping |= watch::STOP.load(Ordering::Relaxed);
        if key.is_some() || view.stopping != is_stopping {
            screen.draw()?;
        }
    }
}

/// Tells the training to stop if a key asked for it, once a learning rate that was asked for before is set.
fn stop(view: &View) {
    if view.stopping && view.divisions == 0 {
        watch::STOP.store(true, Ordering::Relaxed);
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        {
            let _screen = lock(&self.screen);
            restore();
        }
        // The next keys are for whoever reads the terminal next.
        let _ = self.keyboard.take().map(JoinHandle::join);
    }
}

fn take_terminal() -> io::Result<Terminal<CrosstermBackend<Stderr>>> {
    IS_OPEN.store(true, Ordering::Relaxed);
    enable_raw_mode()?;
    // Terminal::clear would ask for the cursor's position, which some terminals do not answer.
    execute!(io::stderr(), EnterAlternateScreen, Clear(ClearType::All))?;
    Terminal::new(CrosstermBackend::new(io::stderr()))
}

/// Whether a dashboard has the terminal.
pub fn is_open() -> bool {
    IS_OPEN.load(Ordering::Relaxed)
}

/// Restores the terminal, if a dashboard has it.
pub fn restore() {
    if IS_OPEN.swap(false, Ordering::Relaxed) {
        // An error is ignored: there is no other way to restore the terminal.
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Samples from the model as it is now: a few words, or the beginning of a text.
fn samples(trainer: &mut Trainer) -> Result<Vec<String>> {
    let (vocab, seed) = (trainer.vocab().clone(), trainer.steps_done());
    let (n, max_length) = if vocab.mode() == Mode::Text { (1, 600) } else { (24, 40) };
    let options = SampleOptions { n, seed, max_length, ..SampleOptions::default() };
    let mut lines = Vec::new();
    for sample in Sampler::new(trainer.model(), &vocab, options, None)? {
        lines.extend(shown(&sample?.text, vocab.mode()).split('\n').map(str::to_owned));
    }
    Ok(lines)
}

impl View {
    fn is_paused(&self) -> bool {
        self.paused && !self.stopping
    }

    fn take(&mut self, event: &Event) {
        self.evaluating.clear();
        match event {
            Event::Step { step, loss, lr } | Event::Tick { step, loss, lr } => {
                (self.step, self.lr) = (step + 1, *lr);
                self.first.get_or_insert((Instant::now(), *step));
                let loss = f64::from(*loss);
                let mean = self.mean.map_or(loss, |mean| LOSS_DECAY * mean + (1.0 - LOSS_DECAY) * loss);
                self.mean = Some(mean);
                self.skipped += 1;
                if self.skipped >= self.stride {
                    self.skipped = 0;
                    self.losses.push_back((*step as f64, mean));
                }
                if self.losses.len() > POINTS {
                    self.losses = self.losses.iter().copied().step_by(2).collect();
                    self.stride *= 2;
                }
            }
            Event::Evaluated { step, train, val, .. } => {
                self.step = *step;
                self.train = train.map(|train| train.loss);
                let Some(loss) = val.or(*train).map(|judged| judged.loss) else { return };
                self.val.push((*step as f64, loss));
                self.best = Some(self.best.map_or(loss, |best| best.min(loss)));
            }
            Event::Diagnostics(records) => {
                let weights = records.iter().filter(|r| r.kind == RecordKind::Weight);
                self.ratios = weights.filter_map(|r| Some((r.layer.clone(), r.update_ratio?))).collect();
            }
        }
    }

    fn draw(&self, frame: &mut Frame) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(3), Constraint::Fill(1), Constraint::Length(1)])
                .areas(frame.area());
        let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(body);
        let ratios = u16::try_from(self.ratios.len()).unwrap_or(u16::MAX).min(8);
        let [upper, lower] = Layout::vertical([
            Constraint::Fill(1),
            Constraint::Length(if ratios > 0 { ratios + 2 } else { 0 }),
        ])
        .areas(right);
        self.draw_head(frame, head);
        self.draw_losses(frame, left);
        let samples = self.samples.iter().map(|text| Line::from(text.as_str()));
        let wrap = ratatui::widgets::Wrap { trim: false };
        let samples = Paragraph::new(samples.collect::<Vec<_>>()).wrap(wrap);
        frame.render_widget(samples.block(Block::bordered().title("samples")), upper);
        let ratios = self.ratios.iter().map(|(layer, ratio)| {
            let style =
                if (-4.5..=-1.5).contains(ratio) { Style::new() } else { Style::new().fg(Color::Yellow) };
            Line::styled(format!("{ratio:>6.2}  {layer}"), style)
        });
        let ratios = Paragraph::new(ratios.collect::<Vec<_>>());
        frame.render_widget(ratios.block(Block::bordered().title("log10 update/weight")), lower);
        let state = if self.paused { "paused: p goes on" } else { &self.evaluating };
        let keys = match (self.stopping, self.evaluating.is_empty()) {
            (false, _) => format!("q stop and save  p pause  l learning rate / 10  {state}"),
            (true, is_step) => {
                let when = if is_step { "after this step" } else { "within this evaluation" };
                format!("stops {when}, and saves; Ctrl-C stops at once, without saving")
            }
        };
        frame.render_widget(Line::from(keys).dim(), foot);
    }

    fn draw_head(&self, frame: &mut Frame, area: Rect) {
        let (rate, left) = self.pace();
        let number = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.4}"));
        let percent = self.step as f64 * 100.0 / self.steps.max(1) as f64;
        let lines = vec![
            Line::from(format!("{}  step {} of {} ({percent:.0} %)", self.title, self.step, self.steps))
                .bold(),
            Line::from(format!(
                "loss {}  train {}  val {}  best {}  lr {:.3e}",
                number(self.mean),
                number(self.train),
                number(self.val.last().map(|v| v.1)),
                number(self.best),
                self.lr
            )),
            Line::from(format!("{rate:.0} steps/s  {left} left")),
        ];
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// Steps a second, and the time left in words.
    fn pace(&self) -> (f64, String) {
        let Some((start, first)) = self.first else { return (0.0, "?".to_owned()) };
        let seconds = start.elapsed().saturating_sub(self.paused_for).as_secs_f64();
        let rate = (self.step - first.min(self.step)) as f64 / seconds.max(1e-3);
        let left = (self.steps - self.step.min(self.steps)) as f64 / rate.max(1e-9);
        let left = match left {
            s if s < 90.0 => format!("{s:.0} s"),
            s if s < 5400.0 => format!("{:.0} min", s / 60.0),
            s if s < 360_000.0 => format!("{:.1} h", s / 3600.0),
            _ => "?".to_owned(),
        };
        (rate, left)
    }

    fn draw_losses(&self, frame: &mut Frame, area: Rect) {
        let losses: Vec<(f64, f64)> = self.losses.iter().copied().collect();
        // The first losses may be far above: the axis follows what came after the first twentieth.
        let settled = losses.iter().skip(losses.len() / 20).chain(&self.val[self.val.len().min(1)..]);
        let bounds = settled.fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], p| [a.min(p.1), b.max(p.1)]);
        let [low, high] = if bounds[0] < bounds[1] { bounds } else { [0.0, self.mean.unwrap_or(1.0) + 1.0] };
        let end = self.losses.back().map_or(1.0, |p| p.0).max(1.0);
        let curve = |points, name: &'static str, color| {
            Dataset::default()
                .name(name)
                .marker(Marker::Braille)
                .graph_type(GraphType::Line)
                .style(Style::new().fg(color))
                .data(points)
        };
        let sets = vec![curve(&losses, "minibatch", Color::Cyan), curve(&self.val, "val", Color::Magenta)];
        let ticks = |a: f64, b: f64, digits: usize| [a, (a + b) / 2.0, b].map(|x| format!("{x:.digits$}"));
        let chart = Chart::new(sets)
            .block(Block::bordered().title("loss, nats per character"))
            .hidden_legend_constraints((Constraint::Percentage(60), Constraint::Percentage(60)))
            .x_axis(Axis::default().bounds([0.0, end]).labels(ticks(0.0, end, 0)))
            .y_axis(Axis::default().bounds([low, high]).labels(ticks(low, high, 2)));
        frame.render_widget(chart, area);
    }
}

#[cfg(test)]
mod tests;
