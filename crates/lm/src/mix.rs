//! Mixes runs: checks that they fit together, weighs them, and makes one model file of all.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::ModelConfig;
use crate::data::{Data, DataConfig, Split, Vocab};
use crate::evaluation::{Evaluation, evaluation_of};
use crate::files::{Metric, NamedTensor, RunFolder};
use crate::models::{
    self, Adapt, LanguageModel, Member, Mixture, MixtureSettings, OpinionPool, Power, Predictions, Progress,
    fit_powers, fit_weights, mean_scores, member_prefix, predictions,
};
use crate::{Checkpoint, Config, Error, Result, files};

/// How much each member of a mixture counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights {
    /// The weights with which the validation split is likeliest.
    Fitted,
    /// Equal weights.
    Equal,
    /// These weights, one for each run.
    Given(Vec<f64>),
    /// Powers of a product, in place of weights of a mean, fitted as [`fit_powers`] says.
    Powers {
        /// The rate at which the members learn from the text while they are fitted to it, see [`Adapt::new`];
        /// `None`: they do not learn.
        adapt: Option<f64>,
    },
}

/// A mixture of runs, and how well it and they predict the validation split.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use charloom::files::RunFolder;
/// use charloom::mix::{Weights, mix};
/// use charloom::prelude::*;
/// use charloom::train::{FitOptions, Unwatched, fit};
///
/// # let home = tempfile::tempdir().unwrap();
/// # let home = home.path();
/// let runs = [home.join("trigram"), home.join("4-gram")];
/// for (run, order) in runs.iter().zip([3, 4]) {
///     let model = ModelConfig::of("ngram").with("order", order);
///     let mut config = Config { model, ..Config::default() };
///     let data = load_data(&mut config)?;
///     let mut folder = RunFolder::create(run, false)?;
///     fit(&config, &data, &mut folder, FitOptions::default(), &AtomicBool::new(false), &mut Unwatched)?;
/// }
/// // `Weights::Fitted` would say how much each should count.
/// let mut mixed = mix(&runs, &Weights::Equal, None, &mut |_| Ok(()))?;
/// assert_eq!([mixed.members[0].weight, mixed.members[1].weight], [0.5, 0.5]);
/// assert!(mixed.evaluation.unwrap().loss < mixed.members[0].evaluation.unwrap().loss);
/// mixed.save(&mut RunFolder::create(&home.join("mixture"), false)?)?;
/// # Ok::<(), Error>(())
/// ```
pub struct Mix {
    /// The model and its configuration.
    pub checkpoint: Checkpoint,
    /// The model.
    pub model: Mixture,
    /// The data of the runs.
    pub data: Data,
    /// The runs.
    pub members: Vec<MixedRun>,
    /// The mixture's loss on the validation split; `None` if nothing in it is scored.
    pub evaluation: Option<Evaluation>,
}

/// A run in a mixture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MixedRun {
    /// The run, as it was named.
    #[serde(serialize_with = "crate::evaluation::lossy")]
    pub run: PathBuf,
    /// The kind of its model.
    pub model: String,
    /// Its weight; in a product the mean of its powers.
    pub weight: f64,
    /// Its own loss on the validation split.
    #[serde(flatten)]
    pub evaluation: Option<Evaluation>,
}

/// A run that was read.
struct Run {
    path: PathBuf,
    checkpoint: Checkpoint,
    model: Box<dyn LanguageModel>,
}

impl Run {
    fn open(path: &Path) -> Result<Self> {
        let file = files::model_file(path)?;
        let checkpoint = Checkpoint::read(&file)?;
        let model = models::open(&checkpoint, &file)?;
        Ok(Self { path: path.to_path_buf(), checkpoint, model })
    }
}

