//! `charloom eval`.

use std::path::PathBuf;

use charloom::data::Data;
use charloom::data::Split;
use charloom::evaluation::{Baselines, Evaluation, baselines, evaluate};
use charloom::models::{self, LanguageModel};
use charloom::{Checkpoint, Error, Result, files};
use serde_json::json;

use crate::output::{Out, note};

/// Measure how well a model predicts a split
#[derive(clap::Args)]
pub struct Args {
    /// A run folder or a .safetensors file
    run: PathBuf,
    /// train, val, test or all
    #[arg(long, value_name = "SPLIT", default_value = "val", value_parser = ["train", "val", "test", "all"])]
    split: String,
    /// Where the data is now; a file with other contents is evaluated as a whole
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
}

/// A split, what the model makes of it, and what ignorance would.
pub struct Row {
    pub name: &'static str,
    pub evaluation: Evaluation,
    /// None when the data is not the training's.
    pub baselines: Option<Baselines>,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let file = files::model_file(&args.run)?;
    let checkpoint = Checkpoint::read(&file)?;
    let model = models::open(&checkpoint, &file)?;
    let vocab = || Some(checkpoint.vocab.clone());
    let mut config = checkpoint.config.data.clone();
    let trained_on = config.sha256.clone();
    if args.data.is_some() {
        (config.path, config.sha256) = (args.data.clone(), None);
    }
    let mut data = Data::load(&config, vocab())?;
    let (mut wanted, mut is_foreign) = (args.split.as_str(), false);
    if args.data.is_some() && trained_on.as_ref() != Some(&data.source.sha256) {
        note(format_args!(
            "{} is not what the model was trained on; all of it is evaluated",
            data.source.path.display()
        ));
        (config.split, config.val, config.test) = (Some([1.0, 0.0, 0.0]), None, None);
        data = Data::load(&config, vocab())?;
        wanted = "train";
        is_foreign = true;
    }
    let mut rows = rows(&*model, &data, wanted)?;
    if is_foreign {
        rows.iter_mut().for_each(|row| (row.name, row.baselines) = ("all", None));
    }
    let all = total(&rows, wanted);
    if out.json {
        let mut object = json!(all.evaluation);
        object["split"] = json!(all.name);
        object["baselines"] = json!(all.baselines);
        if rows.len() > 1 {
            let of = |row: &Row| (row.name.to_owned(), json!(row.evaluation));
            object["splits"] = rows.iter().map(of).collect::<serde_json::Map<_, _>>().into();
        }
        return out.object(&object);
    }
    print(&rows, (rows.len() > 1).then_some(&all), out)
}

/// The rows of one split, or of all that are not empty.
pub fn rows(model: &dyn LanguageModel, data: &Data, wanted: &str) -> Result<Vec<Row>> {
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
        match row(name, model, data, split)? {
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

/// None if nothing in the split is judged.
fn row(name: &'static str, model: &dyn LanguageModel, data: &Data, split: &Split) -> Result<Option<Row>> {
    let Some(evaluation) = evaluate(model, split)? else { return Ok(None) };
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

/// A table of rows; losses beside what ignorance would give.
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
