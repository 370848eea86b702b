//! `charloom eval`.

use std::path::{Path, PathBuf};

use charloom::data::{Data, DataConfig, Split};
use charloom::error::UnknownCharacter;
use charloom::evaluation::{
    Baselines, Evaluation, Unknown, baselines, evaluate_adapting, evaluate_with_progress, with_floor,
};
use charloom::models::{self, Adapt, AdaptRule, LanguageModel};
use charloom::{Checkpoint, Error, Result};
use serde_json::json;

use crate::output::{Out, name, note, weights, with_progress};
use crate::setup::{RunData, read_model, reload_data};

/// Measure how well a model predicts a split
///
/// Data of other contents than the run's are evaluated as a whole.
#[derive(clap::Args)]
pub struct Args {
    /// A run folder or a .safetensors file
    run: PathBuf,
    /// train, val, test or all [default: val; other data than the run's as a whole]
    #[arg(long, value_name = "SPLIT", value_parser = ["train", "val", "test", "all"])]
    split: Option<String>,
    #[command(flatten)]
    data: RunData,
    /// Replace bytes of other data that are not UTF-8, as is done for a model whose data was read so
    #[arg(long)]
    lossy: bool,
    /// Lines of other data with a character unknown to the model: refuse (told in the end, and exit code 1), skip,
    /// floor [default: refuse]
    #[arg(long, value_name = "WORD")]
    unknown: Option<Unknown>,
    /// How far a transformer's window moves on [default: as trained; its context: nanoGPT's windows, side by side]
    #[arg(long, value_name = "N")]
    stride: Option<usize>,
    /// Learn at this rate from what was read, after it was judged, and forget it all in the end; .2 and less, with
    /// --adapt-rule rms .002 and less
    #[arg(long, value_name = "LR", allow_negative_numbers = true)]
    adapt: Option<f64>,
    /// Characters after which --adapt makes a step [default: 50]
    #[arg(long, value_name = "N", requires = "adapt")]
    adapt_segment: Option<usize>,
    /// How --adapt steps: plain, or rms, by the size that each gradient has on the training split [default: plain]
    #[arg(long, value_name = "RULE", requires = "adapt")]
    adapt_rule: Option<AdaptRule>,
    /// The share of what it learned that --adapt forgets with each step [default: 0]
    #[arg(long, value_name = "X", requires = "adapt")]
    adapt_decay: Option<f64>,
}

impl Args {
    /// `own` is the data that the model was trained on, if it is at hand.
    fn adapt<'s>(&self, own: Option<&'s Data>) -> Result<Option<Adapt<'s>>> {
        let Some(lr) = self.adapt else { return Ok(None) };
        let train = || {
            let way = "without --data, or use the plain rule";
            let message = format!("--adapt-rule rms measures the training split; evaluate {way}");
            own.map(|data| &data.splits.train).ok_or_else(|| Error::usage(message))
        };
        Adapt::with(lr, self.adapt_segment, self.adapt_rule, self.adapt_decay, train).map(Some)
    }
}

