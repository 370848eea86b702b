//! A good model of any text without choosing hyperparameters: four sizes, and their settings for each kind of
//! model.

use crate::choices;
use crate::config::{Batch, Config, ModelConfig};
use crate::data::{Data, Mode, Splits};
use crate::evaluation::evaluation_of;
use crate::models::{self, LanguageModel, fit_weights, mean_scores};
use crate::{Error, Result};

choices! {
    /// How large a model is, and how long it is trained.
    Size {
        /// Seconds.
        Tiny = "tiny",
        /// Half a minute.
        Small = "small",
        /// A few minutes.
        Medium = "medium",
        /// Up to an hour.
        Large = "large",
    }
}

/// The settings of each size for a kind of model, from the smallest to the largest.
struct Recipe {
    kind: &'static str,
    /// The model's settings, as TOML.
    model: [&'static str; 4],
    batch: [usize; 4],
    lr: [f64; 4],
    /// How many passes over the training split are made.
    epochs: [f64; 4],
    /// What [`DROPOUT`] is multiplied by. A transformer drops values twice a block, and would learn too little with
    /// all of it.
    dropout: f64,
}

/// The kind used if none is given.
const DEFAULT: &str = "gru";

const GRU: Recipe = Recipe {
    kind: "gru",
    model: [
        "embed = 16\nhidden = 64",
        "embed = 32\nhidden = 128",
        "embed = 32\nhidden = 192",
        "embed = 64\nhidden = 320\nlayers = 2",
    ],
    batch: [32, 64, 128, 64],
    lr: [0.01, 0.006, 0.004, 0.003],
    epochs: [4.0, 12.0, 24.0, 24.0],
    dropout: 1.0,
};

const RECIPES: [Recipe; 6] = [
    Recipe {
        kind: "mlp",
        model: [
            "context = 3\nembed = 8\nhidden = [64]",
            "context = 4\nembed = 12\nhidden = [200]",
            "context = 6\nembed = 24\nhidden = [384]",
            "context = 8\nembed = 32\nhidden = [768, 384]",
        ],
        batch: [64, 128, 256, 512],
        lr: [0.005, 0.003, 0.002, 0.001],
        epochs: [3.0, 12.0, 30.0, 40.0],
        dropout: 1.0,
    },
    Recipe {
        kind: "wavenet",
        model: [
            "context = 8\nembed = 12\nhidden = 32",
            "context = 8\nembed = 24\nhidden = 96",
            "context = 8\nembed = 24\nhidden = 160",
            "context = 16\nembed = 32\nhidden = 256",
        ],
        batch: [64, 128, 256, 256],
        lr: [0.005, 0.003, 0.002, 0.001],
        epochs: [3.0, 8.0, 14.0, 20.0],
        dropout: 0.0,
    },
    Recipe { kind: "rnn", lr: [0.005, 0.003, 0.002, 0.001], ..GRU },
    GRU,
    Recipe { kind: "lstm", ..GRU },
    Recipe {
        kind: "transformer",
        model: [
            "positions = \"rotary\"\nlayers = 2\nheads = 2\nembed = 32",
            "positions = \"rotary\"\nlayers = 3\nheads = 4\nembed = 64",
            "positions = \"rotary\"\nlayers = 4\nheads = 4\nembed = 96",
            "positions = \"rotary\"\nlayers = 6\nheads = 6\nembed = 192",
        ],
        batch: [32, 32, 64, 64],
        lr: [0.005, 0.003, 0.002, 0.001],
        epochs: [4.0, 12.0, 24.0, 24.0],
        dropout: 0.25,
    },
];

/// The settings of training that all sizes share.
const TRAIN: &str = "optimizer = \"adamw\"\nschedule = \"cosine\"\nwarmup = 0.02\nweight_decay = 0.05\n\
                     decay_on = \"matrices\"\nclip = 1.0";

/// Pairs (r, p): dropout p for fewer than r parameters per character of training text, the first pair that applies.
/// The less text, the more dropout.
const DROPOUT: [(f64, f64); 4] = [(0.02, 0.0), (0.1, 0.1), (0.5, 0.2), (2.0, 0.3)];
/// The dropout for still more parameters.
const MAX_DROPOUT: f64 = 0.4;
/// The weights are averaged over about this share of the steps, the last ones.
const AVERAGED: f64 = 0.02;
/// The fewest characters of training text for each example, word or stream of a batch.
const MIN_TEXT: usize = 256;
/// The fewest steps of an epoch on a running text: a short one gets a smaller batch.
const MIN_STEPS_PER_EPOCH: f64 = 60.0;
/// The smallest batch.
const MIN_BATCH: usize = 4;
/// Where `1 / MAX_CONTEXT_SHARE` of a running text is fewer than SHORT_CONTEXT tokens, that is its context,
/// unless the size has one.
const MAX_CONTEXT_SHARE: usize = 8;
const SHORT_CONTEXT: usize = 64;
/// The fewest steps on words and on a running text: a short one gets more epochs.
const MIN_STEPS: [f64; 2] = [500.0, 1500.0];

/// The settings of a size for this data and a kind of model, by default the one that suits most data. They
/// are TOML that a configuration file and flags override, as they do a preset.
///
/// ```
/// use charloom::size::{Size, recipe};
/// use charloom::{Config, data::Data};
///
/// let data = Data::load(&Config::default().data, None)?;
/// let config = Config::layered(Some(&recipe(Some("mlp"), Size::Tiny, &data)?), None)?;
/// assert_eq!(config.model.get("hidden").as_deref(), Some("[64]"));
/// # Ok::<(), charloom::Error>(())
/// ```
///
/// # Errors
/// A kind that has no sizes; data without anything to train on.
pub fn recipe(kind: Option<&str>, size: Size, data: &Data) -> Result<String> {
    let kind = kind.unwrap_or(DEFAULT);
    let recipe = RECIPES.iter().find(|recipe| recipe.kind == kind).ok_or_else(|| {
        let known: Vec<&str> = RECIPES.iter().map(|recipe| recipe.kind).collect();
        Error::setting(
            "size",
            format!(": a model of kind {kind:?} has no sizes; those of {} have", known.join(", ")),
        )
    })?;
    let i = size as usize;
    let mut text = format!("[model]\nkind = \"{kind}\"\n{}\n", recipe.model[i]);
    let (tokens, is_text) = (data.splits.train.tokens().len(), data.vocab.mode() == Mode::Text);
    let context = tokens / MAX_CONTEXT_SHARE;
    let mut plain = Config::layered(Some(&text), None)?;
    if is_text && context < SHORT_CONTEXT && plain.model.get("context").is_none() {
        text += &format!("context = {}\n", context.max(1));
        plain.model.set("context", context.max(1));
    }
    if recipe.dropout > 0.0 {
        let parameters = models::parameters(&plain, data.vocab.len())?.unwrap_or(0) as f64;
        let ratio = parameters / tokens.max(1) as f64;
        let step = DROPOUT.iter().find(|(most, _)| ratio < *most);
        let all = step.map_or(MAX_DROPOUT, |(_, dropout)| *dropout);
        text += &format!("dropout = {:?}\n", recipe.dropout * all);
    }
    let mut batch = recipe.batch[i].min((tokens / MIN_TEXT).max(MIN_BATCH));
    plain.train.batch = Batch::Size(batch);
    let [of_words, of_text] = MIN_STEPS;
    let mut fewest = of_words;
    if is_text {
        let share = (models::steps_per_epoch(&plain, data)? / MIN_STEPS_PER_EPOCH).min(1.0);
        batch = ((batch as f64 * share) as usize).max(MIN_BATCH);
        plain.train.batch = Batch::Size(batch);
        fewest = of_text;
    }
    let lr = recipe.lr[i];
    let steps = (recipe.epochs[i] * models::steps_per_epoch(&plain, data)?).ceil().max(fewest) as u64;
    let ema = 1.0 - 1.0 / (AVERAGED * steps as f64);
    Ok(text + &format!("[train]\nbatch = {batch}\nlr = {lr:?}\nsteps = {steps}\nema = {ema:?}\n{TRAIN}\n"))
}

/// How many multiplications the forward passes of a configuration's training take.
///
/// # Errors
/// Data without anything to train on.
fn work(config: &Config, data: &Data) -> Result<f64> {
    let epochs = config.train.steps as f64 / models::steps_per_epoch(config, data)?.max(f64::MIN_POSITIVE);
    let predictions = epochs * data.splits.train.tokens().len() as f64;
    Ok(predictions * models::multiplications(config, data.vocab.len())? as f64)
}

/// How many seconds a size takes on this data, if training this configuration took `took` seconds.
///
/// # Units
/// Seconds.
///
/// # Errors
/// As [`recipe`].
pub fn seconds(size: Size, config: &Config, data: &Data, took: f64) -> Result<f64> {
    let sized = Config::layered(Some(&recipe(None, size, data)?), None)?;
    Ok(took * work(&sized, data)? / work(config, data)?.max(1.0))
}

/// The order of n-grams that is best, or close to it, on words and on a running text of any length.
const ORDERS: [usize; 2] = [5, 6];
/// The most characters of training text whose n-grams are counted beside a training, in less than half a
/// second.
const MAX_COUNTED: usize = 300_000;

/// The losses of a model, of counts of n-grams and of both mixed, on the validation split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NGramComparison {
    /// The order of the n-grams.
    pub order: usize,
    /// The model's loss.
    ///
    /// # Units
    /// Nats per character.
    pub model: f64,
    /// That of the counts.
    pub counts: f64,
    /// That of their mixture, its weights fitted.
    pub mixed: f64,
}

