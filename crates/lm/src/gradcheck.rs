//! Checks the gradients of training against finite differences of the loss.

use std::collections::BTreeSet;

use charloom_tensor::rng::StreamRng;
use charloom_tensor::{Entry, Grads, ParamId, Params, Pass};
use serde::Serialize;

use crate::config::{Batch, Config, TrainConfig};
use crate::data::Data;
use crate::feed::Feed;
use crate::models::{self, Neural, Progress};
use crate::train::{self, StepRecording};
use crate::{Error, Result};

/// The smallest divisor of a relative error: of smaller gradients, differences show only rounding.
const SMALLEST: f64 = 1e-5;
/// The steps h of the differences. A long one gives more digits; a short one is less likely to cross a kink,
/// such as relu's at 0. A wrong gradient is wrong with each of them.
const STEPS: [f64; 3] = [1e-3, 1e-4, 1e-5];
/// The most that a parameter is moved from its initial value: with biases of 0 and gains of 1, many a wrong
/// formula gives the right number.
const NUDGE: f64 = 0.1;
/// The number of examples that stand for a full batch.
const FULL_BATCH: usize = 64;

/// What is checked, and how strictly.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How many elements of each parameter are checked: that with the largest gradient, and others at random.
    /// `None`: all.
    pub elements: Option<usize>,
    /// The largest relative error that passes.
    pub tolerance: f64,
    /// A parameter whose gradient is made wrong on purpose, by 0.01 in every element.
    pub wrong: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { elements: Some(24), tolerance: 1e-6, wrong: None }
    }
}

/// The gradients of a model's parameters, compared with differences.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How many parameters the model has.
    pub parameters: usize,
    /// B, the examples of the minibatch.
    pub batch: usize,
    /// The loss of the minibatch.
    ///
    /// # Units
    /// nats
    pub loss: f64,
    /// The largest relative error that passes.
    pub tolerance: f64,
    /// A row for each parameter, in the order of their declaration.
    pub rows: Vec<Row>,
    /// Whether all pass.
    pub passed: bool,
}

/// A parameter, at the element where its gradient is furthest from the differences.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its path, such as `layers.0.weight`.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// How many of its elements were checked.
    pub checked: usize,
    /// `|analytic - numeric| / max(|analytic|, |numeric|, 1e-5)`; infinite where either is no number.
    pub worst_error: f64,
    /// The indices of the element with this error.
    pub element: Vec<usize>,
    /// Its gradient by backward.
    pub analytic: f64,
    /// Its gradient by differences.
    pub numeric: f64,
    /// Whether the error is within the tolerance.
    pub passed: bool,
}

/// Checks the gradients of a configuration's model in f64, on its first minibatch, in the graph of training.
///
/// By differences the gradient is `(8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h`, with the best
/// of three h. BatchNorm takes its statistics from the batch and dropout its masks from step 0, so the loss
/// is a function of the parameters alone. In place of a full batch, 64 examples are taken.
///
/// # Errors
/// A configuration without a neural model, or training data without examples.
///
/// ```
/// use charloom::gradcheck::{Options, gradcheck};
/// use charloom::prelude::*;
///
/// let mut config = Config::from_toml("model.hidden = [8]\ntrain.batch = 4", "my.toml".as_ref())?;
/// let data = load_data(&mut config)?;
/// let mut options = Options { elements: Some(2), ..Options::default() };
/// let report = gradcheck(&config, &data, &options)?;
/// assert!(report.passed && report.rows[0].name == "embedding.weight");
/// options.wrong = Some("layers.0.bias".to_owned());
/// assert!(!gradcheck(&config, &data, &options)?.passed);
/// # Ok::<(), Error>(())
/// ```
pub fn gradcheck(config: &Config, data: &Data, options: &Options) -> Result<Report> {
    gradcheck_with_progress(config, data, options, &mut |_| Ok(()))
}

