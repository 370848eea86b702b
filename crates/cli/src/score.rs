//! `charloom score`.

mod lines;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use charloom::data::{Mode, Vocab};
use charloom::error::UnknownCharacter;
use charloom::evaluation::{Score, Unknown, score, score_with_floor};
use charloom::models::{self, LanguageModel};
use charloom::{Error, Result};
use serde_json::{Value, json};

use self::lines::{Fault, Line, Lines};
use crate::output::{Out, note};
use crate::setup::read_model;

/// The most lines in a batch, which has the lines that can be read without waiting.
const BATCH: usize = 1024;

/// Tell how likely a model finds each line
#[derive(clap::Args)]
pub struct Args {
    /// A run folder or a .safetensors file
    run: PathBuf,
    /// The lines; standard input without it
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The lines, as a flag in place of the argument
    #[arg(long = "data", value_name = "FILE", conflicts_with = "file")]
    named: Option<PathBuf>,
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

/// Opens the file of lines; `run` is for the message.
fn opened(path: &Path, run: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let message = format!(
                "no such file; it is a file of lines that is wanted here. A word is piped in: \
                 echo WORD | charloom score {}",
                run.display()
            );
            Error::data(path, message)
        }
        _ => Error::io(path, error),
    })?;
    if file.metadata().is_ok_and(|file| file.is_dir()) {
        return Err(Error::data(path, "is a directory; it is a file of lines that is wanted here"));
    }
    Ok(file)
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let (file, checkpoint) = read_model(&args.run)?;
    let model = models::open(&checkpoint, &file)?;
    let (name, reader): (&Path, Box<dyn Read>) = match args.file.as_ref().or(args.named.as_ref()) {
        Some(path) if path != Path::new("-") => (path, Box::new(opened(path, &args.run)?)),
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
    let mut refused = Refused { how: args.unknown, unknown: (0, None), broken: (0, None) };
    let mut failed = None;
    while failed.is_none() {
        let start = lines.number;
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            match lines.next() {
                Ok(Some(line)) => batch.push(line),
                Ok(None) => break,
                // The lines before the error are still scored.
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            // The writer of the next line may be waiting for this line's score.
            if !lines.has_another() {
                break;
            }
        }
        if batch.is_empty() {
            break;
        }
        let texts = batch.iter().filter(|line| line.broken.is_none()).map(|line| line.text.as_str());
        let mut scores = score(&*model, vocab, &texts.collect::<Vec<_>>()).into_iter();
        for (i, Line { text, broken }) in batch.iter().enumerate() {
            let scored = match broken {
                Some(fault) => Some(Err(*fault)),
                None => scores.next().map(|scored| scored.map_err(Fault::Unknown)),
            };
            match scored {
                Some(Ok(score)) => printer.print(&score)?,
                Some(Err(fault)) => {
                    refused.print(&*model, vocab, text, start + i + 1, fault, &mut printer)?
                }
                None => {}
            }
        }
        printer.out.flush()?;
    }
    if printer.out.json {
        printer.out.line("]}")?;
    }
    failed.map_or_else(|| refused.end(name, lines.number), Err)
}

/// How many lines have a kind of fault, and the first of them: its number and its fault.
type Count = (usize, Option<(usize, Fault)>);

/// Lines that cannot be judged.
struct Refused {
    how: Unknown,
    /// Lines with a character unknown to the model.
    unknown: Count,
    /// Lines that are not UTF-8, or too long.
    broken: Count,
}

impl Refused {
    fn print(
        &mut self,
        model: &dyn LanguageModel,
        vocab: &Vocab,
        line: &str,
        number: usize,
        fault: Fault,
        printer: &mut Printer,
    ) -> Result<()> {
        let is_unknown = matches!(fault, Fault::Unknown(_));
        let (count, first) = if is_unknown { &mut self.unknown } else { &mut self.broken };
        *count += 1;
        first.get_or_insert((number, fault));
        match self.how {
            Unknown::Skip => Ok(()),
            Unknown::Floor if is_unknown => printer.print(&score_with_floor(model, vocab, line)),
            Unknown::Floor | Unknown::Refuse => printer.print_impossible(line, fault),
        }
    }

    /// Reports these lines at the end: an error or a note, as `how` says.
    fn end(&self, name: &Path, lines: usize) -> Result<()> {
        let of_unknown = self.unknown.1.map(|(number, fault)| {
            let count = self.unknown.0;
            format!(
                "{count} of {lines} lines hold unknown characters; the first is in line {number}: {fault}"
            )
        });
        let of_broken = self.broken.1.map(|(number, fault)| {
            let way = match fault {
                Fault::TooLong => "cut it",
                _ => "convert it (iconv), or ``lossy`` replaces such bytes",
            };
            format!("line {number} is {fault}; {way}; {} of {lines} lines are such", self.broken.0)
        });
        match (self.how, of_unknown, of_broken) {
            (_, None, None) => Ok(()),
            (Unknown::Skip, of_unknown, of_broken) => {
                of_unknown
                    .into_iter()
                    .chain(of_broken)
                    .for_each(|told| note(format_args!("{told}; left out")));
                Ok(())
            }
            (Unknown::Floor, of_unknown, of_broken) => {
                if let Some(told) = of_unknown {
                    let how = "such a character is judged as likely as any of Unicode's";
                    note(format_args!("{told}; {how}"));
                }
                of_broken.map_or(Ok(()), |told| Err(Error::data(name, told)))
            }
            (Unknown::Refuse, Some(told), of_broken) => {
                let also = of_broken.map_or(String::new(), |told| format!("; {told}"));
                let way = "``unknown`` skip leaves such lines out, floor judges them";
                Err(Error::data(name, format!("{told}; {way}{also}")))
            }
            (Unknown::Refuse, None, Some(told)) => Err(Error::data(name, told)),
        }
    }
}

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
        // `Mode::Lines` escapes line feeds too: a line has none.
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

    /// Prints a line of probability 0: infinities, or null in JSON, which has no infinity.
    fn print_impossible(&mut self, text: &str, fault: Fault) -> Result<()> {
        if self.out.json {
            let mut object = json!({"text": text, "log_likelihood": null, "bits": null, "loss": null});
            match fault {
                Fault::Unknown(UnknownCharacter { character, position }) => {
                    object["unknown"] = json!({"character": character, "position": position});
                }
                fault => object["fault"] = json!(fault.to_string()),
            }
            return self.object(&object);
        }
        let text = self.out.shown(text, Mode::Lines);
        let why = match fault {
            Fault::Unknown(UnknownCharacter { character, position }) => {
                format!("unknown: {character:?}, U+{:04X}, character {position}", u32::from(character))
            }
            fault => fault.to_string(),
        };
        self.out.line(format_args!("{:14.4}  {:9.4}  {text}  ({why})", f64::NEG_INFINITY, f64::INFINITY))
    }

    fn object(&mut self, object: &Value) -> Result<()> {
        self.count += 1;
        self.out.text(format_args!("{}{object}", if self.count > 1 { "," } else { "" }))
    }
}
