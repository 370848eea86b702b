//! Finds a learning rate: raises it exponentially from step to step, and sees where the loss falls and where
//! it diverges.

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::config::Config;
use crate::data::Data;
use crate::models;
use crate::train::{Evaluate, Event, FitOptions, Observer, Trainer, Training};
use crate::{Error, Result};

/// The loss has diverged when its running mean is this many times the lowest so far.
const DIVERGED: f64 = 4.0;
/// The decay of the running mean.
const DECAY: f64 = 0.95;
/// The most steps.
const MAX_STEPS: usize = 1_000_000;

/// The first and last rate, and the number of steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrFindOptions {
    /// The first rate.
    pub from: f64,
    /// The last rate.
    pub to: f64,
    /// The number of rates, equally spaced on a logarithmic scale.
    pub steps: usize,
}

impl Default for LrFindOptions {
    /// `10**linspace(-3, 0, 1000)`
    fn default() -> Self {
        Self { from: 1e-3, to: 1.0, steps: 1000 }
    }
}

/// A training with a rising learning rate, and what it suggests.
///
/// ```
/// use charloom::lr_find::{LrFindOptions, find};
/// use charloom::{Config, data::Data};
///
/// let config = Config::from_toml("[model]\nhidden = [16]", "my.toml".as_ref())?;
/// let data = Data::load(&config.data, None)?;
/// let found = find(&config, &data, LrFindOptions { steps: 100, ..LrFindOptions::default() })?;
/// assert!(found.suggestion > 1e-3 && found.suggestion <= 1.0);
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LrFind {
    /// The suggested first rate: that of the lowest smoothed loss, divided by sqrt(10). This is far enough
    /// from divergence, and as fast as possible, since the rate falls later in a training.
    pub suggestion: f64,
    /// The rate at which the smoothed loss falls fastest, relative to itself.
    pub steepest: f64,
    /// A tenth of the rate at which the smoothed loss is lowest.
    pub minimum_tenth: f64,
    /// The step at which the loss diverged, if it did.
    pub diverged: Option<usize>,
    /// The learning rate of each step.
    pub rates: Vec<f64>,
    /// The minibatch's loss before each step.
    ///
    /// # Units
    /// Nats per character.
    pub losses: Vec<f64>,
    /// The mean of the losses around each step.
    pub smoothed: Vec<f64>,
}

/// Trains a new model while the learning rate rises, until the loss diverges.
///
/// # Errors
/// Rates that do not rise from above 0; fewer than 10 steps; as [`Trainer::new`]; a loss that diverges within
/// the first steps.
pub fn find(config: &Config, data: &Data, options: LrFindOptions) -> Result<LrFind> {
    let LrFindOptions { from, to, steps } = options;
    if !(from > 0.0 && from < to && to.is_finite()) {
        return Err(Error::setting(
            "from",
            format!("{from} ``to`` {to}: the rate must rise, and from above 0"),
        ));
    }
    models::refuse_mixture(config)?;
    if models::has_no_steps(config)? {
        return Err(Error::setting(
            "model",
            format!("{} counts; it has no learning rate", config.model.kind),
        ));
    }
    if !(10..=MAX_STEPS).contains(&steps) {
        return Err(Error::out_of_range("steps", steps, format!("from 10 to {MAX_STEPS}")));
    }
    let (start, end) = (from.log10(), to.log10());
    let rate = |i: usize| 10f64.powf(start + (end - start) * i as f64 / (steps - 1) as f64);
    let mut config = config.clone();
    (config.train.steps, config.train.log_every) = (steps as u64, Some(1));
    // The trainings of an ensemble differ only in their seeds: one of them is measured.
    config.train.seeds = 1;
    let mut seen = Seen::default();
    let has_diverged = train(&config, data, (0..steps).map(rate).collect(), &mut seen)?;
    let Seen { rates, losses, has_risen, .. } = seen;
    let diverged = if has_diverged { Some(losses.len()) } else { has_risen.then(|| losses.len() - 1) };
    if losses.len() < 10 {
        let message =
            format!("the loss broke within {} steps; try ``from`` {:e}", losses.len(), from / 100.0);
        return Err(Error::Failed(message));
    }
    let smoothed = moving_average(&losses, (steps / 40).max(2));
    let lowest = lowest_at(&smoothed);
    let minimum_tenth = rates[lowest] / 10.0;
    let suggestion = rates[lowest] / 10f64.sqrt();
    let steepest = rates[steepest_before(&smoothed, lowest, (steps / 20).max(2))];
    Ok(LrFind { suggestion, steepest, minimum_tenth, diverged, rates, losses, smoothed })
}

