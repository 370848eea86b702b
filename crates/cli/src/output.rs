//! Printing: results to standard output, the rest to standard error.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use charloom::data::Mode;
use charloom::models::Tell;
use charloom::{Checkpoint, Error, Result};
use clap::ColorChoice;
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;
use terminal_size::{Height, Width, terminal_size};

/// Standard output.
pub struct Out {
    /// Whether one JSON object is wanted instead of text.
    pub json: bool,
    to: BufWriter<StdoutLock<'static>>,
    /// Whether a person reads it as it comes.
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

    /// Whether no colours are wanted anywhere.
    pub fn refuses_color(&self) -> bool {
        self.color == ColorChoice::Never
    }

    /// Whether colours can be seen, and are wanted.
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

    /// Columns and rows of the terminal; where there is none, those that every terminal has.
    pub fn size(&self) -> (u16, u16) {
        let size = if self.is_terminal { terminal_size() } else { None };
        let size = size.map(|(Width(columns), Height(rows))| (columns, rows));
        size.filter(|&(columns, rows)| columns > 0 && rows > 0).unwrap_or((80, 24))
    }

    /// Text of a model's: on a terminal [`shown`], in a file or a pipe as it is, so that it can be read again.
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

/// A path as JSON has it, which holds no bytes that are not UTF-8.
pub fn name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Text of a model's for a person's eyes: what would steer a terminal, or turn the direction of writing, is escaped;
/// a line feed is not, in a text.
pub fn shown(text: &str, mode: Mode) -> String {
    let steers = |c: char| {
        (c.is_control() && !(c == '\n' && mode == Mode::Text) && c != '\t')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if steers(c) {
            shown.extend(c.escape_unicode())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// Which weights of a run are used, in words: its best, its last, or those of a file.
pub fn weights(file: &Path, checkpoint: &Checkpoint) -> String {
    let which = match file.file_name().and_then(|name| name.to_str()) {
        Some("best.safetensors") => "the best weights",
        Some("last.safetensors") => "the last weights",
        _ => "the weights",
    };
    format!("{which}, of step {}: {}", checkpoint.step, file.display())
}

/// A text of the library with each ` ``lr_drops`` ` in it ([`charloom::error`]) shown as the flag `--lr-drops`. A key
/// with a dot is of the configuration file alone and has no flag.
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

/// Whether the reader of standard output has gone, as `head` does.
pub fn is_closed(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a line to standard error; if that is closed, the line is lost.
pub fn note(text: impl std::fmt::Display) {
    // In one piece: standard error has no buffer.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// When the command began, if it is to say what it does.
static BEGUN: OnceLock<Option<Instant>> = OnceLock::new();

/// Makes [`detail`] speak.
pub fn set_verbose(verbose: bool) {
    // Set once, at the very beginning.
    let _ = BEGUN.set(verbose.then(Instant::now));
}

/// With `--verbose`: a line to standard error, after how long the command has run.
pub fn detail(text: impl fmt::Display) {
    if let Some(begun) = BEGUN.get().copied().flatten() {
        note(format_args!("[{:8.1} ms] {text}", begun.elapsed().as_secs_f64() * 1e3));
    }
}

/// What a bar over things shows.
const BAR: &str = "{prefix} {wide_bar} {human_pos}/{human_len}  {msg}  {rate}  {eta} left";

/// A progress bar over `length` things on standard error; shows itself on a terminal only.
pub fn bar(length: u64, what: &'static str) -> ProgressBar {
    shown_as(BAR, length, what)
}

/// Shows a line below such a bar.
pub fn show_below(bar: &ProgressBar, line: &str) {
    let literal = line.replace('{', "{{").replace('}', "}}");
    bar.set_style(style(&format!("{BAR}\n{literal}")));
}

/// Does something that tells what share of it is done, which a progress bar shows.
///
/// # Errors
/// Those of `work`.
pub fn telling<T>(what: &'static str, work: impl FnOnce(Tell<'_>) -> Result<T>) -> Result<T> {
    const PARTS: f64 = 1000.0;
    let bar = shown_as("{prefix} {wide_bar} {percent} %  {eta} left", PARTS as u64, what);
    let done = work(&mut |share| {
        bar.set_position((share * PARTS) as u64);
        Ok(())
    });
    bar.finish_and_clear();
    done
}

fn style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, to: &mut dyn fmt::Write| {
        // A bar that cannot be written shows less.
        let _ = write!(to, "{}/s", HumanCount(state.per_sec() as u64));
    };
    ProgressStyle::with_template(template).expect("the template is well formed").with_key("rate", rate)
}

fn shown_as(template: &str, length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_style(style(template)).with_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
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
