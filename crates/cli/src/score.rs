//! `charloom score`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use charloom::data::{DataConfig, Mode, Normalize, Vocab};
use charloom::error::UnknownCharacter;
use charloom::evaluation::{Score, Unknown, score, score_with_floor};
use charloom::models::{self, LanguageModel};
use charloom::{Checkpoint, Error, Result, files};
use serde_json::{Value, json};

use crate::output::{Out, note};

/// The longest line that is scored, in bytes.
const MAX_LINE: usize = 1 << 20;
/// The most lines scored at once: as many as are there without waiting.
const BATCH: usize = 1024;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

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
    /// Replace bytes that are not UTF-8, as is done for a model whose data was read so
    #[arg(long)]
    lossy: bool,
    /// A line with a character unknown to the model: refuse (-inf, and exit code 1), skip, floor (as any of Unicode)
    #[arg(long, value_name = "WORD", default_value = "refuse")]
    unknown: Unknown,
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
    let vocab = &checkpoint.vocab;
    let mut lines = Lines::new(reader, name, &checkpoint.config.data, vocab, args.lossy);
    if out.json {
        out.text("{\"lines\":[")?;
    } else {
        out.line("log-likelihood  nats/char  line")?;
    }
    out.flush()?;
    let mut printer = Printer { per_char: args.per_char, count: 0, out };
    let mut unknown = Unknowns { how: args.unknown, count: 0, first: None };
    let mut failed = None;
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
            // Who writes the next line may wait to see what this one is given.
            if !lines.has_another() {
                break;
            }
        }
        if batch.is_empty() {
            break;
        }
        for (i, (scored, line)) in score(&*model, vocab, &batch).into_iter().zip(&batch).enumerate() {
            match scored {
                Ok(score) => printer.print(&score)?,
                Err(character) => {
                    unknown.print(&*model, vocab, line, start + i + 1, character, &mut printer)?
                }
            }
        }
        printer.out.flush()?;
    }
    if printer.out.json {
        printer.out.line("]}")?;
    }
    failed.map_or_else(|| unknown.end(name, lines.number), Err)
}

/// Lines with a character that the model has never seen.
struct Unknowns {
    how: Unknown,
    count: usize,
    /// The number of the first such line, and its character.
    first: Option<(usize, UnknownCharacter)>,
}

impl Unknowns {
    fn print(
        &mut self,
        model: &dyn LanguageModel,
        vocab: &Vocab,
        line: &str,
        number: usize,
        character: UnknownCharacter,
        printer: &mut Printer,
    ) -> Result<()> {
        self.count += 1;
        self.first = self.first.or(Some((number, character)));
        match self.how {
            Unknown::Skip => Ok(()),
            Unknown::Floor => printer.print(&score_with_floor(model, vocab, line)),
            Unknown::Refuse => printer.print_impossible(line, character),
        }
    }

    /// What is told of them in the end.
    fn end(&self, name: &Path, lines: usize) -> Result<()> {
        let Some((number, character)) = self.first else { return Ok(()) };
        let count = self.count;
        let told = format!(
            "{count} of {lines} lines hold unknown characters; the first is in line {number}: {character}"
        );
        match self.how {
            Unknown::Refuse => Err(Error::data(
                name,
                format!("{told}; ``unknown`` skip leaves such lines out, floor judges them"),
            )),
            Unknown::Skip => {
                note(format_args!("{told}; left out"));
                Ok(())
            }
            Unknown::Floor => {
                note(format_args!("{told}; such a character is judged as likely as any of Unicode's"));
                Ok(())
            }
        }
    }
}

/// A line without its end, one after the other. As in a file of data it ends with LF, CRLF or a lone CR.
struct Lines<'a> {
    reader: BufReader<Box<dyn Read>>,
    name: &'a Path,
    number: usize,
    /// Whether the line before ended with CR: an LF then belongs to it.
    after_cr: bool,
    lossy: bool,
    normalize: Option<Normalize>,
    /// Whether a byte order mark is one, and no character of the model's.
    has_mark: bool,
}

