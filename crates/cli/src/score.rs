//! `charloom score`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use charloom::data::Mode;
use charloom::data::Vocab;
use charloom::evaluation::{Score, score};
use charloom::models::{self, LanguageModel};
use charloom::{Checkpoint, Error, Result, files};
use serde_json::{Value, json};

use crate::output::{Out, shown};

/// The longest line that is scored, in bytes.
const MAX_LINE: usize = 1 << 20;
/// Lines scored at once.
const BATCH: usize = 1024;

/// Tell how likely a model finds each line
#[derive(clap::Args)]
pub struct Args {
    /// A run folder or a .safetensors file
    run: PathBuf,
    /// The lines; standard input without it
    file: Option<PathBuf>,
    /// Show each character's log-likelihood too
    #[arg(long)]
    per_char: bool,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let file = files::model_file(&args.run)?;
    let checkpoint = Checkpoint::read(&file)?;
    let model = models::open(&checkpoint, &file)?;
    let (name, reader): (&Path, Box<dyn Read>) = match &args.file {
        Some(path) if path != Path::new("-") => {
            (path, Box::new(File::open(path).map_err(|error| Error::io(path, error))?))
        }
        _ => (Path::new("standard input"), Box::new(io::stdin())),
    };
    let mut lines = Lines { reader: BufReader::new(reader), name, number: 0, after_cr: false };
    let mut is_first = true;
    let mut failed = None;
    if out.json {
        out.text("{\"lines\":[")?;
    } else {
        out.line("log-likelihood  nats/char  line")?;
    }
    while failed.is_none() {
        let start = lines.number;
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            match lines.next() {
                Ok(Some(line)) => batch.push(line),
                Ok(None) => break,
                // What came before it is still scored.
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if batch.is_empty() {
            break;
        }
        for (i, scored) in scored(&*model, &checkpoint.vocab, &batch).enumerate() {
            match scored {
                Ok(score) => print(&score, args.per_char, std::mem::take(&mut is_first), out)?,
                Err(error) => {
                    failed = Some(Error::data(name, format!("line {}: {error}", start + i + 1)));
                    break;
                }
            }
        }
    }
    if out.json {
        out.line("]}")?;
    }
    failed.map_or(Ok(()), Err)
}

fn scored<'a>(
    model: &dyn LanguageModel,
    vocab: &Vocab,
    lines: &'a [String],
) -> impl Iterator<Item = std::result::Result<Score, charloom::error::UnknownCharacter>> + use<'a> {
    score(model, vocab, lines).into_iter()
}

/// A line without its end, one after the other. As in a file of data it ends with LF, CRLF or a lone CR.
struct Lines<'a> {
    reader: BufReader<Box<dyn Read>>,
    name: &'a Path,
    number: usize,
    /// Whether the line before ended with CR: an LF then belongs to it.
    after_cr: bool,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<String>> {
        let bytes = self.bytes().map_err(|error| Error::io(self.name, error))?;
        self.number += 1;
        let fail = |what: &str| Err(Error::data(self.name, format!("line {} {what}", self.number)));
        let Some(bytes) = bytes else { return Ok(None) };
        if bytes.len() > MAX_LINE {
            return fail("is longer than 1 MiB; cut it");
        }
        match String::from_utf8(bytes) {
            Ok(line) if self.number == 1 && line.starts_with('\u{feff}') => Ok(Some(line[3..].to_owned())),
            Ok(line) => Ok(Some(line)),
            Err(error) => {
                fail(&format!("is not UTF-8 from its byte {} on", error.utf8_error().valid_up_to() + 1))
            }
        }
    }

    /// The bytes up to the next line end, or a little more than [`MAX_LINE`]; none at the end.
    fn bytes(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut is_line = false;
        while line.len() <= MAX_LINE {
            let ready = self.reader.fill_buf()?;
            if ready.is_empty() {
                return Ok(is_line.then_some(line));
            }
            if std::mem::take(&mut self.after_cr) && ready[0] == b'\n' {
                self.reader.consume(1);
                continue;
            }
            is_line = true;
            let end = ready.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            line.extend_from_slice(&ready[..end.unwrap_or(ready.len())]);
            self.after_cr = end.is_some_and(|end| ready[end] == b'\r');
            let read = end.map_or(ready.len(), |end| end + 1);
            self.reader.consume(read);
            if end.is_some() {
                break;
            }
        }
        Ok(Some(line))
    }
}

fn print(score: &Score, per_char: bool, is_first: bool, out: &mut Out) -> Result<()> {
    let Score { text, log_prob, bits, loss, characters } = score;
    if out.json {
        let mut object = json!({"text": text, "log_likelihood": log_prob, "bits": bits, "loss": loss});
        if per_char {
            object["characters"] = characters
                .iter()
                .map(|c| json!({"character": c.character, "log_likelihood": c.log_prob}))
                .collect::<Vec<Value>>()
                .into();
        }
        return out.text(format_args!("{}{object}", if is_first { "" } else { "," }));
    }
    // A line to be scored has no line feed.
    let text = shown(text, Mode::Lines);
    out.line(format_args!("{log_prob:14.4}  {loss:9.4}  {text}"))?;
    if per_char {
        let shown = characters.iter().map(|c| format!("{} {:.4}", c.character.escape_debug(), c.log_prob));
        out.line(format_args!("{:27}{}", "", shown.collect::<Vec<_>>().join("  ")))?;
    }
    Ok(())
}
