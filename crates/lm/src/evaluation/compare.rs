//! Compares runs: the settings that differ, the losses, and whether their differences are statistically
//! significant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::Evaluation;
use crate::data::Mode;
use crate::files::{self, Metric, Timing};
use crate::models::{self, MemberSummary};
use crate::{Checkpoint, Error, Result};

/// Characters of a running text in one observation of the test: neighbouring characters are not independent.
const BLOCK: usize = 100;

/// Some runs, compared on a split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// `val` or `test`.
    pub split: String,
    /// The characters of a block, of which a running text's pairs are; None for words.
    pub block: Option<usize>,
    /// The settings that are not the same in all runs.
    pub settings: Vec<DifferingSetting>,
    /// The runs, in the order in which they were named.
    pub runs: Vec<ComparedRun>,
    /// Each other run against the first.
    pub tests: Vec<PairedTest>,
}

/// A setting and its value in each run; None where the run does not have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DifferingSetting {
    /// Its key in the configuration, `train.lr`.
    pub key: String,
    /// As in the configuration.
    pub values: Vec<Option<String>>,
}

/// A run's results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedRun {
    /// The run, as it was named.
    #[serde(serialize_with = "lossy")]
    pub run: PathBuf,
    /// The best model's loss on the split.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Its loss on the training split, if the run's metrics have it.
    ///
    /// # Units
    /// Nats per character.
    pub train_loss: Option<f64>,
    /// Whether that is of a sample of the training split, `eval_size` characters.
    pub train_is_sample: bool,
    /// The number of its trained parameters; None for an n-gram model.
    pub parameters: Option<u64>,
    /// The members of a mixture; none of another model.
    pub members: Vec<MemberSummary>,
    /// Updates until the best model.
    ///
    /// # Units
    /// Steps.
    pub best_step: u64,
    /// Updates that the run is configured for; None for an n-gram model, which counts once.
    pub steps: Option<u64>,
    /// The training time, if the run has recorded it.
    pub timing: Option<Timing>,
}

/// A paired test of two models' losses on the same words.
///
/// # Source
/// The difference is a ratio: the sum of the words' differences over the sum of their characters. Its
/// standard error is that of a ratio of means over words (Cochran, Sampling Techniques, 1977, section 6.3); t
/// has n - 1 degrees of freedom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairedTest {
    /// The run that is compared with the first.
    #[serde(serialize_with = "lossy")]
    pub run: PathBuf,
    /// Its loss less the first's: negative if it is better.
    ///
    /// # Units
    /// Nats per character.
    pub difference: f64,
    /// The standard error of that.
    pub standard_error: f64,
    /// The difference over its standard error; None if all words have the same loss in both.
    pub t: Option<f64>,
    /// The p-value: if the models were equal, the probability of a difference at least this large.
    pub p: Option<f64>,
    /// The number of words, or of blocks of 100 characters of a text.
    pub pairs: usize,
    /// The number of these that the run finds likelier than the first does.
    pub better: usize,
}

