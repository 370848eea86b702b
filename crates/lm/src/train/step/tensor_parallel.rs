//! The step on two threads, each of which has half of every hidden layer's units (tensor parallelism).
//!
//! Weights, moments and activations of a shard stay in their core's cache. Only partial sums over units pass
//! between the cores: logits, inputs of deeper layers and their gradients, the embedding's gradient. The bits
//! are those of the whole step, which splits sums over units at the same place.
//!
//! # Source
//! Shoeybi et al. 2019, "Megatron-LM"

mod shards;

use std::sync::Arc;

use charloom_nn::{Layer, Linear, Optimizer};
use charloom_tensor::kernels::{Communicator, MANY_ROWS, MAX_THREADS, Pool};
use charloom_tensor::{Grads, ParamId, Params, Pass, Recording, Tape, can_be_cut};

use super::{StepArgs, StepRecording};
use crate::config::{self, Batch, TrainConfig};
use crate::feed::{Feed, Shape};
use crate::models::{Neural, Recorded, Stack, window_targets};
use crate::train::optimizer;

/// The least work of a step, in floating-point operations, for which two threads are faster than one.
const MIN_WORK: usize = 1_500_000;

/// The step as two shards, a thread each.
pub(super) struct TensorParallel {
    communicator: Arc<Communicator<f32>>,
    shards: [Shard; 2],
    /// Whether the newest parameters and optimizer state are in the shards rather than in the trainer's
    /// model.
    holds_newest: bool,
}

/// Half of the units of every hidden layer, with a recording and an optimizer of its own.
struct Shard {
    params: Params<f32>,
    grads: Grads<f32>,
    optimizer: Optimizer<f32>,
    step: StepRecording<f32>,
    loss: f32,
}

impl TensorParallel {
    /// With up to this many threads the shards are faster than sharing out the batch's rows; 0 if this
    /// training cannot be sharded, or is too small for that.
    pub fn max_threads(model: &Neural, train: &TrainConfig) -> usize {
        let (Some(stack), Batch::Size(size)) = (model.net.stack(), train.batch) else { return 0 };
        let work = model.params.parameter_count().saturating_mul(6).saturating_mul(size);
        match can_be_sharded(stack, &model.params) && is_plain(train) && work >= MIN_WORK {
            true if size < MANY_ROWS => MAX_THREADS,
            true => 2,
            false => 0,
        }
    }

    /// Whether the shards hold the newest parameters and optimizer state.
    #[cfg(test)]
    pub fn holds_newest(&self) -> bool {
        self.holds_newest
    }

    /// Two shards, their parameters still zero.
    ///
    /// # Panics
    /// If [`TensorParallel::max_threads`] is 0.
    pub fn new(model: &Neural, shape: Shape, train: &TrainConfig) -> Self {
        let stack = model.net.stack().expect("only layers over a window are sharded");
        let communicator = Arc::new(Communicator::default());
        let shard = |side| {
            let (params, layers) = shards::shard(stack, &model.params, side);
            let (recording, recorded) =
                Recording::shard(&params, side, &communicator, |tape| layers.loss(tape, shape));
            Shard {
                grads: Grads::zeros(&params),
                optimizer: optimizer(&params, train),
                step: StepRecording::of(recording, recorded),
                params,
                loss: 0.0,
            }
        };
        let shards = [shard(0), shard(1)];
        Self { communicator, shards, holds_newest: false }
    }

    /// As [`Stepper::step`](super::Stepper::step).
    pub fn step(&mut self, args: &mut StepArgs<'_>, pool: &Pool) -> f32 {
        if !self.holds_newest {
            self.scatter(args.model, args.optimizer, args.step);
        }
        let (feed, lr, step) = (&*args.feed, args.lr, args.step);
        self.communicator.work(pool, &mut self.shards, |_, shard| shard.step(feed, lr, step));
        self.shards[0].loss
    }

    /// As [`Stepper::sync`](super::Stepper::sync).
    pub fn sync(&mut self, model: &mut Neural, optimizer: &mut Optimizer<f32>, steps: u64) {
        if std::mem::take(&mut self.holds_newest) {
            self.gather(model, optimizer, steps);
        }
    }
}

/// Whether every batch makes an update, without clipping, an average of the weights or Muon's matrix products:
/// each element's own gradient then determines its step.
fn is_plain(train: &TrainConfig) -> bool {
    let plain = [train.clip, train.clip_value, train.ema] == [0.0; 3] && train.accumulate == 1;
    plain && train.optimizer != config::Optimizer::Muon
}

/// Whether the layers between linear ones work unit by unit, and hidden layers have enough units.
fn can_be_sharded(stack: &Stack, params: &Params<f32>) -> bool {
    let Some((Layer::Linear(_), hidden)) = stack.layers.layers.split_last() else { return false };
    let by_unit = |layer: &Layer| match layer {
        Layer::Linear(linear) => can_be_cut(params.entry(linear.weight).shape.dims()[0]),
        Layer::BatchNorm1d(_) | Layer::Tanh(_) | Layer::Relu(_) | Layer::Gelu(_) => true,
        _ => false,
    };
    !hidden.is_empty() && hidden.iter().all(by_unit)
}

impl Shard {
    fn step(&mut self, feed: &dyn Feed, lr: f64, step: u64) {
        let Self { params, grads, optimizer, step: recorded, .. } = self;
        recorded.fill(feed);
        let (rows, counts) = (feed.rows(), feed.counts());
        let pass = Pass { training: true, step, rows, counts, ..Pass::default() };
        recorded.recording.forward(params, &pass);
        self.loss = recorded.recording.item(recorded.loss);
        // Both shards have the same loss, so both or none make an update.
        if self.loss.is_finite() {
            recorded.recording.store_buffers(params);
            optimizer.descend(&mut recorded.recording, params, grads, recorded.loss, lr, &pass);
        }
    }
}

/// A stack's layers with half of the units.
struct StackShard {
    stack: Stack,
    /// For each layer: how the shards' partial sums are added, if it is linear and not the first.
    reductions: Vec<Option<Reduction>>,
}

/// How the two shards' partial sums of a layer are added.
#[derive(Clone, Copy)]
struct Reduction {
    bias: Option<ParamId>,
    /// Whether both shards get all columns (all-reduce), not each its own (reduce-scatter).
    is_all_reduce: bool,
}

impl StackShard {
    fn loss(&self, tape: &Tape<'_, f32>, shape: Shape) -> Recorded {
        let Shape::Windows { rows, context, targets, merged } = shape else {
            unreachable!("windows feed a stack")
        };
        let contexts = tape.index_rows(tape.axis(rows), &[context]);
        let mut x = match &self.stack.embedding {
            // Both shards have the whole table.
            Some(embedding) => tape.param(embedding.weight).replicated().embedding(contexts),
            None => tape.one_hot(contexts, self.stack.vocab),
        };
        x = x.flatten(1);
        for (layer, reduction) in self.stack.layers.layers.iter().zip(&self.reductions) {
            x = layer.forward(x);
            if let Some(Reduction { bias, is_all_reduce }) = *reduction {
                let bias = bias.map(|bias| tape.param(bias));
                x = if is_all_reduce { x.all_reduce(bias) } else { x.reduce_scatter(bias) };
            }
        }
        let targets = window_targets(tape, targets, merged);
        let inputs = [contexts, targets.tokens].into_iter().chain(targets.rows).collect();
        Recorded { inputs, loss: x.cross_entropy(targets).id(), carried: Vec::new() }
    }
}

/// A linear layer's shard.
fn linear(weight: ParamId, bias: Option<ParamId>) -> Layer {
    Linear { weight, bias }.into()
}