/// A rate to two digits, as one would type it.
///
/// ```
/// assert_eq!(charloom::lr_find::two_digits(0.036_28).to_string(), "0.036");
/// ```
#[must_use]
pub fn two_digits(rate: f64) -> f64 {
    format!("{rate:.1e}").parse().unwrap_or(rate)
}

/// Trains at these rates; returns whether the loss became infinite or NaN, which is no failure here.
fn train(config: &Config, data: &Data, rates: Vec<f64>, observer: &mut dyn Observer) -> Result<bool> {
    let options = FitOptions { evaluate: Evaluate::Nothing, rates: Some(rates), ..FitOptions::default() };
    match Training::new(config, data, options)?.run(None, &AtomicBool::new(false), observer) {
        Ok(_) => Ok(false),
        Err(Error::Diverged(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The observer: records rates and losses.
#[derive(Default)]
struct Seen {
    rates: Vec<f64>,
    losses: Vec<f64>,
    /// The running mean of the losses: their weighted sum, and the sum of the weights.
    mean: [f64; 2],
    lowest: Option<f64>,
    /// Whether the running mean is above [`DIVERGED`] times its lowest.
    has_risen: bool,
}

impl Observer for Seen {
    fn event(&mut self, _: &mut Trainer, event: &Event) -> Result<()> {
        let Event::Step { loss, lr, .. } = *event else { return Ok(()) };
        self.rates.push(lr);
        self.losses.push(f64::from(loss));
        let [sum, weight] = self.mean;
        self.mean = [DECAY * sum + (1.0 - DECAY) * f64::from(loss), DECAY * weight + (1.0 - DECAY)];
        let mean = self.mean[0] / self.mean[1];
        let lowest = self.lowest.map_or(mean, |lowest| lowest.min(mean));
        self.lowest = Some(lowest);
        self.has_risen = mean > DIVERGED * lowest;
        Ok(())
    }

    fn has_seen_enough(&self) -> bool {
        self.has_risen
    }
}

/// The mean of each number and its `reach` neighbours on either side.
fn moving_average(numbers: &[f64], reach: usize) -> Vec<f64> {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let last = numbers.len() - 1;
    (0..=last).map(|i| mean(&numbers[i.saturating_sub(reach)..=(i + reach).min(last)])).collect()
}

fn lowest_at(numbers: &[f64]) -> usize {
    (0..numbers.len()).min_by(|&a, &b| numbers[a].total_cmp(&numbers[b])).unwrap_or(0)
}

/// Where, up to `lowest`, the numbers fall most over `2 reach` steps, as a ratio.
fn steepest_before(numbers: &[f64], lowest: usize, reach: usize) -> usize {
    let fall = |i: usize| numbers[i.saturating_sub(reach)] / numbers[(i + reach).min(numbers.len() - 1)];
    (reach.min(lowest)..=lowest).max_by(|&a, &b| fall(a).total_cmp(&fall(b))).unwrap_or(lowest)
}

#[cfg(test)]
mod tests {
    use charloom_testkit::{fixture_path, shared_data};

    use super::*;
    use crate::config::ModelConfig;

    #[test]
    fn the_steepest_is_before_the_lowest() {
        let numbers = [9.0, 9.0, 8.9, 6.0, 3.0, 2.9, 2.8, 5.0];
        assert_eq!(lowest_at(&numbers), 6);
        assert_eq!(steepest_before(&numbers, 6, 1), 3);
        assert_eq!(moving_average(&[1.0, 2.0, 6.0], 1), [1.5, 3.0, 4.0]);
    }

    #[test]
    #[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
    fn notebook_001s_models_get_rates_that_suit_them() {
        let path = shared_data("names.txt");
        for preset in ["bengio", "bengio-printed", "default", "tuning-11"] {
            let mut config = Config::layered(Some(crate::presets::get(preset).unwrap().toml), None).unwrap();
            config.data.path = Some(path.clone());
            let data = crate::load_data(&mut config).unwrap();
            let found = find(&config, &data, LrFindOptions::default()).unwrap();
            println!("{preset}: {}", found.suggestion);
            assert!((0.05..=0.5).contains(&found.suggestion), "{preset}: {}", found.suggestion);
            assert!((found.rates[0] - 1e-3).abs() < 1e-12 && found.rates.len() == found.smoothed.len());
        }
    }

    /// A small model of a few words.
    fn small() -> (Config, Data) {
        let mut config =
            Config::from_toml("[model]\nhidden = [20]\nactivation = 'relu'", "test".as_ref()).unwrap();
        config.data.path = Some(fixture_path("data/words.txt"));
        let data = crate::load_data(&mut config).unwrap();
        (config, data)
    }

    /// An observer that fails at the twelfth step, as if the disk were full.
    #[derive(Default)]
    struct Full {
        steps: usize,
    }

    impl Observer for Full {
        fn event(&mut self, _: &mut Trainer, event: &Event) -> Result<()> {
            self.steps += usize::from(matches!(event, Event::Step { .. }));
            if self.steps < 12 {
                return Ok(());
            }
            Err(Error::io("losses.csv", std::io::ErrorKind::StorageFull.into()))
        }
    }

    #[test]
    fn an_error_that_is_no_divergence_is_told_as_itself() {
        let (config, data) = small();
        let mut full = Full::default();
        let said = train(&config, &data, vec![0.1; 40], &mut full).unwrap_err();
        assert!(matches!(said, Error::Io { .. }) && said.to_string().starts_with("losses.csv: "), "{said}");
        assert_eq!(full.steps, 12);
        let mut seen = Seen::default();
        assert!(train(&config, &data, vec![1e30; 40], &mut seen).unwrap() && seen.losses.len() < 40);
        let of = |toml: &str, data: &Data| {
            let mut wrong = Config::from_toml(toml, "test".as_ref()).unwrap();
            wrong.data = config.data.clone();
            find(&wrong, data, LrFindOptions::default()).unwrap_err()
        };
        // An error of the data: a text as long as its context has no examples.
        let mut text =
            Config::from_toml("[data]\nmode = 'text'\nsplit = [1.0, 0.0, 0.0]", "test".as_ref()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("short");
        std::fs::write(&path, "abab").unwrap();
        text.data.path = Some(path);
        let short = Data::load(&text.data, None).unwrap();
        let said = of("[model]\ncontext = 8", &short).to_string();
        assert!(said.contains("no examples"), "{said}");
        let said = of("[train]\ninit_from = 'no-such-run'", &data).to_string();
        assert!(said.starts_with("no-such-run"), "{said}");
    }

    #[test]
    fn a_loss_that_breaks_ends_it() {
        let (mut config, data) = small();
        let options = LrFindOptions { from: 1e-3, to: 1e4, steps: 300 };
        let found = find(&config, &data, options).unwrap();
        assert!(found.diverged.is_some_and(|step| step < 299), "{:?}", found.diverged);
        assert!(found.suggestion < 10.0, "{}", found.suggestion);
        let refused = |options| find(&config, &data, options).unwrap_err().to_string();
        assert!(refused(LrFindOptions { from: 1.0, to: 0.1, steps: 100 }).contains("the rate must rise"));
        assert!(refused(LrFindOptions { steps: 3, ..options }).starts_with("``steps`` 3"));
        config.model = ModelConfig::of("ngram");
        let said = find(&config, &data, options).unwrap_err().to_string();
        assert_eq!(said, "``model`` ngram counts; it has no learning rate");
    }
}
