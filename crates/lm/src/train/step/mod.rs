//! How a training's steps are computed, on one thread or several. Every way gives the same bits; they differ in time
//! only.

mod autotune;
mod tensor_parallel;
mod whole;

use std::time::Instant;

use charloom_nn::Optimizer;
use charloom_tensor::kernels::{MAX_THREADS, Pool};

use autotune::Autotuner;
use tensor_parallel::TensorParallel;
use whole::WholeStep;
pub(crate) use whole::{StepRecording, record};

use super::{SoftTargets, Threads};
use crate::Result;
use crate::config::TrainConfig;
use crate::feed::Feed;
use crate::models::Neural;

/// What a step works on.
pub(super) struct StepArgs<'a> {
    pub model: &'a mut Neural,
    pub optimizer: &'a mut Optimizer<f32>,
    pub feed: &'a mut dyn Feed,
    pub lr: f64,
    /// Updates made before.
    pub step: u64,
    /// The index of this batch in its update, and how many batches an update has. The update is made with the
    /// last of them, by their mean gradient.
    pub batch: [u64; 2],
}

/// Computes the steps of a training: as one recording or as two shards, and with the number of threads that is
/// measured to be the fastest.
pub(super) struct Stepper {
    whole: WholeStep,
    /// None if the training cannot be sharded, or is too small for that.
    tensor_parallel: Option<TensorParallel>,
    /// With 2 up to this number of threads the shards are used, on two of them; otherwise the whole step.
    sharded_up_to: usize,
    pools: Vec<Pool>,
    autotuner: Autotuner,
}

impl Stepper {
    pub fn new(
        model: &Neural,
        feed: &dyn Feed,
        train: &TrainConfig,
        soft_targets: Option<&SoftTargets>,
    ) -> Result<Self> {
        let whole = WholeStep::new(model, feed, train, soft_targets)?;
        let sharded_up_to =
            if soft_targets.is_none() { TensorParallel::max_threads(model, train) } else { 0 };
        let tensor_parallel = (sharded_up_to > 0).then(|| TensorParallel::new(model, feed.shape(), train));
        let autotuner = Autotuner::new(1);
        let stepper = Self { whole, tensor_parallel, sharded_up_to, pools: Vec::new(), autotuner };
        Ok(stepper.with_threads(Threads::default()))
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
        self.autotuner = Autotuner::new(self.pools.len());
        self
    }

    /// The pool with the most threads.
    pub fn pool(&self) -> &Pool {
        self.pools.last().expect("there is one")
    }

    /// The rows of the largest batch, as recorded.
    pub fn rows(&self) -> usize {
        self.whole.rows()
    }

    /// Whether the shards hold the newest parameters and optimizer state.
    #[cfg(test)]
    pub fn is_sharded(&self) -> bool {
        self.tensor_parallel.as_ref().is_some_and(TensorParallel::holds_newest)
    }

    /// Makes one update with the batch that was drawn, or adds its gradient to those of the update's other
    /// batches; returns the loss before it. If that is not finite, parameters and buffers are as they were before
    /// the update.
    pub fn step(&mut self, args: &mut StepArgs<'_>) -> f32 {
        let measured = self.pools.len() > 1;
        let begun = measured.then(Instant::now);
        let pool = &self.pools[self.autotuner.now()];
        let is_sharded = (2..=self.sharded_up_to).contains(&pool.threads());
        let loss = match &mut self.tensor_parallel {
            Some(tensor_parallel) if is_sharded => tensor_parallel.step(args, pool),
            tensor_parallel => {
                if let Some(tensor_parallel) = tensor_parallel {
                    tensor_parallel.sync(args.model, args.optimizer, args.step);
                }
                self.whole.step(args, pool)
            }
        };
        if let Some(begun) = begun {
            self.autotuner.took(begun.elapsed());
        }
        loss
    }

    /// Writes the newest parameters and optimizer state back to `model` and `optimizer`, after `steps`
    /// updates.
    pub fn sync(&mut self, model: &mut Neural, optimizer: &mut Optimizer<f32>, steps: u64) {
        if let Some(tensor_parallel) = &mut self.tensor_parallel {
            tensor_parallel.sync(model, optimizer, steps);
        }
    }
}
