//! A training on two threads, each of which has half of every hidden layer's units.
//!
//! Weights, moments and activations of a half stay in their core's cache. What passes between the cores is the halves of
//! sums over units: logits, the inputs of deeper layers and their gradients, the embedding's gradient. Everything else
//! both do for themselves. The numbers are the same bits as on one thread, which cuts sums over units at the same place.

use std::collections::HashMap;
use std::sync::Arc;

use charloom_nn::Optimizer;
use charloom_tensor::kernels::{self, MANY_ROWS, Partners};
use charloom_tensor::{Entry, Tape};

use super::{Batches, StepGraph, optimizer, record_step};
use crate::Result;
use crate::config::{Batch, TrainConfig};
use crate::models::Network;

/// The least work of a step that is worth two threads, in floating-point operations.
const LEAST: usize = 1_500_000;

pub(super) struct Halves {
    partners: Arc<Partners<f32>>,
    both: [Half; 2],
}

struct Half {
    network: Network<f32>,
    graph: StepGraph,
    optimizer: Optimizer<f32>,
    loss: f32,
}

impl Halves {
    /// The most threads that are not better used by giving each some of the batch's rows; 0 if a training of this model
    /// cannot be halved, or is not worth it.
    pub fn most_threads(train: &TrainConfig, network: &Network<f32>) -> usize {
        let Batch::Size(size) = train.batch else { return 0 };
        let work = network.tape().parameter_count().saturating_mul(6).saturating_mul(size);
        match network.can_be_halved() && train.clip == 0.0 && work >= LEAST {
            true if size < MANY_ROWS => kernels::MAX_THREADS,
            true => 2,
            false => 0,
        }
    }

    /// Two halves, still empty.
    pub fn new(train: &TrainConfig, whole: &Network<f32>, batches: &Batches) -> Result<Self> {
        let partners = Arc::new(Partners::default());
        let half = |side| -> Result<Half> {
            let network = whole.half(side, &partners);
            let graph = record_step(&network, batches.examples(), train.batch, true)?;
            let optimizer = optimizer(&network, train);
            network.tape().set_training(true);
            Ok(Half { network, graph, optimizer, loss: 0.0 })
        };
        let both = [half(0)?, half(1)?];
        Ok(Self { partners, both })
    }

    /// Takes over a training after `steps` steps.
    pub fn take(&mut self, network: &Network<f32>, optimizer: &Optimizer<f32>, steps: u64) {
        let whole = network.tape();
        let state = optimizer.state(whole);
        for (side, half) in self.both.iter_mut().enumerate() {
            let tape = half.network.tape();
            let pairs = pairs(whole, tape);
            for (whole_entry, entry) in pairs.values() {
                tape.write_entry(entry, &cut(&whole.read_entry(whole_entry), whole_entry, entry, side));
            }
            let state: HashMap<&str, Vec<f32>> = state
                .iter()
                .map(|tensor| {
                    let (whole_entry, entry) = &pairs[parameter(&tensor.name, &pairs)];
                    (tensor.name.as_str(), cut(&tensor.data, whole_entry, entry, side))
                })
                .collect();
            let find = |name: &str| state.get(name).map(Vec::as_slice);
            half.optimizer.load(tape, steps, find).expect("a half of every tensor of the whole");
        }
    }

    /// Gives it back after `steps` steps.
    pub fn give(&self, network: &Network<f32>, optimizer: &mut Optimizer<f32>, steps: u64) {
        let whole = network.tape();
        let pairs = pairs(whole, self.both[0].network.tape());
        for (whole_entry, entry) in pairs.values() {
            let parts = [0, 1].map(|side| self.both[side].network.tape().read_entry(entry));
            whole.write_entry(whole_entry, &join(parts, whole_entry, entry));
        }
        let [first, second] = [0, 1].map(|side| {
            let half = &self.both[side];
            half.optimizer.state(half.network.tape())
        });
        let state: HashMap<String, Vec<f32>> = first
            .into_iter()
            .zip(second)
            .map(|(first, second)| {
                let (whole_entry, entry) = &pairs[parameter(&first.name, &pairs)];
                (first.name, join([first.data, second.data], whole_entry, entry))
            })
            .collect();
        let find = |name: &str| state.get(name).map(Vec::as_slice);
        optimizer.load(whole, steps, find).expect("both halves of every tensor of the whole");
    }

    /// Makes one update with the minibatch that was drawn; returns its loss before it. Of a loss that is not finite there
    /// is no update.
    pub fn step(&mut self, batches: &Batches, lr: f64) -> f32 {
        self.partners.work(&mut self.both, |_, half| half.step(batches, lr));
        self.both[0].loss
    }
}

impl Half {
    fn step(&mut self, batches: &Batches, lr: f64) {
        let tape = self.network.tape();
        batches.write(tape, &self.graph);
        tape.replay(self.graph.graph);
        self.loss = tape.var(self.graph.loss).item();
        // Both partners have the same loss, and so the same answer.
        if self.loss.is_finite() {
            self.optimizer.descend(tape, self.graph.loss, lr);
        }
    }
}

/// The whole's and a half's tensor of each name.
fn pairs(whole: &Tape<f32>, half: &Tape<f32>) -> HashMap<String, (Entry, Entry)> {
    let mut halves: HashMap<String, Entry> =
        half.entries().into_iter().map(|e| (e.name.clone(), e)).collect();
    let pair = |whole: Entry| {
        let half = halves.remove(&whole.name).expect("a half has all names of the whole");
        (whole.name.clone(), (whole, half))
    };
    whole.entries().into_iter().map(pair).collect()
}

/// The parameter that a tensor of an optimizer's state belongs to.
fn parameter<'a>(name: &'a str, pairs: &HashMap<String, (Entry, Entry)>) -> &'a str {
    let ends = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
    ends.into_iter().find(|end| pairs.contains_key(*end)).expect("a state is named after its parameter")
}

/// How many numbers of a tensor are one partner's before the other's come; None if both have all of it.
fn stretch(whole: &Entry, half: &Entry) -> Option<usize> {
    let (whole, half) = (whole.shape.dims(), half.shape.dims());
    let cut = whole.iter().zip(half).position(|(whole, half)| whole != half)?;
    Some(half[cut..].iter().product())
}

/// One partner's part of a tensor.
fn cut(data: &[f32], whole: &Entry, half: &Entry, side: usize) -> Vec<f32> {
    match stretch(whole, half) {
        None => data.to_vec(),
        Some(stretch) => data.chunks(stretch).skip(side).step_by(2).flatten().copied().collect(),
    }
}

/// A tensor from both parts.
fn join([first, second]: [Vec<f32>; 2], whole: &Entry, half: &Entry) -> Vec<f32> {
    match stretch(whole, half) {
        None => first,
        Some(stretch) => first
            .chunks(stretch)
            .zip(second.chunks(stretch))
            .flat_map(|(a, b)| [a, b])
            .flatten()
            .copied()
            .collect(),
    }
}
