//! `charloom score`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use charloom::config::Mode;
use charloom::models::{self, LanguageModel};
use charloom::score::{Score, score};
use charloom::vocab::Vocab;
use charloom::{Checkpoint, Error, Result, run};
use serde_json::{Value, json};

use crate::output::{Out, shown};

/// The longest line that is scored, in bytes.
const MAX_LINE: u64 = 1 << 20;
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
    let file = run::model_file(&args.run)?;
    let checkpoint = Checkpoint::read(&file)?;
    let mut model = models::open(&checkpoint, &file)?;
    let (name, reader): (&Path, Box<dyn Read>) = match &args.file {
        Some(path) if path != Path::new("-") => {
            (path, Box::new(File::open(path).map_err(|error| Error::io(path, error))?))
        }
        _ => (Path::new("standard input"), Box::new(io::stdin())),
    };
    let mut lines = Lines { reader: BufReader::new(reader), name, number: 0 };
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
        for (i, scored) in scored(&mut *model, &checkpoint.vocab, &batch).enumerate() {
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
    model: &mut dyn LanguageModel,
    vocab: &Vocab,
    lines: &'a [String],
) -> impl Iterator<Item = std::result::Result<Score, charloom::vocab::UnknownCharacter>> + use<'a> {
    score(model, vocab, lines).into_iter()
}

/// A line without its end, one after the other.
struct Lines<'a> {
    reader: BufReader<Box<dyn Read>>,
    name: &'a Path,
    number: usize,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        let mut limited = self.reader.by_ref().take(MAX_LINE);
        let read = limited.read_until(b'\n', &mut bytes).map_err(|error| Error::io(self.name, error))?;
        self.number += 1;
        let fail = |what: &str| Err(Error::data(self.name, format!("line {} {what}", self.number)));
        if read == 0 {
            return Ok(None);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        } else if read as u64 == MAX_LINE {
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