/// The evaluation of a split, with baselines beside it.
pub struct Row {
    pub name: &'static str,
    pub evaluation: Evaluation,
    /// `None` if the data is not what the model was trained on.
    pub baselines: Option<Baselines>,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let (file, mut checkpoint) = read_model(&args.run)?;
    if let Some(stride) = args.stride {
        checkpoint.config.model.set("stride", stride);
        models::check(&checkpoint.config.model)?;
    }
    note(weights(&file, &checkpoint));
    let model = models::open(&checkpoint, &file)?;
    let Evaluated { path, data, is_foreign, unknown } = read(args, &checkpoint)?;
    let wanted = if is_foreign { "train" } else { args.split.as_deref().unwrap_or("val") };
    let adapt = args.adapt(data.as_ref().filter(|_| !is_foreign))?;
    let mut rows = match &data {
        Some(data) => rows(&*model, data, wanted, adapt.as_ref())?,
        None => Vec::new(),
    };
    if is_foreign {
        let mut judged = rows.pop().map(|row| row.evaluation);
        if args.unknown == Some(Unknown::Floor) && !unknown.0.is_empty() {
            judged = Some(with_floor(&*model, &checkpoint.vocab, judged, &unknown.0));
        }
        rows.extend(judged.map(|evaluation| Row { name: "all", evaluation, baselines: None }));
    }
    let all = total(&rows, wanted);
    if out.json {
        let mut object = json!(all.evaluation);
        object["split"] = json!(all.name);
        (object["file"], object["step"]) = (json!(name(&file)), json!(checkpoint.step));
        object["baselines"] = json!(all.baselines);
        let stride = checkpoint.config.model.get("stride");
        object["stride"] = json!(stride.and_then(|stride| stride.parse::<usize>().ok()));
        object["adapt"] = json!(adapt.map(|adapt| adapt.lr));
        object["adapt_segment"] = json!(adapt.map(|adapt| adapt.segment));
        object["adapt_rule"] = json!(adapt.map(|adapt| adapt.rule().as_str()));
        object["adapt_decay"] = json!(adapt.map(|adapt| adapt.decay));
        if rows.len() > 1 {
            let of = |row: &Row| (row.name.to_owned(), json!(row.evaluation));
            object["splits"] = rows.iter().map(of).collect::<serde_json::Map<_, _>>().into();
        }
        out.object(&object)?;
    } else {
        print(&rows, (rows.len() > 1).then_some(&all), out)?;
    }
    report_unknown(args.unknown.unwrap_or(Unknown::Refuse), &path, &unknown)
}

/// The data to evaluate.
struct Evaluated {
    path: PathBuf,
    /// `None` if every line is left out.
    data: Option<Data>,
    /// Whether it is other data than the model was trained on.
    is_foreign: bool,
    /// The lines left out of `data` for a character unknown to the model, and the first such character.
    unknown: (Vec<String>, Option<UnknownCharacter>),
}

fn read(args: &Args, checkpoint: &Checkpoint) -> Result<Evaluated> {
    let (config, vocab) = (&checkpoint.config.data, Some(checkpoint.vocab.clone()));
    let own = |data: Data| Evaluated {
        path: data.source.path.clone(),
        data: Some(data),
        is_foreign: false,
        unknown: Default::default(),
    };
    let moved = args.data.get().map(PathBuf::as_path);
    if moved.is_none() && (args.lossy || args.unknown.is_some()) {
        let message =
            "--lossy and --unknown have no effect on the run's own data, which is read as it was; name other";
        return Err(Error::usage(message));
    }
    let Some(path) = moved.filter(|path| !path.is_dir()) else {
        return reload_data(config, vocab, &args.run, moved).map(own);
    };
    let lossy = args.lossy || config.lossy;
    let mut named = DataConfig { path: Some(path.to_path_buf()), sha256: None, lossy, ..config.clone() };
    let mut corpus = Data::corpus(&named)?;
    if config.sha256.as_ref() == Some(&corpus.source().sha256) {
        let found = charloom::find_data(config, &args.run, moved)?;
        return Data::of(corpus, &found, vocab).map(own);
    }
    let foreign = format!("{} is not what the model was trained on", path.display());
    if args.split.as_ref().is_some_and(|split| split != "all") {
        return Err(Error::usage(format!(
            "--split has no effect: {foreign}, and is evaluated as a whole; leave it out"
        )));
    }
    note(format_args!("{foreign}; all of it is evaluated"));
    let unknown = corpus.take_unknown(&checkpoint.vocab);
    (named.split, named.val, named.test) = (Some([1.0, 0.0, 0.0]), None, None);
    let data = match unknown.1 {
        Some(character) if corpus.text().is_empty() => {
            if args.unknown != Some(Unknown::Floor) {
                let way = "``unknown`` floor judges such lines";
                let message = format!("every line has an unknown character; the first: {character}; {way}");
                return Err(Error::data(path, message));
            }
            None
        }
        _ => Some(Data::of(corpus, &named, vocab)?),
    };
    Ok(Evaluated { path: path.to_path_buf(), data, is_foreign: true, unknown })
}