/// Mixes runs. Their data is read again, from `data` if it has moved. `progress` is called now and then with the
/// share that is done; its error ends the mixing.
///
/// # Errors
/// Fewer than two runs; one that cannot be read; runs with other characters or splits than the first's;
/// weights that are not one for each run, from 0 to 1, with a sum of 1; weights to be fitted without a
/// validation split to fit them to.
pub fn mix(runs: &[PathBuf], weights: &Weights, data: Option<&Path>, progress: Progress<'_>) -> Result<Mix> {
    if runs.len() < 2 {
        return Err(Error::usage("two runs or more are needed to mix"));
    }
    let mut runs = runs.iter().map(|run| Run::open(run)).collect::<Result<Vec<_>>>()?;
    // The mixture's configuration gets the paths that the data has now.
    if data.is_some() {
        let found = crate::find_data(&runs[0].checkpoint.config.data, &runs[0].path, data)?;
        runs[0].checkpoint.config.data = found;
    }
    let first = &runs[0];
    for other in &runs[1..] {
        same_characters(first, other)?;
        same_data(first, other)?;
    }
    let Checkpoint { config, vocab, .. } = &first.checkpoint;
    let data = crate::reload_data(&config.data, Some(vocab.clone()), &first.path, data)?;
    let weighed = weigh(&runs, weights, &data.splits.val, progress)?;
    let checkpoint = mixture_checkpoint(&runs, &weighed.powers)?;
    let evaluation = evaluation_of(&weighed.scores)?;
    let (mut members, mut models) = (Vec::new(), Vec::new());
    for ((run, weight), evaluation) in runs.into_iter().zip(weighed.weights).zip(weighed.evaluations) {
        members.push(MixedRun { run: run.path, model: run.checkpoint.config.model.kind, weight, evaluation });
        models.push(run.model);
    }
    let model = match weighed.powers {
        Powers::Mean(weights) => Mixture::new(weights.into_iter().zip(models).collect()),
        Powers::Product(powers) => Mixture::product(powers.into_iter().zip(models).collect()),
    };
    Ok(Mix { checkpoint, model, data, members, evaluation })
}

/// Mixes models in memory; also returns their weights, which are fitted to `split` if they are to be fitted.
/// `progress` is called now and then with the share that is done; its error ends the mixing.
///
/// # Errors
/// Fewer than two models; models with other characters than the first's; as [`mix`], for the weights; an
/// error of `progress`.
///
/// ```
/// use charloom::mix::{Weights, mix_models};
/// use charloom::prelude::*;
///
/// let mut config = Config::default();
/// let data = load_data(&mut config)?;
/// let counted = |order: usize| -> Result<Checkpoint> {
///     let config = Config { model: ModelConfig::of("ngram").with("order", order), ..config.clone() };
///     let (_, tensors) = models::count(&config, &data)?;
///     let (vocab, state) = (data.vocab.clone(), Vec::new());
///     Ok(Checkpoint { config, vocab, step: 1, metrics_bytes: 0, tensors, state })
/// };
/// let members = vec![counted(2)?, counted(3)?];
/// // About 1000 characters are enough to fit one weight.
/// let some = data.splits.val.sample(1000);
/// let (mixed, weights) = mix_models(members, &Weights::Fitted, &some, &mut |_| Ok(()))?;
/// assert_eq!((mixed.config.model.kind.as_str(), weights.len()), ("mixture", 2));
/// assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
/// # Ok::<(), Error>(())
/// ```
pub fn mix_models(
    models: Vec<Checkpoint>,
    weights: &Weights,
    split: &Split,
    progress: Progress<'_>,
) -> Result<(Checkpoint, Vec<f64>)> {
    if models.len() < 2 {
        return Err(Error::usage("two models or more are needed to mix"));
    }
    let run = |(i, checkpoint): (usize, Checkpoint)| {
        let path = PathBuf::from(format!("model {i}"));
        let model = models::open(&checkpoint, &path)?;
        Ok(Run { path, checkpoint, model })
    };
    let runs = models.into_iter().enumerate().map(run).collect::<Result<Vec<_>>>()?;
    runs[1..].iter().try_for_each(|other| same_characters(&runs[0], other))?;
    let weighed = weigh(&runs, weights, split, progress)?;
    Ok((mixture_checkpoint(&runs, &weighed.powers)?, weighed.weights))
}

/// The weights of runs, and how well they predict a split.
struct Weighed {
    /// One for each run.
    weights: Vec<f64>,
    /// The weights or powers in the form that the mixture's file has.
    powers: Powers,
    evaluations: Vec<Option<Evaluation>>,
    /// The mixture's log-probability of each target.
    scores: Vec<f32>,
}

/// How one distribution is made of several: by a weight or a power of each.
enum Powers {
    Mean(Vec<f64>),
    Product(Vec<Power>),
}

