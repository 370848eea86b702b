/// How the learning rate changes over a run, as a factor of the base rate.
#[derive(Clone, PartialEq, Debug)]
pub enum Schedule {
    /// The base rate throughout.
    Constant,
    /// (fraction of the run, factor): from that fraction on the rate is multiplied by the factor; factors
    /// accumulate.
    Drops(Vec<(f64, f64)>),
    /// (step, rate): from that step on the rate is the given one, not a factor of the base.
    Stages(Vec<(u64, f64)>),
    /// Half a cosine down to the floor.
    Cosine,
    /// Linear decay to the floor.
    Linear,
    /// Constant until the last `decay` of the run, then linear decay to the floor.
    Wsd {
        /// The share of the run in which the rate decays.
        decay: f64,
    },
}

/// The learning rate of each step.
///
/// ```
/// use charloom_nn::{LearningRate, Schedule};
/// let lr = LearningRate { base: 0.1, floor: 0.0, warmup: 0.0, schedule: Schedule::Drops(vec![(0.5, 0.1)]) };
/// assert_eq!(lr.at(99_999, 200_000), 0.1);
/// assert_eq!(lr.at(100_000, 200_000), 0.1 * 0.1);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct LearningRate {
    /// The base rate, which the schedule multiplies.
    pub base: f64,
    /// The share of the base that cosine, linear and wsd decay to.
    pub floor: f64,
    /// The share of the run in which the rate rises from 0 to the base, in equal steps.
    pub warmup: f64,
    /// The change after the warm-up.
    pub schedule: Schedule,
}

impl LearningRate {
    /// The rate of step `step`, counted from 0, of a run of `steps`.
    pub fn at(&self, step: u64, steps: u64) -> f64 {
        let (at, steps) = (step as f64, steps as f64);
        let warmup = self.warmup * steps;
        let rising = if at + 1.0 < warmup { (at + 1.0) / warmup } else { 1.0 };
        // The fraction of the run after the warm-up that is done.
        let done = ((at - warmup) / (steps - warmup).max(1.0)).clamp(0.0, 1.0);
        let above = |falling: f64| self.floor + (1.0 - self.floor) * falling;
        let factor = match &self.schedule {
            Schedule::Constant => 1.0,
            // The tolerance is needed since in floating point 0.7 of 10 steps is slightly more than 7.
            Schedule::Drops(drops) => drops
                .iter()
                .filter(|(fraction, _)| at >= fraction * steps * (1.0 - 1e-12))
                .map(|(_, factor)| factor)
                .product(),
            Schedule::Stages(stages) => {
                let begun = stages.iter().rev().find(|(from, _)| step >= *from);
                return rising * begun.map_or(self.base, |(_, rate)| *rate);
            }
            Schedule::Cosine => above(0.5 * (1.0 + libm::cos(std::f64::consts::PI * done))),
            Schedule::Linear => above(1.0 - done),
            Schedule::Wsd { decay } => above(((steps - at) / (decay * steps).max(1.0)).clamp(0.0, 1.0)),
        };
        self.base * rising * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use charloom_testkit::assert_close;

    fn rates(warmup: f64, schedule: Schedule) -> Vec<f64> {
        let lr = LearningRate { base: 2.0, floor: 0.0, warmup, schedule };
        (0..10).map(|step| lr.at(step, 10)).collect()
    }

    #[test]
    fn drops_multiply_up_at_their_step() {
        let rates = rates(0.0, Schedule::Drops(vec![(0.3, 0.5), (0.7, 0.1)]));
        assert_close(&rates, &[2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1], 1e-12, 0.0);
    }

    #[test]
    fn stages_are_rates_from_their_steps_on() {
        let stages = Schedule::Stages(vec![(3, 0.5), (7, 0.75)]);
        assert_eq!(rates(0.0, stages.clone()), [2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5, 0.75, 0.75, 0.75]);
        assert_eq!(rates(0.4, stages)[..5], [0.5, 1.0, 1.5, 0.5, 0.5]);
    }

    #[test]
    fn fractions_name_whole_steps_exactly() {
        for steps in [10u64, 1000, 250_000, 1 << 33] {
            for at in (0..=steps).step_by((steps / 10) as usize) {
                let schedule = Schedule::Drops(vec![(at as f64 / steps as f64, 0.0)]);
                let lr = LearningRate { base: 1.0, floor: 0.0, warmup: 0.0, schedule };
                assert_eq!(lr.at(at, steps), 0.0, "{at} of {steps}");
                assert!(at == 0 || lr.at(at - 1, steps) == 1.0, "{at} of {steps}");
            }
        }
    }

    #[test]
    fn warm_up_rises_in_equal_steps_under_any_schedule() {
        let rates = rates(0.4, Schedule::Constant);
        assert_close(&rates, &[0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0], 1e-12, 0.0);
    }

    #[test]
    fn cosine_and_linear_fall_from_the_end_of_the_warm_up() {
        let linear = rates(0.2, Schedule::Linear);
        assert_close(&linear, &[1.0, 2.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25], 1e-12, 0.0);
        let cosine = rates(0.0, Schedule::Cosine);
        let half = (std::f64::consts::PI / 10.0).cos() + 1.0;
        assert_close(&[cosine[0], cosine[1], cosine[5]], &[2.0, half, 1.0], 1e-12, 0.0);
        assert!(cosine.is_sorted_by(|a, b| a > b) && cosine[9] > 0.0);
    }

    #[test]
    fn what_falls_ends_at_the_floor() {
        for schedule in [Schedule::Cosine, Schedule::Linear, Schedule::Wsd { decay: 0.5 }] {
            let lr = LearningRate { base: 1e-3, floor: 0.1, warmup: 0.1, schedule };
            assert_close(&[lr.at(10, 100), lr.at(100, 100)], &[1e-3, 1e-4], 1e-12, 0.0);
        }
    }

    #[test]
    fn wsd_is_stable_then_falls() {
        let rates = rates(0.1, Schedule::Wsd { decay: 0.4 });
        assert_close(&rates, &[2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.5, 1.0, 0.5], 1e-12, 0.0);
    }
}