/// As [`gradcheck`]. `progress` is called with the share of the parameters done, and its error ends the check.
///
/// # Errors
/// As [`gradcheck`], and those of `progress`.
pub fn gradcheck_with_progress(
    config: &Config,
    data: &Data,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Report> {
    models::refuse_mixture(config)?;
    let mut generator = models::generator(config, data);
    let model = Neural::new(config, data.vocab.len(), &mut generator)?;
    let batch = match config.train.batch {
        Batch::Size(size) => size,
        Batch::Full => FULL_BATCH,
    };
    let train = TrainConfig { batch: Batch::Size(batch), ..config.train.clone() };
    let params = model.params.cast::<f64>();
    let (mut feed, mut step) = train::feed(&model, &params, &data.splits.train, &train)?;
    if let Some(name) = &options.wrong
        && !params.trained().any(|entry| entry.name == *name)
    {
        let names: Vec<&str> = params.trained().map(|entry| entry.name.as_str()).collect();
        return Err(Error::setting(
            "break",
            format!("{name:?} is no parameter; it is one of {}", names.join(", ")),
        ));
    }
    feed.draw(&mut generator);
    step.fill(&*feed);
    let mut checked = Checked { params, step, feed };
    let mut nudges = StreamRng::new(config.train.seed, 0);
    checked.params.values_mut().iter_mut().for_each(|p| *p += NUDGE * (2.0 * nudges.uniform_f64() - 1.0));
    let loss = checked.loss();
    let gradients = checked.gradients();
    let entries: Vec<(ParamId, Entry)> = checked
        .params
        .ids()
        .zip(checked.params.entries().to_vec())
        .filter(|(_, entry)| entry.is_trained())
        .collect();
    let rows: Vec<Row> = entries
        .iter()
        .enumerate()
        .map(|(i, of)| {
            let entry = &of.1;
            let mut analytic = entry.read(&gradients);
            if options.wrong.as_ref() == Some(&entry.name) {
                analytic.iter_mut().for_each(|g| *g += 0.01);
            }
            let mut choice = StreamRng::new(config.train.seed, 1 + i as u64);
            progress(i as f64 / entries.len() as f64)?;
            Ok(check(&mut checked, of, &analytic, options, &mut choice))
        })
        .collect::<Result<_>>()?;
    let passed = rows.iter().all(|row| row.passed);
    let parameters = checked.params.parameter_count();
    Ok(Report { parameters, batch, loss, tolerance: options.tolerance, rows, passed })
}

/// A model's loss on one batch, as a function of its parameters.
struct Checked {
    params: Params<f64>,
    step: StepRecording<f64>,
    feed: Box<dyn Feed>,
}

impl Checked {
    fn loss(&mut self) -> f64 {
        let pass = Pass { rows: self.feed.rows(), counts: self.feed.counts(), ..Pass::training() };
        self.step.recording.forward(&self.params, &pass);
        self.step.recording.item(self.step.loss)
    }

    /// The gradients of the loss; call [`Checked::loss`] first.
    fn gradients(&mut self) -> Vec<f64> {
        let pass = Pass { rows: self.feed.rows(), counts: self.feed.counts(), ..Pass::training() };
        let mut grads = Grads::zeros(&self.params);
        self.step.recording.backward(&self.params, &mut grads, self.step.loss, &pass);
        grads.values().to_vec()
    }
}

/// Checks one parameter and restores its values.
fn check(
    checked: &mut Checked,
    (id, entry): &(ParamId, Entry),
    analytic: &[f64],
    options: &Options,
    choice: &mut StreamRng,
) -> Row {
    let original = checked.params.read(*id);
    let mut moved = original.clone();
    let chosen = choose(analytic, options.elements, choice);
    let mut worst = (f64::NEG_INFINITY, 0, 0.0);
    for &i in &chosen {
        let f = |x: f64| {
            moved[i] = x;
            checked.params.write(*id, &moved);
            checked.loss()
        };
        let (error, numeric) = closest_slope(f, original[i], analytic[i]);
        moved[i] = original[i];
        if error > worst.0 {
            worst = (error, i, numeric);
        }
    }
    checked.params.write(*id, &original);
    let (worst_error, element, numeric) = worst;
    Row {
        name: entry.name.clone(),
        shape: entry.shape.dims().to_vec(),
        checked: chosen.len(),
        worst_error,
        element: unravel_index(element, entry.shape.dims()),
        analytic: analytic[element],
        numeric,
        passed: worst_error <= options.tolerance,
    }
}

/// Which elements to check.
fn choose(analytic: &[f64], elements: Option<usize>, choice: &mut StreamRng) -> BTreeSet<usize> {
    let n = analytic.len();
    let wanted = elements.unwrap_or(n).clamp(1, n);
    if wanted == n {
        return (0..n).collect();
    }
    let largest = (0..n).max_by(|&a, &b| analytic[a].abs().total_cmp(&analytic[b].abs()));
    let mut chosen: BTreeSet<usize> = largest.into_iter().collect();
    while chosen.len() < wanted {
        chosen.insert((choice.uniform_f64() * n as f64) as usize);
    }
    chosen
}

/// The relative error of `analytic` as the slope of `f` at `x`, and the slope by differences, with the h for
/// which the error is least.
fn closest_slope(mut f: impl FnMut(f64) -> f64, x: f64, analytic: f64) -> (f64, f64) {
    let mut best = (f64::INFINITY, f64::NAN);
    for h in STEPS {
        let near = f(x + h) - f(x - h);
        let far = f(x + 2.0 * h) - f(x - 2.0 * h);
        let numeric = (8.0 * near - far) / (12.0 * h);
        let error = (analytic - numeric).abs() / analytic.abs().max(numeric.abs()).max(SMALLEST);
        // False if the error is NaN.
        if error < best.0 {
            best = (error, numeric);
        }
        if best.0 < 1e-9 {
            break;
        }
    }
    best
}

/// The indices of the row-major element `i`.
fn unravel_index(mut i: usize, dims: &[usize]) -> Vec<usize> {
    let mut indices = vec![0; dims.len()];
    for (index, size) in indices.iter_mut().zip(dims).rev() {
        (*index, i) = (i % size, i / size);
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataConfig;
    use crate::presets;

    fn run(toml: &str, options: &Options) -> Report {
        let mut config = Config::from_toml(toml, "test.toml".as_ref()).unwrap();
        let data = crate::load_data(&mut config).unwrap();
        gradcheck(&config, &data, options).unwrap()
    }

    #[test]
    fn it_tells_each_parameter_and_ends_when_told_to() {
        let mut config = Config::from_toml("model.hidden = [4]", "test.toml".as_ref()).unwrap();
        let data = crate::load_data(&mut config).unwrap();
        let options = Options { elements: Some(1), ..Options::default() };
        let mut told = Vec::new();
        let ended = gradcheck_with_progress(&config, &data, &options, &mut |share| {
            told.push(share);
            if share < 0.5 { Ok(()) } else { Err(Error::Interrupted) }
        });
        assert!(matches!(ended, Err(Error::Interrupted)));
        // Of five parameters the fourth is not checked.
        assert_eq!(told, [0.0, 0.2, 0.4, 0.6]);
    }

    #[test]
    fn every_kind_of_model_passes() {
        for model in [
            "kind = \"linear\"\ncontext = 2\nbias = true",
            "embed = 3\nhidden = [7]\ninit = \"unit-normal\"",
            "embed = 0\nhidden = [6]\nactivation = \"relu\"",
            "embed = 2\nhidden = [6, 5]\nactivation = \"gelu\"\nnorm = \"layer\"",
            "embed = 3\nhidden = [9, 8]\nnorm = \"batch\"\nbias = true\ndropout = 0.3",
            "kind = \"transformer\"\nlayers = 2\nheads = 2\nembed = 8\ncontext = 5",
            "kind = \"transformer\"\nlayers = 1\nheads = 2\nembed = 8\npositions = \"rotary\"\nnorm = \"rms\"\ntie = true\n\
             activation = \"squared-relu\"\nbias = false\nattention_dropout = 0.2\nembed_dropout = 0.1\ndropout = 0.2",
            "kind = \"bow\"\nembed = 6\nhidden = 5",
        ] {
            let options = Options { elements: Some(24), ..Options::default() };
            let report = run(&format!("[model]\n{model}\n[train]\nbatch = 17\n"), &options);
            assert!(report.passed, "{model}: {report:#?}");
            assert!(report.rows.iter().all(|row| row.checked == 24.min(row.shape.iter().product())));
            // Gradients of 0 would show nothing; only a bias before BatchNorm should have them.
            let zero = report.rows.iter().filter(|row| row.analytic.abs() < 1e-9 && row.numeric.abs() < 1e-9);
            assert!(zero.count() <= 2, "{model}: {report:#?}");
        }
    }

    #[test]
    fn every_small_preset_with_parameters_passes() {
        for preset in presets::all() {
            let mut config = Config::layered(Some(preset.toml), None).unwrap();
            let parameters = crate::models::parameters(&config, 27).unwrap();
            if parameters.is_none_or(|count| count > 100_000) || preset.name.starts_with("tuning") {
                continue;
            }
            // The text that a preset is for may be missing; its model is the same on names.
            config.data = DataConfig::default();
            let data = crate::load_data(&mut config).unwrap();
            config.train.batch = Batch::Size(8);
            let options = Options { elements: Some(3), ..Options::default() };
            let report = gradcheck(&config, &data, &options).unwrap();
            assert!(report.passed, "{}: {report:#?}", preset.name);
        }
    }

    #[test]
    fn a_wrong_gradient_fails_in_its_row_only() {
        let toml = "[model]\nembed = 2\nhidden = [4]\n[train]\nbatch = 8\n";
        let options = Options { wrong: Some("layers.0.weight".to_owned()), ..Options::default() };
        let report = run(toml, &options);
        let failed: Vec<&str> =
            report.rows.iter().filter(|row| !row.passed).map(|row| row.name.as_str()).collect();
        assert_eq!((failed, report.passed), (vec!["layers.0.weight"], false));
    }

    #[test]
    fn a_slope_is_judged_by_its_relative_error() {
        let cube = |x: f64| x * x * x;
        assert!(closest_slope(cube, 2.0, 12.0).0 < 1e-9);
        let (error, numeric) = closest_slope(cube, 2.0, 12.0 * 1.00001);
        assert!(error > 0.9e-5 && error < 1.1e-5, "{error}");
        assert!((numeric - 12.0).abs() < 1e-6);
        assert!(closest_slope(cube, 2.0, 0.0).0 > 0.9);
        // There is a kink within the longest step.
        assert!(closest_slope(|x: f64| x.max(0.0), 5e-4, 1.0).0 < 1e-9);
    }

    #[test]
    fn nan_never_passes() {
        for (f, analytic) in [(f64::NAN, 0.0), (1.0, f64::NAN), (f64::INFINITY, 0.0)] {
            assert_eq!(closest_slope(|_| f, 1.0, analytic).0, f64::INFINITY);
        }
    }

    #[test]
    fn the_largest_gradient_is_always_looked_at() {
        let mut analytic = vec![0.0; 1000];
        analytic[617] = -3.0;
        let chosen = choose(&analytic, Some(5), &mut StreamRng::new(1, 2));
        assert!(chosen.contains(&617) && chosen.len() == 5);
        assert_eq!(choose(&analytic, None, &mut StreamRng::new(1, 2)).len(), 1000);
        assert_eq!(unravel_index(617, &[10, 20, 5]), [6, 3, 2]);
    }
}
