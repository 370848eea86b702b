//! Printing: results to standard output, the rest to standard error.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use charloom::data::Mode;
use charloom::models::Progress;
use charloom::train::check_stop;
use charloom::{Checkpoint, Error, Result};
use clap::ColorChoice;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, WeakProgressBar};
use serde::Serialize;
use terminal_size::{Height, Width, terminal_size};

use crate::watch;

/// Standard output.
pub struct Out {
    /// Whether one JSON object is wanted instead of text.
    pub json: bool,
    to: BufWriter<StdoutLock<'static>>,
    /// Whether it is a terminal.
    pub is_terminal: bool,
    color: ColorChoice,
}

impl Out {
    pub fn new(json: bool, color: ColorChoice) -> Self {
        let stdout = io::stdout();
        Self { json, is_terminal: stdout.is_terminal(), to: BufWriter::new(stdout.lock()), color }
    }

    /// Prints a line.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        writeln!(self.to, "{text}").map_err(failed)?;
        if self.is_terminal { self.flush() } else { Ok(()) }
    }

    /// Whether `--color never` is given.
    pub fn refuses_color(&self) -> bool {
        self.color == ColorChoice::Never
    }

    /// Whether to print colours.
    pub fn is_colored(&self) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            // What https://no-color.org asks for.
            ColorChoice::Auto => {
                self.is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        }
    }

    /// Columns and rows of the terminal, or 80 and 24 without one.
    pub fn size(&self) -> (u16, u16) {
        let size = if self.is_terminal { terminal_size() } else { None };
        let size = size.map(|(Width(columns), Height(rows))| (columns, rows));
        size.filter(|&(columns, rows)| columns > 0 && rows > 0).unwrap_or((80, 24))
    }

    /// A model's text: escaped by [`shown`] on a terminal, unchanged in a file or a pipe.
    pub fn shown(&self, text: &str, mode: Mode) -> String {
        if self.is_terminal { shown(text, mode) } else { text.to_owned() }
    }

    /// Prints without ending the line.
    pub fn text(&mut self, text: impl std::fmt::Display) -> Result<()> {
        write!(self.to, "{text}").map_err(failed)
    }

    /// Prints an object.
    pub fn object(&mut self, object: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(object).map_err(|error| Error::Failed(error.to_string()))?;
        self.line(text)
    }

    /// Prints rows with their columns aligned: the first to the left, the others to the right.
    pub fn table(&mut self, rows: &[Vec<String>]) -> Result<()> {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let mut line = String::new();
            for (i, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                line += &if i == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            }
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<()> {
        self.to.flush().map_err(failed)
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("standard output", error)
}

/// A path for JSON; bytes that are not UTF-8 are replaced.
pub fn name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Escapes the characters of a model's text that would control a terminal or turn the direction of writing,
/// but not tabs, nor line feeds in [`Mode::Text`].
pub fn shown(text: &str, mode: Mode) -> String {
    let needs_escape = |c: char| {
        (c.is_control() && !(c == '\n' && mode == Mode::Text) && c != '\t')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if needs_escape(c) {
            shown.extend(c.escape_unicode())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// A note on which weights of a run are used: the best, the last, or those of a file.
pub fn weights(file: &Path, checkpoint: &Checkpoint) -> String {
    let which = match file.file_name().and_then(|name| name.to_str()) {
        Some("best.safetensors") => "the best weights",
        Some("last.safetensors") => "the last weights",
        _ => "the weights",
    };
    format!("{which}, of step {}: {}", checkpoint.step, file.display())
}

/// A message of the library with settings shown as flags: ` ``lr_drops`` ` ([`charloom::error`]) becomes
/// `--lr-drops`. A key with a dot is only in the configuration file and has no flag.
pub fn flags(text: &str) -> String {
    let is_key =
        |key: &str| !key.is_empty() && key.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.'));
    let (mut said, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("``") {
        said += before;
        match after.split_once("``").filter(|(key, _)| is_key(key)) {
            Some((key, after)) => {
                let has_flag = !key.contains('.');
                said += &if has_flag { format!("--{}", key.replace('_', "-")) } else { key.to_owned() };
                rest = after;
            }
            None => {
                said += "``";
                rest = after;
            }
        }
    }
    said + rest
}

/// Adds a way out to the error of a full disk.
pub fn explain_full_disk(error: Error, way: impl FnOnce() -> String) -> Error {
    match error {
        Error::Io { path, source }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
        {
            Error::model(path, format!("{source}; {}", way()))
        }
        error => error,
    }
}

/// Whether the reader of standard output closed it, as `head` does.
pub fn is_closed(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a line to standard error, and ignores errors.
pub fn note(text: impl std::fmt::Display) {
    // In one write, since standard error has no buffer.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// When the command began, if `--verbose` is given.
static BEGUN: OnceLock<Option<Instant>> = OnceLock::new();

/// Turns [`detail`] on or off.
pub fn set_verbose(verbose: bool) {
    // It fails only if it is set already, and this is called once.
    let _ = BEGUN.set(verbose.then(Instant::now));
}

/// With `--verbose`, prints a line to standard error, with the time since the command began.
pub fn detail(text: impl fmt::Display) {
    if let Some(begun) = BEGUN.get().copied().flatten() {
        note(format_args!("[{:8.1} ms] {text}", begun.elapsed().as_secs_f64() * 1e3));
    }
}

/// The template of a progress bar that counts.
const BAR: &str = "{prefix} {wide_bar} {human_pos}/{human_len}  {msg}  {rate}  {eta} left";

/// A progress bar up to `length` on standard error; shown on a terminal only.
pub fn bar(length: u64, what: &'static str) -> ProgressBar {
    shown_as(BAR, length, what)
}

/// As [`bar`], for what is mostly done within a second: it is shown after one.
pub fn late_bar(length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
    let bar = begun(bar, BAR, what);
    let shown = bar.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        shown.set_draw_target(ProgressDrawTarget::stderr());
    });
    bar
}

/// Shows a line below the progress bar.
pub fn show_below(bar: &ProgressBar, line: &str) {
    let literal = line.replace('{', "{{").replace('}', "}}");
    bar.set_style(style(&format!("{BAR}\n{literal}")));
}

/// Runs `work`, which reports the share that is done, with a progress bar. Ctrl-C ends it where a training listens.
///
/// # Errors
/// Those of `work`.
pub fn with_progress<T>(what: &'static str, work: impl FnOnce(Progress<'_>) -> Result<T>) -> Result<T> {
    const PARTS: f64 = 1000.0;
    let bar = shown_as("{prefix} {wide_bar} {percent} %  {eta} left", PARTS as u64, what);
    let done = work(&mut |share| {
        bar.set_position((share * PARTS) as u64);
        check_stop(&watch::STOP)
    });
    bar.finish_and_clear();
    done
}

fn style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, to: &mut dyn fmt::Write| {
        // An error is ignored: the bar lacks its rate.
        let _ = write!(to, "{}/s", HumanCount(state.per_sec() as u64));
    };
    ProgressStyle::with_template(template).expect("the template is well formed").with_key("rate", rate)
}

fn shown_as(template: &str, length: u64, what: &'static str) -> ProgressBar {
    begun(ProgressBar::new(length), template, what)
}

fn begun(bar: ProgressBar, template: &str, what: &'static str) -> ProgressBar {
    let bar = bar.with_style(style(template)).with_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    *last_bar() = Some(bar.downgrade());
    bar
}

/// The bar that was begun last.
fn last_bar() -> MutexGuard<'static, Option<WeakProgressBar>> {
    static LAST: Mutex<Option<WeakProgressBar>> = Mutex::new(None);
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`note`], from another thread than that of the progress bar, if there is one.
pub fn note_above_bar(text: impl fmt::Display) {
    let bar = last_bar().as_ref().and_then(WeakProgressBar::upgrade);
    match bar {
        Some(bar) => bar.suspend(|| note(text)),
        None => note(text),
    }
}

/// Removes the progress bar, if there is one, before the program ends.
pub fn clear_bar() {
    last_bar().as_ref().and_then(WeakProgressBar::upgrade).iter().for_each(ProgressBar::finish_and_clear);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered() {
        let odd = "a\u{1b}[31m\u{202e}\u{2028}\r\tb\n";
        assert_eq!(shown(odd, Mode::Lines), "a\\u{1b}[31m\\u{202e}\\u{2028}\\u{d}\tb\\u{a}");
        assert!(shown(odd, Mode::Text).ends_with("\tb\n"));
        let mut out = Out::new(false, ColorChoice::Auto);
        for (is_terminal, text) in [(true, shown(odd, Mode::Lines)), (false, odd.to_owned())] {
            out.is_terminal = is_terminal;
            assert_eq!(out.shown(odd, Mode::Lines), text);
        }
    }

    #[test]
    fn settings_are_shown_as_flags() {
        assert_eq!(flags("``lr_drops`` 2; try ``clip`` 1"), "--lr-drops 2; try --clip 1");
        assert_eq!(flags("``data.sha256`` ab"), "data.sha256 ab");
        for other in ["unknown field `lr`", "`` and ``A``", "``", "``lr", "````"] {
            assert_eq!(flags(other), other);
        }
    }
}
