//! The next trial's settings.
//!
//! TPE uses an estimator of the crate `tpe` for each setting. What they learn from is in the database, so any
//! worker can rebuild them for each trial. Grid and random search depend only on the sampler's seed and the
//! trial's number.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tpe::density_estimation::DefaultEstimatorBuilder;

use super::space::{Domain, Setting, Settings, Space};
use super::spec::{Sampler, Spec};
use charloom::{Error, Result};

/// With fewer finished trials than this, TPE draws at random.
const STARTUP: usize = 10;
/// The most combinations of a grid.
const MAX_GRID: u64 = 100_000;
/// The share of trials that TPE counts as good: the crate's default.
const GAMMA: f64 = 0.1;
/// How many values TPE draws to choose from: more than the crate's 24, since a training costs far more.
const CANDIDATES: usize = 64;

/// The settings of trial `number`, or none if there are no more. `finished` are the trials so far with their losses.
pub(super) fn propose(
    spec: &Spec,
    space: &Space,
    number: u64,
    finished: &[(Settings, f64)],
) -> Result<Option<Settings>> {
    let mut generator = generator(spec.sampler_seed, number);
    Ok(match spec.sampler {
        Sampler::Grid => combination(space, number)?,
        Sampler::Tpe if finished.len() >= STARTUP => Some(propose_by_tpe(space, finished, &mut generator)?),
        Sampler::Random | Sampler::Tpe => Some(propose_at_random(space, &mut generator)),
    })
}

fn generator(seed: u64, number: u64) -> Xoshiro256PlusPlus {
    // seed_from_u64 mixes the bits, so that close seeds differ; the factor makes (1, 2) and (2, 1) differ.
    Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number))
}

/// Calls `value` for each setting, and keeps the values of the active ones.
fn fill(space: &Space, mut value: impl FnMut(&Setting) -> Result<Value>) -> Result<Settings> {
    let mut settings = Settings::new();
    for setting in &space.settings {
        // Drawn for inactive ones too, so that a setting's random number does not depend on the others.
        let value = value(setting)?;
        if Space::is_active(setting, &settings) {
            settings.insert(setting.name.clone(), value);
        }
    }
    Ok(settings)
}

fn propose_at_random(space: &Space, generator: &mut Xoshiro256PlusPlus) -> Settings {
    let draw = |setting: &Setting| {
        let [low, high] = bounds(&setting.domain);
        let u: f64 = generator.random();
        Ok(value(&setting.domain, low + u * (high - low)))
    };
    fill(space, draw).expect("drawing does not fail")
}

fn propose_by_tpe(
    space: &Space,
    finished: &[(Settings, f64)],
    generator: &mut Xoshiro256PlusPlus,
) -> Result<Settings> {
    fill(space, |setting| {
        let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("setting {}: {e}", setting.name));
        let [low, high] = bounds(&setting.domain);
        let estimator: DefaultEstimatorBuilder = match setting.domain {
            Domain::Choices(_) => tpe::histogram_estimator(),
            _ => tpe::parzen_estimator(),
        };
        let range = tpe::range(low, high).map_err(|e| failed(&e))?;
        let mut builder = tpe::TpeOptimizerBuilder::new();
        builder.gamma(GAMMA).candidates(CANDIDATES);
        let mut optimizer = builder.build(estimator, range).map_err(|e| failed(&e))?;
        for (settings, loss) in finished {
            let point = settings.get(&setting.name).and_then(|value| point(&setting.domain, value));
            optimizer.tell(point.unwrap_or(f64::NAN), *loss).map_err(|e| failed(&e))?;
        }
        let point = optimizer.ask(generator).map_err(|e| failed(&e))?;
        Ok(value(&setting.domain, point))
    })
}

/// The interval, without its end, that a domain is drawn from; [`value`] maps a point of it to a value.
fn bounds(domain: &Domain) -> [f64; 2] {
    let scale = |x: f64, log: bool| if log { x.ln() } else { x };
    match *domain {
        Domain::Choices(ref choices) => [0.0, choices.len() as f64],
        Domain::Int { low, high, log } => [scale(low as f64, log), scale(high as f64 + 1.0, log)],
        Domain::Float { low, high, log, .. } => [scale(low, log), scale(high, log)],
    }
}

/// The value of a point in the interval.
fn value(domain: &Domain, point: f64) -> Value {
    match *domain {
        Domain::Choices(ref choices) => choices[(point as usize).min(choices.len() - 1)].clone(),
        Domain::Int { low, high, log } => {
            json!((if log { point.exp() } else { point }.floor() as i64).clamp(low, high))
        }
        Domain::Float { low, high, log, .. } => {
            json!((if log { point.exp() } else { point }).clamp(low, high))
        }
    }
}

/// The inverse of [`value`]: a point of the interval with this value.
fn point(domain: &Domain, value: &Value) -> Option<f64> {
    let [low, high] = bounds(domain);
    let point = match *domain {
        Domain::Choices(ref choices) => choices.iter().position(|choice| choice == value)? as f64,
        Domain::Int { log, .. } => {
            let x = value.as_f64()? + 0.5;
            if log { x.ln() } else { x }
        }
        Domain::Float { log, .. } => {
            if log {
                value.as_f64()?.ln()
            } else {
                value.as_f64()?
            }
        }
    };
    Some(point.clamp(low, high.next_down()))
}

/// Combination `number` of a grid: the last setting varies fastest, and an inactive one adds no combinations.
fn combination(space: &Space, number: u64) -> Result<Option<Settings>> {
    let lengths = space.settings.iter().map(|setting| setting.domain.grid_len());
    let total = lengths.clone().try_fold(1u64, u64::checked_mul).filter(|&total| total <= MAX_GRID);
    let Some(total) = total else {
        return Err(Error::usage(format!(
            "the grid has more than {MAX_GRID} combinations; choose fewer values or ``sampler`` tpe"
        )));
    };
    let values: Vec<Vec<Value>> = space.settings.iter().map(|setting| setting.domain.grid()).collect();
    let mut valid = 0;
    for index in 0..total {
        let mut rest = index;
        let mut digits = vec![0; values.len()];
        for (digit, values) in digits.iter_mut().zip(&values).rev() {
            *digit = (rest % values.len() as u64) as usize;
            rest /= values.len() as u64;
        }
        let mut settings = Settings::new();
        let mut is_new = true;
        for ((setting, values), &digit) in space.settings.iter().zip(&values).zip(&digits) {
            if Space::is_active(setting, &settings) {
                settings.insert(setting.name.clone(), values[digit].clone());
            } else if digit > 0 {
                is_new = false;
                break;
            }
        }
        if is_new && valid == number {
            return Ok(Some(settings));
        }
        valid += u64::from(is_new);
    }
    Ok(None)
}