impl<'a> Lines<'a> {
    fn new(reader: Box<dyn Read>, name: &'a Path, data: &DataConfig, vocab: &Vocab, lossy: bool) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER, reader),
            name,
            number: 0,
            after_cr: false,
            lossy: lossy || data.lossy,
            normalize: data.normalize,
            has_mark: vocab.token(MARK).is_none(),
        }
    }

    /// Whether another line has come whole already.
    fn has_another(&self) -> bool {
        let mut ready = self.reader.buffer();
        if self.after_cr {
            ready = ready.strip_prefix(b"\n").unwrap_or(ready);
        }
        ready.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
    }

    fn next(&mut self) -> Result<Option<String>> {
        let bytes = self.bytes().map_err(|error| Error::io(self.name, error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        self.number += 1;
        let fail = |what: &str| Err(Error::data(self.name, format!("line {} {what}", self.number)));
        if bytes.len() > MAX_LINE {
            return fail("is longer than 1 MiB; cut it");
        }
        let line = match String::from_utf8(bytes) {
            Ok(line) => line,
            Err(error) if self.lossy => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            Err(error) => {
                let at = error.utf8_error().valid_up_to() + 1;
                return fail(&format!(
                    "is not UTF-8 from its byte {at} on; convert it (iconv), or ``lossy`` replaces such bytes"
                ));
            }
        };
        let is_marked = self.number == 1 && self.has_mark && line.starts_with(MARK);
        let line = if is_marked { line[MARK.len_utf8()..].to_owned() } else { line };
        Ok(Some(match self.normalize {
            Some(form) => form.apply(&line),
            None => line,
        }))
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

/// The byte order mark.
const MARK: char = '\u{feff}';

struct Printer<'a> {
    per_char: bool,
    count: usize,
    out: &'a mut Out,
}

impl Printer<'_> {
    fn print(&mut self, score: &Score) -> Result<()> {
        let Score { text, log_prob, bits, loss, characters } = score;
        if self.out.json {
            let mut object = json!({"text": text, "log_likelihood": log_prob, "bits": bits, "loss": loss});
            if self.per_char {
                object["characters"] = characters
                    .iter()
                    .map(|c| json!({"character": c.character, "log_likelihood": c.log_prob}))
                    .collect::<Vec<Value>>()
                    .into();
            }
            return self.object(&object);
        }
        // A line to be scored has no line feed.
        let text = self.out.shown(text, Mode::Lines);
        self.out.line(format_args!("{log_prob:14.4}  {loss:9.4}  {text}"))?;
        if self.per_char {
            let shown = |c: char| self.out.shown(c.encode_utf8(&mut [0; 4]), Mode::Lines);
            let each = characters.iter().map(|c| format!("{} {:.4}", shown(c.character), c.log_prob));
            let each = each.collect::<Vec<_>>().join("  ");
            self.out.line(format_args!("{:27}{each}", ""))?;
        }
        Ok(())
    }

    /// A line to which the model gives no probability at all; JSON has no infinity, so null.
    fn print_impossible(&mut self, text: &str, unknown: UnknownCharacter) -> Result<()> {
        let UnknownCharacter { character, position } = unknown;
        if self.out.json {
            let unknown = json!({"character": character, "position": position});
            return self.object(
                &json!({"text": text, "log_likelihood": null, "bits": null, "loss": null, "unknown": unknown}),
            );
        }
        let text = self.out.shown(text, Mode::Lines);
        let code = u32::from(character);
        self.out.line(format_args!(
            "{:14.4}  {:9.4}  {text}  (unknown: {character:?}, U+{code:04X}, character {position})",
            f64::NEG_INFINITY,
            f64::INFINITY
        ))
    }

    fn object(&mut self, object: &Value) -> Result<()> {
        self.count += 1;
        self.out.text(format_args!("{}{object}", if self.count > 1 { "," } else { "" }))
    }
}
