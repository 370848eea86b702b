//! The whole step as one recording, whose kernels are shared out among the pool's threads.

use std::sync::Arc;

use charloom_nn::{clip_grad_norm, clip_grad_value};
use charloom_tensor::kernels::Pool;
use charloom_tensor::{Element, Grads, Indices, NodeId, Params, Pass, Recording};

use super::StepArgs;
use crate::config::{Batch, TrainConfig};
use crate::feed::{Feed, MAX_NUMBERS, Shape};
use crate::models::{Net, Neural, Precision, Recorded};
use crate::train::SoftTargets;
use crate::{Error, Result};

/// The recorded loss of a batch, and the inputs that each step sets.
pub(crate) struct StepRecording<E: Precision> {
    pub recording: Recording<E>,
    pub loss: NodeId,
    inputs: Vec<Indices>,
    /// The parts of a state that is carried from batch to batch; see [`Recorded`].
    carried: Vec<[NodeId; 2]>,
    /// The index of the teacher's distribution of each target.
    soft_targets: Option<Indices>,
}

impl<E: Precision> StepRecording<E> {
    pub fn new(params: &Params<E>, net: &Net, shape: Shape) -> Self {
        let (recording, recorded) = Recording::new(params, |tape| net.loss(tape, shape));
        Self::of(recording, recorded)
    }

    pub fn of(mut recording: Recording<E>, recorded: Recorded) -> Self {
        let Recorded { inputs, loss, carried } = recorded;
        let kept: Vec<NodeId> = carried.iter().map(|&[_, states]| states).chain([loss]).collect();
        recording.fuse(&kept);
        Self { recording, loss, inputs, carried, soft_targets: None }
    }

    /// Copies the batch that the feed has drawn into the recording's inputs.
    pub fn fill(&mut self, feed: &dyn Feed) {
        for (k, &indices) in self.inputs.iter().enumerate() {
            let input = feed.input(k);
            self.recording.set_indices(indices, |to| to[..input.len()].copy_from_slice(input));
        }
        if let Some(soft_targets) = self.soft_targets {
            let numbers = feed.soft_targets();
            self.recording.set_indices(soft_targets, |to| to[..numbers.len()].copy_from_slice(numbers));
        }
        let mut rest = feed.state();
        for &[first, _] in &self.carried {
            self.recording.set(first, |to| {
                let (part, after) = rest.split_at(to.len());
                to.iter_mut().zip(part).for_each(|(to, &x)| *to = E::of(x.into()));
                rest = after;
            });
        }
    }

    /// Hands the states after the batch back to the feed.
    pub fn carry(&self, feed: &mut dyn Feed) {
        let mut rest = feed.state_mut();
        for &[first, states] in &self.carried {
            let len = self.recording.shape(first).len();
            let (part, after) = rest.split_at_mut(len);
            self.recording.with_data(states, |states| {
                let last = &states[states.len() - len..];
                part.iter_mut().zip(last).for_each(|(to, x)| *to = x.f64() as f32);
            });
            rest = after;
        }
    }
}

/// The recorded step of this feed's batches; None where merging their equal rows would change the numbers.
///
/// # Errors
/// A batch that is too large.
pub(crate) fn record<E: Precision>(
    params: &Params<E>,
    net: &Net,
    feed: &dyn Feed,
    batch: Batch,
) -> Result<Option<StepRecording<E>>> {
    let shape = feed.shape();
    let rows = match shape {
        Shape::Windows { rows, .. } | Shape::PairedWindows { windows: rows, .. } => rows,
        Shape::Levels { levels, rows, .. } => levels.saturating_mul(rows),
        Shape::Tree { nodes, .. } => nodes,
        Shape::Streams { streams, length, .. } => streams.saturating_mul(length),
        Shape::Blocks { sequences, length } => sequences.saturating_mul(length),
    };
    let most = MAX_NUMBERS / net.widest().max(1);
    if rows > most {
        let hint = match shape {
            Shape::Streams { streams: sequences, .. } | Shape::Blocks { sequences, .. } => {
                format!("a ``context`` of at most {}", most / sequences.max(1))
            }
            _ => "smaller layers".to_owned(),
        };
        let widest = net.widest();
        let message = format!(
            "{batch}: {rows} rows of up to {widest} numbers are too many, {most} the most; choose {hint}"
        );
        let message = format!("{message} or a smaller batch");
        return Err(Error::setting("batch", message));
    }
    let step = StepRecording::new(params, net, shape);
    Ok((!feed.merges() || step.recording.is_mergeable()).then_some(step))
}

