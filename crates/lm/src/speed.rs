//! How fast a model trains on this machine, compared with the machine's peak.

use std::time::{Duration, Instant};

pub use charloom_tensor::kernels::Isa;
use charloom_tensor::kernels::{self, Pool};
use serde::Serialize;

use crate::config::Config;
use crate::data::Data;
use crate::train::{Threads, Trainer};
use crate::{Error, Result, models};

/// How many times a number of steps is timed; the median counts.
const ROUNDS: usize = 9;

/// The hardware that kernels run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hardware {
    /// The instruction set that the kernels use.
    pub kernels: String,
    /// All that they could use here, best first.
    pub available: Vec<String>,
    /// Cores that the system lets us use.
    pub cores: usize,
    /// Threads that train uses unless told otherwise.
    pub threads: usize,
}

/// The hardware of this machine.
#[must_use]
pub fn hardware() -> Hardware {
    let name = |isa: Isa| format!("{isa:?}").to_lowercase();
    Hardware {
        kernels: name(Isa::detect()),
        available: Isa::available().into_iter().map(name).collect(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        threads: crate::threads::available(),
    }
}

/// A model's training speed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// The instruction set that the kernels use.
    pub kernels: String,
    /// Threads that share a step.
    pub threads: usize,
    /// How many parameters are trained.
    pub parameters: u64,
    /// Updates a second, the median of several measurements.
    pub steps_per_second: f64,
    /// The same as microseconds for one update.
    pub microseconds: f64,
    /// Billions of floating-point operations a second, counted for the model as it is written: each target's
    /// products, once forward and twice backward.
    pub gflops: f64,
    /// The most that one core does: independent fused multiply-adds in registers, measured right after the
    /// training.
    pub peak_gflops: f64,
    /// `gflops` as a share of the threads' peak; may be above 1, because equal rows are computed once.
    pub share: f64,
}

/// Trains for about `time` without saving anything, and says how fast that was.
///
/// # Errors
/// A configuration that is not valid, an n-gram model, or a loss that is not finite.
///
/// ```
/// use std::time::Duration;
///
/// use charloom::prelude::*;
///
/// let mut config = Config::from_toml("model.hidden = [8]", "my.toml".as_ref())?;
/// let data = load_data(&mut config)?;
/// let speed = charloom::speed::measure(&config, &data, 1, Duration::from_millis(20))?;
/// println!("{:.0} steps a second, {:.1} µs each", speed.steps_per_second, speed.microseconds);
/// assert!(speed.steps_per_second > 0.0 && speed.threads == 1);
/// # Ok::<(), Error>(())
/// ```
pub fn measure(config: &Config, data: &Data, threads: usize, time: Duration) -> Result<Speed> {
    models::refuse_mixture(config)?;
    if models::has_no_steps(config)? {
        let message = format!("{} is counted in one pass; there are no steps to time", config.model.kind);
        return Err(Error::setting("model", message));
    }
    let mut trainer = Trainer::new(config, data)?.with_threads(Threads::Pool(Pool::new(threads)));
    let targets = trainer.targets() as u64;
    let mut steps = 1u32;
    let round = time / ROUNDS as u32;
    // Warm-up: as many steps as take about one round.
    loop {
        let taken = time_steps(&mut trainer, steps)?;
        if taken >= round / 2 || steps >= 1 << 24 {
            break;
        }
        steps *= 2;
    }
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(f64::from(steps) / time_steps(&mut trainer, steps)?.as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    let steps_per_second = rates[ROUNDS / 2];
    let parameters = models::parameters(config, data.vocab.len())?.unwrap_or(0);
    let operations = 6 * targets * models::multiplications(config, data.vocab.len())?;
    let gflops = operations as f64 * steps_per_second / 1e9;
    let peak_gflops = kernels::peak_gflops();
    Ok(Speed {
        kernels: hardware().kernels,
        threads,
        parameters,
        steps_per_second,
        microseconds: 1e6 / steps_per_second,
        gflops,
        peak_gflops,
        share: gflops / (peak_gflops * threads as f64),
    })
}

fn time_steps(trainer: &mut Trainer, steps: u32) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..steps {
        trainer.step()?;
    }
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_model_is_measured() {
        let mut config = Config::default();
        config.model.set("hidden", vec![8]);
        let data = crate::load_data(&mut config).unwrap();
        let speed = measure(&config, &data, 1, Duration::from_millis(90)).unwrap();
        assert!(speed.steps_per_second > 0.0 && speed.peak_gflops > 0.0);
        let operations = 6.0 * 32.0 * (18.0 * 8.0 + 8.0 * 27.0);
        assert!((speed.gflops * 1e9 / operations / speed.steps_per_second - 1.0).abs() < 1e-9);
        config.model = crate::config::ModelConfig::of("ngram");
        let refused = measure(&config, &data, 1, Duration::ZERO).unwrap_err();
        assert!(matches!(refused, Error::Setting { key, .. } if key == "model"));
    }
}