/// Weighs runs on a split.
fn weigh(runs: &[Run], weights: &Weights, split: &Split, progress: Progress<'_>) -> Result<Weighed> {
    if let Weights::Powers { adapt } = *weights {
        return fit_product(runs, split, adapt, progress);
    }
    let share = |i: usize, of_run: f64| (i as f64 + of_run) / runs.len() as f64;
    let scores =
        runs.iter().enumerate().map(|(i, run)| run.model.score_split(split, &mut |s| progress(share(i, s))));
    let scores = scores.collect::<Result<Vec<_>>>()?;
    let weights = match weights {
        Weights::Given(weights) => check_given(weights, runs.len())?,
        Weights::Fitted if scores[0].is_empty() => return Err(nothing_to_fit_to()),
        Weights::Fitted => fit_weights(&scores).weights,
        _ => vec![1.0 / runs.len() as f64; runs.len()],
    };
    Ok(Weighed {
        evaluations: scores.iter().map(|scores| evaluation_of(scores)).collect::<Result<_>>()?,
        scores: mean_scores(&weights, &scores),
        powers: Powers::Mean(weights.clone()),
        weights,
    })
}

/// Fits the powers of a product of runs to a split.
fn fit_product(runs: &[Run], split: &Split, adapt: Option<f64>, progress: Progress<'_>) -> Result<Weighed> {
    let adapt = adapt.map(Adapt::new).transpose()?;
    if adapt.is_some() && !runs.iter().any(|run| run.model.can_adapt(split)) {
        let message = ": nothing in these models learns from such data while it reads; leave it out";
        return Err(Error::setting("adapt", message));
    }
    // Running the models is about half of the work.
    let share = |i: usize, of_run: f64| (i as f64 + of_run) / (2 * runs.len()) as f64;
    let vocab = runs[0].model.vocab_size();
    let (mut log_probs, mut tokens) = (Vec::new(), Vec::new());
    for (i, run) in runs.iter().enumerate() {
        let (own, scored) = predictions(&*run.model, split, adapt.as_ref(), &mut |s| progress(share(i, s)))?;
        log_probs.push(own);
        tokens = scored;
    }
    if tokens.is_empty() {
        return Err(nothing_to_fit_to());
    }
    let evaluations = log_probs.iter().map(|own| {
        let rows = own.chunks_exact(vocab).zip(&tokens);
        evaluation_of(&rows.map(|(row, &token)| row[token as usize]).collect::<Vec<_>>())
    });
    let evaluations = evaluations.collect::<Result<_>>()?;
    let predictions = Predictions { log_probs: &log_probs, tokens: &tokens, vocab };
    // The number of steps is not known beforehand: progress approaches 1.
    let mut steps = 0.0;
    let (powers, weights) = fit_powers(&predictions, &mut || {
        steps += 1.0;
        progress(1.0 - 0.5 / (1.0 + steps / 20.0))
    })?;
    let scores = predictions.scores(&powers);
    Ok(Weighed { weights, powers: Powers::Product(powers), evaluations, scores })
}

fn nothing_to_fit_to() -> Error {
    Error::setting("weights", "are missing: the runs have no validation split to fit them to")
}

/// These weights, checked to fit `runs` runs.
fn check_given(weights: &[f64], runs: usize) -> Result<Vec<f64>> {
    let sum: f64 = weights.iter().sum();
    let said = if weights.len() != runs {
        format!("has {} numbers for {runs} runs; give one for each", weights.len())
    } else if !weights.iter().all(|weight| (0.0..=1.0).contains(weight)) || (sum - 1.0).abs() > 1e-6 {
        let given: Vec<String> = weights.iter().map(f64::to_string).collect();
        let given = given.join(",");
        format!("{given}: each must be from 0 to 1, and their sum, {sum}, be 1")
    } else {
        return Ok(weights.to_vec());
    };
    Err(Error::setting("weights", said))
}

impl Mix {
    /// Writes it as a run: its configuration, both checkpoints, and its loss in the metrics.
    ///
    /// # Errors
    /// The run cannot be written.
    pub fn save(&mut self, run: &mut RunFolder) -> Result<()> {
        run.write_config(&self.checkpoint.config)?;
        if let Some(Evaluation { loss, .. }) = self.evaluation {
            run.log(&Metric { step: self.checkpoint.step, split: "val".to_owned(), loss, lr: None })?;
        }
        run.save_best(&self.checkpoint)?;
        run.save_last(&mut self.checkpoint)
    }
}