/// What counts of n-grams, and a mixture with them, would reach where a model was trained; None for a long text, or
/// without a validation split.
///
/// # Errors
/// As [`models::count`].
pub fn compare_with_ngrams(
    model: &dyn LanguageModel,
    config: &Config,
    data: &Data,
) -> Result<Option<NGramComparison>> {
    let Splits { train, val, .. } = &data.splits;
    if train.tokens().len() > MAX_COUNTED {
        return Ok(None);
    }
    let order = ORDERS[usize::from(data.vocab.mode() == Mode::Text)];
    let counted = ModelConfig::of("ngram").with("order", order);
    let (counts, _) = models::count(&Config { model: counted, ..config.clone() }, data)?;
    let scores = [model, &*counts].map(|model| model.score_split(val, &mut |_| Ok(())));
    let scores = scores.into_iter().collect::<Result<Vec<_>>>()?;
    let mixed = mean_scores(&fit_weights(&scores).weights, &scores);
    let scored = scores.iter().chain([&mixed]).map(|scores| evaluation_of(scores));
    let [Some(model), Some(counts), Some(mixed)] = scored.collect::<Result<Vec<_>>>()?[..] else {
        return Ok(None);
    };
    Ok(Some(NGramComparison { order, model: model.loss, counts: counts.loss, mixed: mixed.loss }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Batch;
    use crate::data::Corpus;

    fn data(words: usize) -> Data {
        let mut config = Config::default();
        let file = tempfile::NamedTempFile::new().unwrap();
        let word = |i: usize| format!("{}{}\n", ["ab", "ba", "cad", "abc"][i % 4], ["a", "b", "da"][i % 3]);
        std::fs::write(file.path(), (0..words).map(word).collect::<String>()).unwrap();
        config.data.path = Some(file.path().to_path_buf());
        crate::load_data(&mut config).unwrap()
    }

    #[test]
    fn every_size_of_every_kind_is_a_valid_training_larger_than_the_one_before() {
        let data = data(4000);
        for Recipe { kind, .. } in &RECIPES {
            let mut before = 0.0;
            for size in [Size::Tiny, Size::Small, Size::Medium, Size::Large] {
                let config = Config::layered(Some(&recipe(Some(kind), size, &data).unwrap()), None).unwrap();
                config.validate().unwrap();
                models::check_sizes(&config, data.vocab.len()).unwrap();
                let work = work(&config, &data).unwrap();
                assert!(work > before, "{} {size}: {work} after {before}", kind);
                before = work;
            }
        }
    }

    #[test]
    fn little_text_is_gone_through_more_often_and_with_more_dropout() {
        let of =
            |words| Config::layered(Some(&recipe(None, Size::Small, &data(words)).unwrap()), None).unwrap();
        let [few, many] = [30, 20_000].map(of);
        let dropout = |config: &Config| config.model.get("dropout").unwrap().parse::<f64>().unwrap();
        let batch = |config: &Config| match config.train.batch {
            Batch::Size(batch) => batch,
            Batch::Full => usize::MAX,
        };
        assert!(few.train.steps == 500 && batch(&few) < batch(&many));
        assert!(dropout(&few) > dropout(&many) && many.train.steps > 500);
        let said = recipe(Some("ngram"), Size::Tiny, &data(30)).unwrap_err().to_string();
        assert!(
            said.contains(
                "a model of kind \"ngram\" has no sizes; those of mlp, wavenet, rnn, gru, lstm, transformer"
            ),
            "{said}"
        );
    }

    #[test]
    fn a_very_short_text_can_be_learned_from() {
        let mut config = Config::default();
        config.data.mode = Some(Mode::Text);
        for words in [12, 40, 110] {
            let corpus =
                Corpus::from_bytes("here", "on and ".repeat(words).as_bytes(), &config.data).unwrap();
            let data = Data::of(corpus, &config.data, None).unwrap();
            for Recipe { kind, .. } in &RECIPES {
                let recipe = recipe(Some(kind), Size::Tiny, &data).unwrap();
                let mut sized = Config::layered(Some(&recipe), None).unwrap();
                sized.data = config.data.clone();
                crate::resolve_config(&mut sized, &data).unwrap();
                crate::train::Trainer::new(&sized, &data).unwrap();
            }
        }
    }

    #[test]
    fn counts_are_made_beside_a_short_text_only() {
        let [short, long] = [200, 80_000].map(data);
        let config = Config { model: ModelConfig::of("ngram").with("order", 1), ..Config::default() };
        let (model, _) = models::count(&config, &short).unwrap();
        let beside = compare_with_ngrams(&*model, &config, &short).unwrap().unwrap();
        assert!(
            beside.order == 5 && beside.counts < beside.model && beside.mixed < beside.counts + 1e-6,
            "{beside:?}"
        );
        assert_eq!(compare_with_ngrams(&*model, &config, &long).unwrap(), None);
    }

    #[test]
    fn a_size_takes_the_time_of_its_work() {
        let data = data(1000);
        let config = Config::layered(Some(&recipe(None, Size::Small, &data).unwrap()), None).unwrap();
        assert_eq!(seconds(Size::Small, &config, &data, 3.0).unwrap(), 3.0);
        assert!(seconds(Size::Large, &config, &data, 3.0).unwrap() > 6.0);
    }
}