/// Serializes a path as text; what is not UTF-8 is replaced.
pub(crate) fn lossy<S: Serializer>(path: &Path, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// Compares runs on `val` or `test`. The data is read again, from `data` if it has moved.
///
/// # Errors
/// Fewer than two runs; one that cannot be read; splits that are not the same.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use charloom::evaluation::compare;
/// use charloom::files::RunFolder;
/// use charloom::prelude::*;
/// use charloom::train::{FitOptions, Unwatched, fit};
///
/// # let home = tempfile::tempdir().unwrap();
/// # let home = home.path();
/// let runs = [home.join("bigram"), home.join("trigram")];
/// for (run, order) in runs.iter().zip([2, 3]) {
///     let model = ModelConfig::of("ngram").with("order", order);
///     let mut config = Config { model, ..Config::default() };
///     let data = load_data(&mut config)?;
///     let mut folder = RunFolder::create(run, false)?;
///     fit(&config, &data, &mut folder, FitOptions::default(), &AtomicBool::new(false), &mut Unwatched)?;
/// }
/// let comparison = compare(&runs, "val", None)?;
/// assert_eq!(comparison.settings[0].key, "model.order");
/// // The second is better, and significantly so.
/// assert!(comparison.tests[0].difference < 0.0 && comparison.tests[0].p < Some(0.01));
/// # Ok::<(), Error>(())
/// ```
pub fn compare(runs: &[PathBuf], split: &str, data: Option<&Path>) -> Result<Comparison> {
    if runs.len() < 2 {
        return Err(Error::usage("two runs or more are needed to compare"));
    }
    let opened = runs.iter().map(|run| Opened::new(run, split, data)).collect::<Result<Vec<_>>>()?;
    let first = &opened[0];
    let mut tests = Vec::new();
    for other in &opened[1..] {
        if other.text != first.text {
            let [one, other] = [&first.compared.run, &other.compared.run];
            let message = format!("its {split} split is another than that of {}", one.display());
            return Err(Error::model(
                other,
                format!("{message}; train both on the same data, ``split_seed`` and ``split``"),
            ));
        }
        tests.push(paired_test(&first.units(), &other.units(), other.compared.run.clone()));
    }
    let keys: std::collections::BTreeSet<&String> =
        opened.iter().flat_map(|run| run.settings.keys()).collect();
    let values = |key: &String| opened.iter().map(|run| run.settings.get(key).cloned()).collect::<Vec<_>>();
    let settings = keys.into_iter().map(|key| DifferingSetting { key: key.clone(), values: values(key) });
    Ok(Comparison {
        split: split.to_owned(),
        block: (first.mode == Mode::Text).then_some(BLOCK),
        settings: settings
            .filter(|setting| setting.values.windows(2).any(|pair| pair[0] != pair[1]))
            .collect(),
        tests,
        runs: opened.into_iter().map(|run| run.compared).collect(),
    })
}

/// A run with its model's losses.
struct Opened {
    compared: ComparedRun,
    settings: BTreeMap<String, String>,
    mode: Mode,
    /// The text of the split, to check that all runs have the same.
    text: String,
    /// -ln p of each scored character in order, and whether it ends a word.
    losses: Vec<f64>,
    ends: Vec<bool>,
}

impl Opened {
    fn new(path: &Path, split: &str, moved: Option<&Path>) -> Result<Self> {
        let file = files::model_file(path)?;
        let checkpoint = Checkpoint::read(&file)?;
        let model = models::open(&checkpoint, &file)?;
        let config = &checkpoint.config;
        let data = crate::reload_data(&config.data, Some(checkpoint.vocab.clone()), path, moved)?;
        let of = match split {
            "val" => &data.splits.val,
            "test" => &data.splits.test,
            _ => {
                return Err(Error::setting(
                    "split",
                    ": val or test; on the training split the larger model wins",
                ));
            }
        };
        let scores = model.score_split(of, &mut |_| Ok(()))?;
        if scores.is_empty() {
            let run = path.display();
            return Err(Error::usage(format!(
                "nothing in the {split} split of {run} is judged; compare on the other one of val and test, or train \
                 with a longer text"
            )));
        }
        // A text's first character is not scored.
        let first = usize::from(of.boundary().is_none());
        let losses: Vec<f64> = scores.iter().map(|&log_prob| -f64::from(log_prob)).collect();
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        let metrics = if path.is_dir() { Metric::read_all(path)? } else { Vec::new() };
        let train_loss = metrics
            .iter()
            .rfind(|metric| metric.split == "train" && metric.step == checkpoint.step)
            .map(|metric| metric.loss);
        Ok(Self {
            compared: ComparedRun {
                run: path.to_path_buf(),
                evaluation: Evaluation::new(mean, losses.len()),
                train_loss,
                train_is_sample: config.train.is_sampled(&data.splits.train),
                parameters: models::parameters(config, checkpoint.vocab.len())?,
                members: models::members(config, checkpoint.vocab.len())?,
                best_step: checkpoint.step,
                timing: Timing::read(path),
                steps: (!models::has_no_steps(config)?).then_some(config.train.steps),
            },
            settings: config.flat(),
            mode: of.mode(),
            text: of.to_text(&data.vocab),
            ends: of.tokens().iter().skip(first).map(|token| Some(token) == of.boundary()).collect(),
            losses,
        })
    }

    /// The loss and the number of characters of each word, or of each block of a text.
    fn units(&self) -> Vec<(f64, f64)> {
        let sum = |losses: &[f64]| (losses.iter().sum(), losses.len() as f64);
        if self.mode == Mode::Text {
            return self.losses.chunks(BLOCK).map(sum).collect();
        }
        let mut rest = self.losses.as_slice();
        self.ends
            .split_inclusive(|&is_end| is_end)
            .map(|word| {
                let (losses, after) = rest.split_at(word.len());
                rest = after;
                sum(losses)
            })
            .collect()
    }
}

/// The test, from (loss, characters) of the same words in two models.
fn paired_test(one: &[(f64, f64)], two: &[(f64, f64)], run: PathBuf) -> PairedTest {
    let pairs = one.len();
    let n = pairs as f64;
    let differences: Vec<f64> = one.iter().zip(two).map(|(a, b)| b.0 - a.0).collect();
    let characters: f64 = one.iter().map(|word| word.1).sum();
    let difference = differences.iter().sum::<f64>() / characters;
    let residuals =
        differences.iter().zip(one).map(|(d, word)| (d - difference * word.1).powi(2)).sum::<f64>();
    let standard_error = if pairs > 1 { (residuals * n / (n - 1.0)).sqrt() / characters } else { f64::NAN };
    let t = Some(difference / standard_error).filter(|t| t.is_finite());
    let p = t.and_then(|t| Some(2.0 * StudentsT::new(0.0, 1.0, n - 1.0).ok()?.cdf(-t.abs())));
    let better = differences.iter().filter(|&&d| d < 0.0).count();
    PairedTest { run, difference, standard_error, t, p, pairs, better }
}

#[cfg(test)]
mod tests {
    use charloom_testkit::assert_close;

    use super::*;

    /// With words of one length it is the paired t test: t is the mean over its standard error, t = 0.8 /
    /// (0.2739 / sqrt 5); p is twice the integral of its density, with 4 degrees of freedom, from t on
    /// (computed numerically).
    #[test]
    fn equal_words_give_the_t_test() {
        let two = [2.0, 2.5, 4.0, 4.5, 6.0].map(|loss| (loss, 2.0));
        let one = [1.0, 2.0, 3.0, 4.0, 5.0].map(|loss| (loss, 2.0));
        let test = paired_test(&one, &two, PathBuf::new());
        assert_close(&[test.difference, test.t.unwrap()], &[0.4, 6.531_972_647_421_808], 1e-12, 0.0);
        assert_close(&[test.p.unwrap()], &[0.002_837_845_95], 1e-7, 0.0);
        assert_eq!((test.pairs, test.better), (5, 0));
    }

    #[test]
    fn equal_models_are_not_told_apart() {
        let words = [(1.0, 2.0), (5.0, 3.0)];
        let test = paired_test(&words, &words, PathBuf::new());
        assert_eq!((test.difference, test.standard_error, test.t, test.p), (0.0, 0.0, None, None));
    }
}
