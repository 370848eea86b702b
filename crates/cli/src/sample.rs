//! `charloom sample`.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::iter;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use charloom::config::RandomStream;
use charloom::data::Mode;
use charloom::sample::{self, KnownWords, MAX_MISSED_CHARACTERS, Sample, SampleOptions, Sampler};
use charloom::{Checkpoint, Error, Result, files, models};
use indicatif::ProgressBar;
use regex_lite::Regex;
use serde_json::{Map, Value, json};

use crate::output::{Out, late_bar, name, note, weights};
use crate::setup::{RunData, read_checkpoint, reload_data};

/// Let a model write
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// A run folder or a .safetensors file
    run: PathBuf,
    /// How many words or texts [default: 20 words, 1 text]
    #[arg(short, long = "count", value_name = "N")]
    n: Option<u64>,
    /// Seed of the random numbers
    ///
    /// With random it is another one each time; it is printed, so that the words can be had again.
    #[arg(long, value_name = "N|random", default_value_t = Seed::Given(SampleOptions::default().seed))]
    seed: Seed,
    /// Below 1 likelier, above 1 stranger, 0 the likeliest only
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    temperature: f64,
    /// Draw from the K likeliest characters only; 0: all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Draw from the likeliest characters that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// What each begins with
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Fewest characters of a word
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_length: usize,
    /// Most characters
    #[arg(long, value_name = "N", default_value_t = SampleOptions::default().max_length)]
    max_length: usize,
    /// Leave out words of the training split
    #[arg(long)]
    novel: bool,
    /// Leave out words sampled before
    #[arg(long)]
    unique: bool,
    /// Leave out what does not match this regular expression from beginning to end; gives up after 4 million
    /// characters that do not
    #[arg(long, value_name = "REGEX", value_parser = parse_pattern)]
    pattern: Option<Regex>,
    /// The N likeliest words, exactly and in order, instead of drawn ones
    #[arg(long, value_name = "N", conflicts_with_all = DRAWING_FLAGS)]
    top: Option<usize>,
    /// words: a generator for each word; torch: one for all, by multinomial's rule of today; torch-cdf: by that of
    /// replacement=True before torch 2.0
    #[arg(long, value_name = "words|torch|torch-cdf", default_value = "words")]
    stream: RandomStream,
    /// As the notebook of the run's preset drew: its rule, its seed, so many, the weights after the last step
    #[arg(long, conflicts_with_all = ["seed", "stream"])]
    as_notebook: bool,
    #[command(flatten)]
    data: RunData,
}

/// The flags that have no effect with --top.
const DRAWING_FLAGS: [&str; 11] = [
    "n",
    "seed",
    "temperature",
    "top_k",
    "top_p",
    "min_length",
    "novel",
    "unique",
    "pattern",
    "stream",
    "as_notebook",
];

/// Parses a regular expression that must match the whole word.
fn parse_pattern(pattern: &str) -> std::result::Result<Regex, regex_lite::Error> {
    Regex::new(pattern)?;
    Regex::new(&format!(r"\A(?:{pattern})\z"))
}

/// The value of `--seed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seed {
    Given(u64),
    Random,
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "random" => Ok(Self::Random),
            _ => text.parse().map(Self::Given).map_err(|_| "neither a whole number nor random".to_owned()),
        }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(seed) => seed.fmt(f),
            Self::Random => f.write_str("random"),
        }
    }
}