/// The step of all units, as one recording.
pub(super) struct WholeStep {
    step: StepRecording<f32>,
    grads: Grads<f32>,
    /// What an update's batches have given so far, if it has several.
    update: Option<Update>,
    rows: usize,
    clip: f64,
    clip_value: f64,
}

impl WholeStep {
    pub fn new(
        model: &Neural,
        feed: &dyn Feed,
        train: &TrainConfig,
        soft_targets: Option<&SoftTargets>,
    ) -> Result<Self> {
        let step = record(&model.params, &model.net, feed, train.batch)?;
        let mut step = step.ok_or_else(|| Error::usage("this model cannot be trained on merged rows"))?;
        if let Some(SoftTargets { table, weight }) = soft_targets {
            let indices = step.recording.add_soft_targets(step.loss, Arc::clone(table), *weight);
            step.soft_targets = Some(indices);
        }
        let rows = match feed.shape() {
            Shape::Windows { rows, .. } | Shape::PairedWindows { windows: rows, .. } => rows,
            Shape::Levels { pairs, .. } | Shape::Tree { pairs, .. } => pairs,
            Shape::Streams { streams, length, .. } => streams * length,
            Shape::Blocks { sequences, length } => sequences * length,
        };
        let grads = Grads::zeros(&model.params);
        let update = (train.accumulate > 1)
            .then(|| Update { sum: grads.clone(), buffers: model.params.buffers().to_vec() });
        Ok(Self { step, grads, update, rows, clip: train.clip, clip_value: train.clip_value })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// As [`Stepper::step`](super::Stepper::step).
    pub fn step(&mut self, args: &mut StepArgs<'_>, pool: &Pool) -> f32 {
        let Self { step, grads, update, clip, clip_value, .. } = self;
        let [batch, batches] = args.batch;
        if let (Some(update), 0) = (&mut *update, batch) {
            update.buffers.copy_from_slice(args.model.params.buffers());
        }
        step.fill(&*args.feed);
        let pass = Pass {
            training: true,
            step: args.step.wrapping_mul(batches).wrapping_add(batch),
            rows: args.feed.rows(),
            counts: args.feed.counts(),
            pool: Some(pool),
            ..Pass::default()
        };
        let (params, recording) = (&mut args.model.params, &mut step.recording);
        recording.forward(params, &pass);
        let loss = recording.item(step.loss);
        if loss.is_finite() {
            recording.store_buffers(params);
            if *clip > 0.0 || *clip_value > 0.0 || update.is_some() {
                recording.backward(params, grads, step.loss, &pass);
                if let Some(update) = update {
                    update.add(grads, args.batch);
                    if batch + 1 < batches {
                        step.carry(args.feed);
                        return loss;
                    }
                }
                if *clip_value > 0.0 {
                    clip_grad_value(grads, *clip_value);
                }
                if *clip > 0.0 {
                    args.optimizer.zero_frozen(grads);
                    clip_grad_norm(grads, *clip);
                }
                pool.enter(false, || args.optimizer.step(params, grads, args.lr));
            } else {
                pool.enter(false, || {
                    args.optimizer.descend(recording, params, grads, step.loss, args.lr, &pass);
                });
            }
            step.carry(args.feed);
        } else if let Some(update) = update {
            params.buffers_mut().copy_from_slice(&update.buffers);
        }
        loss
    }
}

/// An update of several batches (gradient accumulation).
struct Update {
    /// The sum of the gradients of its batches so far.
    sum: Grads<f32>,
    /// The buffers before its first batch, to go back to if a later batch's loss is not finite.
    buffers: Vec<f32>,
}

impl Update {
    /// Adds a batch's gradients to those of the batches before; with the last they become the mean.
    fn add(&mut self, grads: &mut Grads<f32>, [batch, batches]: [u64; 2]) {
        let (sum, grads) = (self.sum.values_mut(), grads.values_mut());
        if batch == 0 {
            sum.copy_from_slice(grads);
        } else {
            f32::add_scaled(1.0, grads, sum);
        }
        if batch + 1 == batches {
            let share = 1.0 / batches as f32;
            grads.iter_mut().zip(sum).for_each(|(g, s)| *g = *s * share);
        }
    }
}
