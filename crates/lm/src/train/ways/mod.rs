//! The ways to compute a step. All give the same bits; they differ in time only.

mod alone;
mod choice;
mod halves;

use std::time::Instant;

use charloom_nn::Optimizer;
use charloom_tensor::kernels::{MAX_THREADS, Pool};

use alone::Alone;
pub(crate) use alone::{StepRecording, record};
use choice::Choice;
use halves::Halves;

use super::{Answers, Threads};
use crate::Result;
use crate::config::TrainConfig;
use crate::feed::Feed;
use crate::models::Neural;

/// What a step works on.
pub(super) struct Work<'a> {
    pub model: &'a mut Neural,
    pub optimizer: &'a mut Optimizer<f32>,
    pub feed: &'a mut dyn Feed,
    pub lr: f64,
    /// Updates made before.
    pub step: u64,
    /// The number of this batch, and the number of batches of an update, which is made with the last, by the
    /// mean gradient.
    pub batch: [u64; 2],
}

/// The ways of a training, and the choice between them.
pub(super) struct Ways {
    alone: Alone,
    /// None if the training cannot be halved, or is too small for that.
    halves: Option<Halves>,
    /// With 2 up to this number of threads the halves are used, on two of them; otherwise the whole step.
    halved_up_to: usize,
    pools: Vec<Pool>,
    choice: Choice,
}

impl Ways {
    pub fn new(
        model: &Neural,
        feed: &dyn Feed,
        train: &TrainConfig,
        answers: Option<&Answers>,
    ) -> Result<Self> {
        let alone = Alone::new(model, feed, train, answers)?;
        let halved_up_to = if answers.is_none() { Halves::most_threads(model, train) } else { 0 };
        let halves = (halved_up_to > 0).then(|| Halves::new(model, feed.shape(), train));
        let ways = Self { alone, halves, halved_up_to, pools: Vec::new(), choice: Choice::new(1) };
        Ok(ways.with_threads(Threads::default()))
    }

    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.pools = match threads {
            Threads::Measured(most) => {
                let most = most.clamp(1, MAX_THREADS);
                let counts = if most == 1 { vec![1] } else { vec![1, most] };
                counts.into_iter().map(Pool::new).collect()
            }
            Threads::Pool(pool) => vec![pool],
        };
        self.choice = Choice::new(self.pools.len());
        self
    }

    /// The pool with the most threads.
    pub fn pool(&self) -> &Pool {
        self.pools.last().expect("there is one")
    }

    /// The rows of the largest batch, as recorded.
    pub fn rows(&self) -> usize {
        self.alone.rows()
    }

    /// Whether the halves hold the newest parameters and optimizer state.
    #[cfg(test)]
    pub fn is_halved(&self) -> bool {
        self.halves.as_ref().is_some_and(Halves::holds_newest)
    }

    /// Makes one update with the batch that was drawn, or adds its gradient to those of the update's other
    /// batches; returns the loss before it. If that is not finite, parameters and buffers are as they were before
    /// the update.
    pub fn step(&mut self, work: &mut Work<'_>) -> f32 {
        let measured = self.pools.len() > 1;
        let begun = measured.then(Instant::now);
        let pool = &self.pools[self.choice.now()];
        let halved = (2..=self.halved_up_to).contains(&pool.threads());
        let loss = match &mut self.halves {
            Some(halves) if halved => halves.step(work, pool),
            halves => {
                if let Some(halves) = halves {
                    halves.leave(work.model, work.optimizer, work.step);
                }
                self.alone.step(work, pool)
            }
        };
        if let Some(begun) = begun {
            self.choice.took(begun.elapsed());
        }
        loss
    }

    /// Writes the newest parameters and optimizer state back to `model` and `optimizer`, after `steps`
    /// updates.
    pub fn leave(&mut self, model: &mut Neural, optimizer: &mut Optimizer<f32>, steps: u64) {
        if let Some(halves) = &mut self.halves {
            halves.leave(model, optimizer, steps);
        }
    }
}
