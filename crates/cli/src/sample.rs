//! `charloom sample`.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::str::FromStr;

use charloom::config::Stream;
use charloom::data::Mode;
use charloom::sample::{self, Known, SampleOptions, Sampler};
use charloom::{Checkpoint, Error, Result, files, models};
use indicatif::ProgressBar;
use serde_json::json;

use crate::output::{Out, bar, name, note, weights};
use crate::setup::RunData;

/// Let a model write
#[derive(clap::Args)]
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
    /// words: a generator for each word; torch: one for all, by multinomial's rule of today; torch-cdf: by that of
    /// replacement=True before torch 2.0
    #[arg(long, value_name = "words|torch|torch-cdf", default_value = "words")]
    stream: Stream,
    /// As the notebook of the run's preset drew: its rule, its seed, so many, the weights after the last step
    #[arg(long, conflicts_with_all = ["seed", "stream"])]
    as_notebook: bool,
    #[command(flatten)]
    data: RunData,
}

/// Where a sampling's random numbers begin.
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
    /// The seed; a random one has 32 bits, to be typed again.
    fn get(self) -> u64 {
        match self {
            Self::Given(seed) => seed,
            // The standard library's tables are keyed by the system's random numbers.
            Self::Random => RandomState::new().hash_one(()) >> 32,
        }
    }
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    if args.data.get().is_some() && !args.novel {
        return Err(Error::usage("the data has no effect: it is read for --novel alone"));
    }
    let file = if args.as_notebook { files::last_file(&args.run)? } else { files::model_file(&args.run)? };
    let checkpoint = Checkpoint::read(&file)?;
    note(weights(&file, &checkpoint));
    let model = models::open(&checkpoint, &file)?;
    let vocab = &checkpoint.vocab;
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
    let (wanted, seed) = (options.n, options.seed);
    let mut sampler = Sampler::new(&*model, vocab, options, known.as_ref())?;
    if let Some(generator) = generator {
        sampler = sampler.with_generator(generator);
    }
    let mut count = 0;
    if out.json {
        out.text("{\"samples\":[")?;
    }
    let bar = if out.is_terminal { ProgressBar::hidden() } else { bar(wanted, "sampling") };
    for sample in sampler.by_ref() {
        let sample = sample?;
        bar.inc(1);
        if out.json {
            let object = json!({
                "text": sample.text, "log_prob": sample.log_prob, "truncated": sample.truncated,
                "novelty": sample.novelty,
            });
            out.text(format_args!("{}{object}", if count > 0 { "," } else { "" }))?;
        } else {
            let text = out.shown(&sample.text, vocab.mode());
            out.line(text)?;
        }
        count += 1;
    }
    bar.finish_and_clear();
    if out.json {
        let (file, step) = (json!(name(&file)), checkpoint.step);
        out.line(format_args!("],\"file\":{file},\"step\":{step},\"seed\":{seed}}}"))?;
    }
    if sampler.gave_up() {
        return Err(Error::Failed(format!(
            "{count} of {wanted} words found; the model writes no others that --novel and --unique leave: \
             ask for fewer, or raise --temperature"
        )));
    }
    if args.seed == Seed::Random && !out.json {
        note(format_args!("the same again: --seed {seed}"));
    }
    if args.temperature == 0.0 && count > 1 {
        note("at --temperature 0 all are the same");
    }
    Ok(())
}

/// The words that the model was trained on.
fn known(args: &Args, checkpoint: &Checkpoint) -> Result<Known> {
    let (config, vocab) = (&checkpoint.config.data, checkpoint.vocab.clone());
    Ok(Known::of(
        &charloom::reload_data(config, Some(vocab), &args.run, args.data.get().map(PathBuf::as_path))?.splits,
    ))
}
