//! Which of several ways is fastest, by trying them in turn, at first and now and then again.

use std::time::Duration;

/// How long each way is tried at a time, at least; a system's time slice is shorter.
const TRIAL: Duration = Duration::from_millis(8);
/// The fewest steps of a trial, of which the first is not counted: another way had the numbers before it.
const LEAST_STEPS: u32 = 3;
/// How often each is tried.
const ROUNDS: usize = 2;
/// How long the fastest is then used: trying costs about a hundredth of that.
const KEPT: Duration = Duration::from_secs(5);

/// Chooses one of several ways.
pub(super) struct Choice {
    /// The least mean time of a step in the present trials, by way.
    times: Vec<Duration>,
    /// How many trials are over; all of them: the fastest is in use.
    trials: usize,
    fastest: usize,
    /// The present trial's, or the present use's, steps and time.
    steps: u32,
    time: Duration,
}

impl Choice {
    pub fn new(ways: usize) -> Self {
        Self { times: vec![Duration::MAX; ways], trials: 0, fastest: 0, steps: 0, time: Duration::ZERO }
    }

    fn is_trying(&self) -> bool {
        self.times.len() > 1 && self.trials < ROUNDS * self.times.len()
    }

    /// The way that the next step is to take.
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
            if self.time >= TRIAL && self.steps >= LEAST_STEPS {
                let way = self.now();
                self.times[way] = self.times[way].min(self.time / (self.steps - 1));
                self.trials += 1;
                (self.steps, self.time) = (0, Duration::ZERO);
                self.fastest = (0..self.times.len()).min_by_key(|&way| self.times[way]).unwrap_or(0);
            }
        } else if self.time >= KEPT {
            *self = Self { fastest: self.fastest, ..Self::new(self.times.len()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `steps` steps take each way, where a step takes `microseconds`.
    fn taken(choice: &mut Choice, steps: usize, microseconds: [u64; 2]) -> [usize; 2] {
        let mut taken = [0; 2];
        for _ in 0..steps {
            let way = choice.now();
            taken[way] += 1;
            choice.took(Duration::from_micros(microseconds[way]));
        }
        taken
    }

    #[test]
    fn the_faster_way_is_taken_nearly_always_and_a_change_is_noticed() {
        let mut choice = Choice::new(2);
        let [slow, fast] = taken(&mut choice, 100_000, [120, 60]);
        assert!(slow < 1_000 && slow > 0, "{slow} of {fast}");
        // The second core is busy now.
        let [fast, slow] = taken(&mut choice, 200_000, [120, 500]);
        assert!(slow < 10_000, "{slow} of {fast}");
    }

    #[test]
    fn one_way_is_not_tried() {
        let mut choice = Choice::new(1);
        choice.took(Duration::from_secs(9));
        assert_eq!((choice.now(), choice.is_trying()), (0, false));
    }
}