/// One checkpoint of all: the members' configurations and tensors.
fn mixture_checkpoint(runs: &[Run], powers: &Powers) -> Result<Checkpoint> {
    let Checkpoint { config: first, vocab, .. } = &runs[0].checkpoint;
    let member = |(i, run): (usize, &Run)| {
        let Config { model, train, .. } = run.checkpoint.config.clone();
        let train = (!models::has_no_steps(&run.checkpoint.config)?).then_some(train);
        let (weight, by_entropy) = match powers {
            Powers::Mean(weights) => (weights[i], Vec::new()),
            Powers::Product(powers) => (powers[i].base, powers[i].by_entropy.clone()),
        };
        Ok(Member { weight, by_entropy, model, train })
    };
    let members = runs.iter().enumerate().map(member).collect::<Result<_>>()?;
    let pool = if matches!(powers, Powers::Mean(_)) { OpinionPool::Mean } else { OpinionPool::Product };
    let mut model = ModelConfig::of("mixture");
    model.write(&MixtureSettings { pool, members })?;
    models::fill(&mut model)?;
    let mut tensors = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let own = run.checkpoint.tensors.iter().cloned();
        tensors
            .extend(own.map(|own| NamedTensor { name: format!("{}{}", member_prefix(i), own.name), ..own }));
    }
    let config = Config { model, ..first.clone() };
    Ok(Checkpoint { config, vocab: vocab.clone(), step: 1, metrics_bytes: 0, tensors, state: Vec::new() })
}

/// Refuses another vocabulary. Its characters are sorted, so equal vocabularies have equal tokens.
fn same_characters(first: &Run, other: &Run) -> Result<()> {
    let [one, two] = [&first.checkpoint.vocab, &other.checkpoint.vocab];
    if one == two {
        return Ok(());
    }
    let message = if one.mode() == two.mode() {
        let lacks = |a: &Vocab, b: &Vocab| -> String {
            let own = &b.characters()[usize::from(b.boundary().is_some())..];
            own.iter().filter(|&&c| a.token(c).is_none()).collect()
        };
        let (more, fewer) = (lacks(one, two), lacks(two, one));
        let path = first.path.display();
        let parts = [("has", "more than", more), ("lacks", "of", fewer)].into_iter();
        let said = parts
            .filter(|(.., characters)| !characters.is_empty())
            .map(|(verb, than, characters)| format!("{verb} {characters:?} {than} {path}"));
        format!("knows other characters: {}", said.collect::<Vec<_>>().join(", "))
    } else {
        format!("is a model of {}, {} of {}", two.mode(), first.path.display(), one.mode())
    };
    Err(Error::model(&other.path, format!("{message}; mix runs that were trained on the same data")))
}

/// Refuses other data or splits: one run may have trained on the other's validation split.
///
/// If the validation split is a separate file, only that is compared: all of the main file is then training
/// data.
fn same_data(first: &Run, other: &Run) -> Result<()> {
    // Paths may differ, hashes may not.
    let settings = |run: &Run| {
        let mut data = DataConfig { path: None, ..run.checkpoint.config.data.clone() };
        data.val = data.val.filter(|_| data.val_sha256.is_none());
        data.test = data.test.filter(|_| data.test_sha256.is_none());
        if data.val_sha256.is_some() {
            let DataConfig { split, split_seed, shuffle, dedupe, .. } = DataConfig::default();
            data = DataConfig {
                sha256: None,
                test: None,
                test_sha256: None,
                split,
                split_seed,
                shuffle,
                dedupe,
                ..data
            };
        }
        Config { data, ..Config::default() }.flat()
    };
    let [one, two] = [settings(first), settings(other)];
    let keys = one.keys().chain(two.keys()).filter(|key| key.starts_with("data."));
    let Some(key) = keys.into_iter().find(|key| one.get(*key) != two.get(*key)) else { return Ok(()) };
    let shown = |settings: &std::collections::BTreeMap<String, String>| {
        settings.get(key).map_or_else(|| "unset".to_owned(), Clone::clone)
    };
    let (here, there) = (shown(&two), shown(&one));
    let message = format!("was trained with {key} = {here}, {} with {there}", first.path.display());
    let why = "what one is validated on the other may have been trained on; train both on the same splits";
    Err(Error::model(&other.path, format!("{message}: {why}")))
}

#[cfg(test)]
mod tests;