/// Reports the lines with unknown characters: an error or a note, as `--unknown` says.
fn report_unknown(
    how: Unknown,
    path: &Path,
    (lines, first): &(Vec<String>, Option<UnknownCharacter>),
) -> Result<()> {
    let Some(first) = first else { return Ok(()) };
    let lines = match lines.len() {
        1 => "1 line holds".to_owned(),
        count => format!("{count} lines hold"),
    };
    let message = format!("{lines} unknown characters; the first: {first}");
    match how {
        Unknown::Refuse => {
            let hint = "are not in these figures; ``unknown`` skip leaves them out, floor judges them";
            return Err(Error::data(path, format!("{message}; such lines {hint}")));
        }
        Unknown::Skip => note(format_args!("{message}; left out")),
        Unknown::Floor => {
            note(format_args!("{message}; such a character is judged as likely as any of Unicode's"))
        }
    }
    Ok(())
}

/// Evaluates one split, or with "all" each that is not empty.
///
/// # Errors
/// A split that is empty; splits without anything to predict; a model that cannot adapt.
pub fn rows(
    model: &dyn LanguageModel,
    data: &Data,
    wanted: &str,
    adapt: Option<&Adapt<'_>>,
) -> Result<Vec<Row>> {
    let splits = [("train", &data.splits.train), ("val", &data.splits.val), ("test", &data.splits.test)];
    let chosen: Vec<(&'static str, &Split)> = splits
        .into_iter()
        .filter(|(name, split)| *name == wanted || (wanted == "all" && !split.is_empty()))
        .collect();
    if let [(name, split)] = &chosen[..]
        && split.is_empty()
    {
        let message =
            format!("the {name} split is empty; choose another --split, or name a file with --data");
        return Err(Error::usage(message));
    }
    let mut rows = Vec::new();
    for (name, split) in chosen {
        match row(name, model, data, split, adapt)? {
            Some(row) => rows.push(row),
            None => note(format_args!("nothing in the {name} split is judged: it has one character")),
        }
    }
    if rows.is_empty() {
        let message = format!("nothing in the {wanted} split is judged; name a longer text with --data");
        return Err(Error::usage(message));
    }
    Ok(rows)
}

/// Evaluates a split; `None` if there is nothing in it to predict.
pub fn row(
    name: &'static str,
    model: &dyn LanguageModel,
    data: &Data,
    split: &Split,
    adapt: Option<&Adapt<'_>>,
) -> Result<Option<Row>> {
    let evaluation = with_progress(name, |progress| match adapt {
        None => evaluate_with_progress(model, split, progress),
        Some(adapt) => evaluate_adapting(model, split, adapt, progress),
    })?;
    let Some(evaluation) = evaluation else { return Ok(None) };
    let baselines = baselines(&data.splits.train, split, data.vocab.len())?;
    Ok(Some(Row { name, evaluation, baselines }))
}

fn total(rows: &[Row], wanted: &str) -> Row {
    let all: Vec<Evaluation> = rows.iter().map(|row| row.evaluation).collect();
    let evaluation = Evaluation::of_all(&all);
    let mean = |loss: fn(&Baselines) -> f64| {
        let sums =
            rows.iter().map(|row| Some(loss(row.baselines.as_ref()?) * row.evaluation.examples as f64));
        Some(sums.sum::<Option<f64>>()? / evaluation.examples as f64)
    };
    let baselines = match (mean(|b| b.uniform), mean(|b| b.unigram), mean(|b| b.bigram)) {
        (Some(uniform), Some(unigram), Some(bigram)) => Some(Baselines { uniform, unigram, bigram }),
        _ => None,
    };
    let name = if wanted == "all" { "all" } else { rows[0].name };
    Row { name, evaluation, baselines }
}

/// Prints a table of the rows, with the losses of the baselines.
pub fn print(rows: &[Row], all: Option<&Row>, out: &mut Out) -> Result<()> {
    let head = ["split", "loss", "bits/char", "perplexity", "examples", "bigram", "unigram", "uniform"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for Row { name, evaluation, baselines } in rows.iter().chain(all) {
        table.push(vec![
            (*name).to_owned(),
            format!("{:.4}", evaluation.loss),
            format!("{:.4}", evaluation.bits_per_char),
            format!("{:.3}", evaluation.perplexity),
            evaluation.examples.to_string(),
        ]);
        if let Some(Baselines { uniform, unigram, bigram }) = baselines {
            let shown = [bigram, unigram, uniform].map(|loss| format!("{loss:.4}"));
            table.last_mut().expect("just pushed").extend(shown);
        }
    }
    out.table(&table)
}
