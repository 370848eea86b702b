//! Gathers the contents of a page about a run.

use std::path::Path;

use super::{LossRow, SampleRow};
use crate::{Figure, Lines};
use charloom::data::Data;
use charloom::data::DataCard;
use charloom::data::Mode;
use charloom::evaluation::{Baselines, baselines, evaluate};
use charloom::files::{self, Metric, RunFolder};
use charloom::inspect::{Inspection, RecordKind};
use charloom::models::{self, LanguageModel, MemberSummary, Neural};
use charloom::sample::{KnownWords, Novelty, SampleOptions, Sampler};
use charloom::{Checkpoint, Config, Result};

/// The number of words in the page, or of characters of a text.
const WORDS: u64 = 60;
const CHARACTERS: usize = 1000;
/// The number of examples on which the layers are inspected.
const ROWS: usize = 1024;
/// The number of words whose surprise is shown, and the most characters of one.
const SURPRISING: usize = 8;
const LONGEST: usize = 20;

/// Flat units are shown if one is in its flat part on a larger share of examples than this.
const MOSTLY_FLAT: f32 = 0.5;

/// The contents of a page about a run.
pub(super) struct Gathered {
    pub name: String,
    pub summary: String,
    pub warnings: Vec<String>,
    pub losses: Vec<LossRow>,
    pub curves: Vec<Lines>,
    pub is_text: bool,
    pub novel: String,
    pub samples: Vec<SampleRow>,
    pub pictures: Vec<Figure>,
    /// `None` if the layers were not inspected.
    pub findings: Option<Vec<String>>,
    pub tables: Vec<(&'static str, Vec<Vec<String>>)>,
    pub layers: Vec<Figure>,
    pub card: Vec<(String, String)>,
    /// Of a mixture; none of another model.
    pub members: Vec<MemberSummary>,
    pub configuration: Vec<(String, Vec<(String, String)>)>,
    pub toml: String,
}

impl Gathered {
    pub fn new(run: &Path, moved: Option<&Path>, worded: fn(&str) -> String) -> Result<Self> {
        let file = files::model_file(run)?;
        let checkpoint = Checkpoint::read(&file)?;
        let model = models::open(&checkpoint, &file)?;
        let name = crate::run_name(run);
        let config = &checkpoint.config;
        let counts = models::has_no_steps(config)?;
        let is_text = checkpoint.vocab.mode() == Mode::Text;
        let mut warnings = Vec::new();
        let vocab = Some(checkpoint.vocab.clone());
        let data = match charloom::reload_data(&config.data, vocab, run, moved) {
            Ok(data) => Some(data),
            Err(error) => {
                let missing = format!("What needs the data is missing here: {error}");
                warnings.push(worded(&missing));
                None
            }
        };
        let (losses, card) = match &data {
            Some(data) => (losses(&*model, data)?, card(&data.card(models::context(&config.model)?), worded)),
            None => (Vec::new(), Vec::new()),
        };
        let metrics = if run.is_dir() { Metric::read_all(run)? } else { Vec::new() };
        let runs = [(name.clone(), metrics)];
        let records = RunFolder::records(run)?;
        let mut curves = vec![crate::losses(&runs, None, false), crate::learning_rates(&runs)];
        curves.extend(crate::updates(&records));
        let curves = curves.into_iter().filter_map(|figure| match figure {
            Figure::Lines(lines) if lines.series.iter().any(|series| series.points.len() > 1) => Some(lines),
            _ => None,
        });
        let samples = samples(&*model, &checkpoint, data.as_ref())?;
        let new = samples.iter().filter(|sample| !sample.is_known).count();
        let novel = match &data {
            Some(_) => format!("{new} of {} are new: in no split of the data.", samples.len()),
            None => String::new(),
        };
        let mut pictures: Vec<Figure> = crate::embedding(&checkpoint, None).into_iter().collect();
        let (mut findings, mut tables, mut layers) = (None, Vec::new(), Vec::new());
        // Only layers over a window can be inspected on examples.
        let has_layers =
            !counts && Neural::from_checkpoint(&checkpoint, &file).is_ok_and(|net| net.stack().is_ok());
        if let Some(data) = data.as_ref().filter(|_| has_layers) {
            let seen = Inspection::trained(&checkpoint, data, ROWS, records, &file)?;
            let kinds = [
                ("Outputs of the layers", RecordKind::Activation),
                ("Gradients of the loss at these", RecordKind::Gradient),
                ("Weights; gradient and update in comparison with them", RecordKind::Weight),
            ];
            tables.extend(kinds.map(|(title, kind)| (title, seen.table(kind, 20))));
            findings = Some(seen.findings.into_iter().map(|finding| worded(&finding.message)).collect());
            if let Some(end) = seen.end {
                let kinds = [RecordKind::Activation, RecordKind::Gradient].into_iter();
                layers.extend(kinds.flat_map(|kind| crate::histograms(&end.records, kind)));
                // Without a mostly flat unit the map has nothing to show.
                if end.maps.iter().any(|(_, map)| map.iter().any(|&share| share > MOSTLY_FLAT)) {
                    layers.push(crate::dead(&end)?);
                }
            }
        }
        let words: Vec<String> = samples.iter().map(|sample| sample.text.clone()).collect();
        let words: Vec<String> = words
            .into_iter()
            .filter(|w| (1..=LONGEST).contains(&w.chars().count()))
            .take(SURPRISING)
            .collect();
        if !words.is_empty() && !is_text {
            pictures.push(crate::surprise(&*model, &checkpoint.vocab, &words)?);
        }
        let parameters = models::parameters(config, checkpoint.vocab.len())?;
        let kind = &config.model.kind;
        let summary = match parameters {
            Some(n) if models::has_no_steps(config)? => format!("{kind} with {n} parameters"),
            Some(n) => {
                let (best, steps) = (checkpoint.step, config.train.steps);
                let time = files::Timing::read(run).map_or(String::new(), |timing| format!("; {timing}"));
                format!("{kind} with {n} parameters, best after {best} of {steps} steps{time}")
            }
            None => format!("{kind}: counts of {} characters in a row", models::context(&config.model)? + 1),
        };
        Ok(Self {
            name,
            summary,
            warnings,
            losses,
            curves: curves.collect(),
            is_text,
            novel,
            samples,
            pictures,
            findings,
            tables,
            layers,
            card,
            members: models::members(config, checkpoint.vocab.len())?,
            configuration: sections(config),
            toml: config.to_toml(),
        })
    }
}

fn losses(model: &dyn LanguageModel, data: &Data) -> Result<Vec<LossRow>> {
    let splits =
        [("train", &data.splits.train), ("validation", &data.splits.val), ("test", &data.splits.test)];
    let mut rows = Vec::new();
    for (name, split) in splits {
        let Some(evaluation) = evaluate(model, split)? else { continue };
        let baselines = baselines(&data.splits.train, split, data.vocab.len())?;
        let [loss, bits] = [evaluation.loss, evaluation.bits_per_char].map(|loss| format!("{loss:.4}"));
        let shown = |loss: fn(&Baselines) -> f64| {
            baselines.as_ref().map_or_else(String::new, |baselines| format!("{:.4}", loss(baselines)))
        };
        let (bigram, unigram, uniform) = (shown(|b| b.bigram), shown(|b| b.unigram), shown(|b| b.uniform));
        let perplexity = format!("{:.3}", evaluation.perplexity);
        rows.push(LossRow {
            split: name,
            loss,
            bits,
            perplexity,
            examples: evaluation.examples,
            bigram,
            unigram,
            uniform,
        });
    }
    Ok(rows)
}

/// The data card's lines, each split into a key and a value.
fn card(card: &DataCard, worded: fn(&str) -> String) -> Vec<(String, String)> {
    let text = card.to_string();
    let mut lines = text.lines();
    let source = ("source".to_owned(), lines.next().unwrap_or_default().to_owned());
    let pair = |line: &str| {
        let (key, value) = line.trim().split_once(' ').unwrap_or((line, ""));
        (key.to_owned(), value.trim().to_owned())
    };
    let hints = card.warnings.iter().map(|warning| ("warning".to_owned(), worded(warning)));
    std::iter::once(source).chain(lines.map(pair)).chain(hints).collect()
}

fn samples(
    model: &dyn LanguageModel,
    checkpoint: &Checkpoint,
    data: Option<&Data>,
) -> Result<Vec<SampleRow>> {
    let is_text = checkpoint.vocab.mode() == Mode::Text;
    let default = SampleOptions::default();
    let (n, max_length) = if is_text { (1, CHARACTERS) } else { (WORDS, default.max_length) };
    let options = SampleOptions { n, max_length, ..default };
    let known = data.filter(|_| !is_text).map(|data| KnownWords::of(&data.splits));
    let sampler = Sampler::new(model, &checkpoint.vocab, options, known.as_ref())?;
    let written = sampler.map(|sample| {
        let sample = sample?;
        let novelty = match sample.novelty {
            Some(Novelty::New) => "new",
            Some(Novelty::InTrain) => "in train",
            Some(Novelty::InVal) => "in validation",
            Some(Novelty::InTest) => "in test",
            None => "",
        };
        Ok(SampleRow { is_known: sample.novelty != Some(Novelty::New), text: sample.text, novelty })
    });
    written.collect()
}

/// The settings by their section.
fn sections(config: &Config) -> Vec<(String, Vec<(String, String)>)> {
    let mut sections: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for (key, value) in config.flat() {
        let (section, key) = key.split_once('.').unwrap_or(("", &key));
        if sections.last().is_none_or(|(last, _)| last != section) {
            sections.push((section.to_owned(), Vec::new()));
        }
        if let Some((_, pairs)) = sections.last_mut() {
            pairs.push((key.to_owned(), value));
        }
    }
    sections
}
