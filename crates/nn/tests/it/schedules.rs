//! What holds of every schedule: bounds, no jumps, the warm-up, the ends.

use charloom_nn::{LearningRate, Schedule};
use proptest::prelude::*;

const BASE: f64 = 0.3;

fn falling() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        Just(Schedule::Cosine),
        Just(Schedule::Linear),
        (0.0..=1.0).prop_map(|decay| Schedule::Wsd { decay }),
    ]
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let drop = (0.0..=1.0, 0.0..=1.0);
    prop_oneof![
        Just(Schedule::Constant),
        proptest::collection::vec(drop, 0..4).prop_map(Schedule::Drops),
        falling(),
    ]
}

fn rates(schedule: Schedule, warmup: f64, steps: u64) -> Vec<f64> {
    let lr = LearningRate { base: BASE, floor: 0.0, warmup, schedule };
    (0..steps).map(|step| lr.at(step, steps)).collect()
}

proptest! {
    #[test]
    fn no_rate_is_below_0_or_above_the_base(
        schedule in any_schedule(), warmup in 0.0..=1.0f64, steps in 1u64..1000,
    ) {
        prop_assert!(rates(schedule, warmup, steps).iter().all(|rate| (0.0..=BASE).contains(rate)));
    }

    #[test]
    fn no_step_of_a_falling_one_is_larger_than_its_slopes(
        schedule in falling(), warmup in 0.0..=1.0f64, steps in 2u64..1000,
    ) {
        let steps_of = |share: f64| (share * steps as f64).max(1.0);
        // Half a cosine is nowhere steeper than pi / 2 times the line.
        let fall = match &schedule {
            Schedule::Wsd { decay } => 1.0 / steps_of(*decay),
            _ => std::f64::consts::FRAC_PI_2 / steps_of(1.0 - warmup),
        };
        let rise = if warmup * steps as f64 > 1.0 { 1.0 / (warmup * steps as f64) } else { 0.0 };
        for pair in rates(schedule, warmup, steps).windows(2) {
            prop_assert!(pair[1] - pair[0] <= BASE * rise + 1e-12, "{pair:?}");
            prop_assert!(pair[0] - pair[1] <= BASE * fall + 1e-12, "{pair:?}");
        }
    }

    #[test]
    fn it_rises_in_the_warm_up_and_never_after(
        schedule in any_schedule(), warmup in 0.0..=1.0f64, steps in 1u64..1000,
    ) {
        let first = (warmup * steps as f64).ceil() as usize;
        let rates = rates(schedule, warmup, steps);
        let after = &rates[first.saturating_sub(1).min(rates.len() - 1)..];
        prop_assert!(after.is_sorted_by(|a, b| a >= b), "{after:?}");
        let constant = self::rates(Schedule::Constant, warmup, steps);
        prop_assert!(constant.is_sorted());
        prop_assert!(constant.iter().skip(first).all(|rate| *rate == BASE));
        if first > 1 {
            // Its first step is one part of as many as there are, not none.
            prop_assert!((constant[0] * warmup * steps as f64 / BASE - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn it_begins_at_the_base_and_ends_a_step_above_0(
        decay in 0.01..=1.0, steps in 200u64..1000,
    ) {
        let one = BASE / steps as f64;
        let [cosine, linear, wsd] =
            [Schedule::Cosine, Schedule::Linear, Schedule::Wsd { decay }].map(|s| rates(s, 0.0, steps));
        prop_assert_eq!((cosine[0], linear[0], wsd[0]), (BASE, BASE, BASE));
        let last = steps as usize - 1;
        prop_assert!((linear[last] - one).abs() < 1e-12);
        prop_assert!((wsd[last] - BASE / (decay * steps as f64).max(1.0)).abs() < 1e-12);
        // The square of the half-angle's sine.
        let sine = (std::f64::consts::FRAC_PI_2 / steps as f64).sin();
        prop_assert!((cosine[last] - BASE * sine * sine).abs() < 1e-12);
    }
}