impl Seed {
    /// The seed; a random one has 32 bits, so that it is short to type again.
    fn get(self) -> u64 {
        match self {
            Self::Given(seed) => seed,
            // The keys of RandomState are random numbers of the system.
            Self::Random => RandomState::new().hash_one(()) >> 32,
        }
    }
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    if args.data.get().is_some() && !args.novel {
        return Err(Error::usage("the data has no effect: it is read for --novel alone"));
    }
    let file = if args.as_notebook { files::last_file(&args.run)? } else { files::model_file(&args.run)? };
    let checkpoint = read_checkpoint(&file)?;
    note(weights(&file, &checkpoint));
    let model = models::open(&checkpoint, &file)?;
    let vocab = &checkpoint.vocab;
    let mut about = Map::from_iter([
        ("file".to_owned(), json!(name(&file))),
        ("step".to_owned(), json!(checkpoint.step)),
    ]);
    if let Some(n) = args.top {
        let found = sample::top(&*model, vocab, n, &args.prefix, args.max_length, &mut || Ok(()))?;
        let bar = ProgressBar::hidden();
        return print(found.into_iter().map(Ok), vocab.mode(), &about, &bar, out).map(|_| ());
    }
    let is_text = vocab.mode() == Mode::Text;
    let known = if args.novel && !is_text { Some(known(args, &checkpoint)?) } else { None };
    let seed = args.seed.get();
    let (drawn_as, generator) = if args.as_notebook {
        let (options, generator) = sample::notebook(&checkpoint)?;
        (options, Some(generator))
    } else {
        let n = if is_text { 1 } else { SampleOptions::default().n };
        let options = SampleOptions { n, seed, stream: args.stream, ..SampleOptions::default() };
        (options, None)
    };
    let options = SampleOptions {
        n: args.n.unwrap_or(drawn_as.n),
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        prefix: args.prefix.clone(),
        min_length: args.min_length,
        max_length: args.max_length,
        novel: args.novel,
        unique: args.unique,
        ..drawn_as
    };
    let wanted = options.n;
    about.insert("seed".to_owned(), json!(options.seed));
    // With a pattern it is not known how many draws it takes.
    let n = if args.pattern.is_some() { u64::MAX } else { wanted };
    let mut sampler = Sampler::new(&*model, vocab, SampleOptions { n, ..options }, known.as_ref())?;
    if let Some(generator) = generator {
        sampler = sampler.with_generator(generator);
    }
    let bar = late_bar(wanted, "sampling");
    let mut missed = 0;
    let next = || {
        while missed < MAX_MISSED_CHARACTERS {
            let sample = sampler.next()?;
            let is_match = |text: &str| args.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
            if sample.as_ref().map_or(true, |sample| is_match(&sample.text)) {
                missed = 0;
                return Some(sample);
            }
            missed += sample.map_or(0, |sample| sample.drawn());
            bar.set_message(format!("{} drawn", sampler.tried()));
        }
        None
    };
    let matching = iter::from_fn(next).take(wanted as usize).inspect(|_| bar.inc(1));
    let count = print(matching, vocab.mode(), &about, &bar, out)?;
    bar.finish_and_clear();
    if count < wanted {
        let given =
            [("--novel", args.novel), ("--unique", args.unique), ("--pattern", args.pattern.is_some())];
        let given: Vec<&str> =
            given.into_iter().filter_map(|(flag, is_given)| is_given.then_some(flag)).collect();
        let what = if is_text { "texts" } else { "words" };
        let way = match (&args.pattern, args.prefix.as_str()) {
            (None, _) => "",
            (Some(_), "") => ", or begin with what the pattern wants (--prefix)",
            (Some(_), _) => ", or see whether anything with this --prefix can match the pattern",
        };
        return Err(Error::Failed(format!(
            "{count} of {wanted} {what} found: {} left out the rest of {} that were drawn; ask for fewer, raise \
             --temperature{way}",
            given.join(" and "),
            sampler.tried()
        )));
    }
    if args.seed == Seed::Random && !out.json {
        note(format_args!("the same again: --seed {}", about["seed"]));
    }
    if args.temperature == 0.0 && count > 1 {
        note("at --temperature 0 all are the same");
    }
    Ok(())
}

/// How long samples may wait in a buffer before they are written.
const MAX_WAIT: Duration = Duration::from_millis(200);

/// Prints samples as they come, above `bar`, in JSON with the fields of `about` after them; returns their number.
fn print(
    samples: impl Iterator<Item = Result<Sample>>,
    mode: Mode,
    about: &Map<String, Value>,
    bar: &ProgressBar,
    out: &mut Out,
) -> Result<u64> {
    let (mut count, mut written) = (0, Instant::now());
    if out.json {
        out.text("{\"samples\":[")?;
    }
    for sample in samples {
        let sample = sample?;
        if out.json {
            let comma = if count > 0 { "," } else { "" };
            out.text(format_args!("{comma}{}", json!(sample)))?;
        } else {
            let text = out.shown(&sample.text, mode);
            // On a terminal the bar makes way for the line.
            if out.is_terminal { bar.suspend(|| out.line(text))? } else { out.line(text)? }
        }
        count += 1;
        if written.elapsed() > MAX_WAIT {
            out.flush()?;
            written = Instant::now();
        }
    }
    if out.json {
        let about: String = about.iter().map(|(key, value)| format!(",{}:{value}", json!(key))).collect();
        out.line(format_args!("]{about}}}"))?;
    }
    Ok(count)
}

/// The words that the model was trained on.
fn known(args: &Args, checkpoint: &Checkpoint) -> Result<KnownWords> {
    let (config, vocab) = (&checkpoint.config.data, checkpoint.vocab.clone());
    Ok(KnownWords::of(
        &reload_data(config, Some(vocab), &args.run, args.data.get().map(PathBuf::as_path))?.splits,
    ))
}
