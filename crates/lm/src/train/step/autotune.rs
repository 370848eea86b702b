//! Chooses the fastest of several candidates by timing each, at first and again every few seconds.

use std::time::Duration;

/// The shortest trial of a candidate: longer than a time slice of the operating system.
const TRIAL: Duration = Duration::from_millis(8);
/// The fewest steps of a trial. The first is not timed, since it may have to take over parameters from
/// another candidate.
const MIN_STEPS: u32 = 3;
/// Trials of each candidate.
const ROUNDS: usize = 2;
/// How long the fastest is then used; the trials take about a hundredth of that.
const KEPT: Duration = Duration::from_secs(5);

/// Measures several candidates, and chooses the fastest.
pub(super) struct Autotuner {
    /// For each candidate the least mean time of a step in its trials.
    times: Vec<Duration>,
    /// Trials done; when all are, the fastest candidate is used.
    trials: usize,
    fastest: usize,
    /// The steps and time of the present trial, or of the present use of the fastest.
    steps: u32,
    time: Duration,
}

impl Autotuner {
    pub fn new(candidates: usize) -> Self {
        Self { times: vec![Duration::MAX; candidates], trials: 0, fastest: 0, steps: 0, time: Duration::ZERO }
    }

    fn is_trying(&self) -> bool {
        self.times.len() > 1 && self.trials < ROUNDS * self.times.len()
    }

    /// The candidate for the next step.
    pub fn now(&self) -> usize {
        if self.is_trying() { self.trials % self.times.len() } else { self.fastest }
    }

    /// Notes how long that step took.
    pub fn took(&mut self, time: Duration) {
        self.steps += 1;
        if self.steps > 1 {
            self.time += time;
        }
        if self.is_trying() {
            if self.time >= TRIAL && self.steps >= MIN_STEPS {
                let candidate = self.now();
                self.times[candidate] = self.times[candidate].min(self.time / (self.steps - 1));
                self.trials += 1;
                (self.steps, self.time) = (0, Duration::ZERO);
                self.fastest =
                    (0..self.times.len()).min_by_key(|&candidate| self.times[candidate]).unwrap_or(0);
            }
        } else if self.time >= KEPT {
            *self = Self { fastest: self.fastest, ..Self::new(self.times.len()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `steps` steps each candidate is chosen for, if its steps take `microseconds`.
    fn taken(autotuner: &mut Autotuner, steps: usize, microseconds: [u64; 2]) -> [usize; 2] {
        let mut taken = [0; 2];
        for _ in 0..steps {
            let candidate = autotuner.now();
            taken[candidate] += 1;
            autotuner.took(Duration::from_micros(microseconds[candidate]));
        }
        taken
    }

    #[test]
    fn the_faster_candidate_is_taken_nearly_always_and_a_change_is_noticed() {
        let mut autotuner = Autotuner::new(2);
        let [slow, fast] = taken(&mut autotuner, 100_000, [120, 60]);
        assert!(slow < 1_000 && slow > 0, "{slow} of {fast}");
        // The second core is busy now.
        let [fast, slow] = taken(&mut autotuner, 200_000, [120, 500]);
        assert!(slow < 10_000, "{slow} of {fast}");
    }

    #[test]
    fn a_single_candidate_is_not_tried() {
        let mut autotuner = Autotuner::new(1);
        autotuner.took(Duration::from_secs(9));
        assert_eq!((autotuner.now(), autotuner.is_trying()), (0, false));
    }
}
