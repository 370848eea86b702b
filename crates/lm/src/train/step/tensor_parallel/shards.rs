//! Which part of each tensor a shard has, and how a whole tensor is made of both.

use std::collections::HashMap;

use charloom_nn::{BatchNorm1d, Embedding, Layer, Optimizer, Sequential};
use charloom_tensor::ops::RunningStats;
use charloom_tensor::{Entry, ParamId, Params};

use super::{Reduction, StackShard, TensorParallel, linear};
use crate::models::{Neural, Stack};

/// One shard of these layers, zeros under the same names. The first weight and everything between linear
/// layers is split by units, the other weights by inputs.
pub(super) fn shard(stack: &Stack, whole: &Params<f32>, side: usize) -> (Params<f32>, StackShard) {
    debug_assert!(side < 2);
    let mut params = Params::new();
    let entry = |id: ParamId| whole.entry(id);
    let halved = |params: &mut Params<f32>, id: ParamId, parts: usize| {
        let len = entry(id).shape.len() / parts;
        params.add(&entry(id).name, &[len], &vec![0.0; len])
    };
    let embedding = stack.embedding.map(|Embedding { weight }| {
        let (name, shape) = (&entry(weight).name, entry(weight).shape);
        Embedding { weight: params.add(name, shape.dims(), &vec![0.0; shape.len()]) }
    });
    let last = stack.layers.layers.len() - 1;
    let (mut layers, mut reductions): (Vec<Layer>, Vec<Option<Reduction>>) = (Vec::new(), Vec::new());
    for (i, layer) in stack.layers.layers.iter().enumerate() {
        let (layer, reduction) = match *layer {
            Layer::Linear(of) => {
                let dims = entry(of.weight).shape.dims();
                let dims = if i == 0 { [dims[0] / 2, dims[1]] } else { [dims[0], dims[1] / 2] };
                let zeros = vec![0.0; dims[0] * dims[1]];
                let weight = params.add_like(entry(of.weight), &dims, &zeros);
                let bias = of.bias.map(|bias| halved(&mut params, bias, if i == last { 1 } else { 2 }));
                match i {
                    0 => (linear(weight, bias), None),
                    _ => (linear(weight, None), Some(Reduction { bias, is_all_reduce: i == last })),
                }
            }
            Layer::BatchNorm1d(norm) => {
                let weight = halved(&mut params, norm.weight, 2);
                let bias = halved(&mut params, norm.bias, 2);
                let mut buffer = |id: ParamId| {
                    let len = entry(id).shape.len() / 2;
                    params.add_buffer(&entry(id).name, &[len], &vec![0.0; len])
                };
                let (mean, var) = (buffer(norm.running.mean), buffer(norm.running.var));
                let running = RunningStats { mean, var, ..norm.running };
                (BatchNorm1d { weight, bias, running }.into(), None)
            }
            by_unit => (by_unit, None),
        };
        layers.push(layer);
        reductions.push(reduction);
    }
    let stack = Stack { embedding, layers: Sequential::new(layers), ..stack.clone() };
    (params, StackShard { stack, reductions })
}

impl TensorParallel {
    /// Copies parameters and optimizer state from the model into the shards, after `steps` updates.
    pub(super) fn scatter(&mut self, model: &Neural, optimizer: &Optimizer<f32>, steps: u64) {
        let state = optimizer.state(&model.params);
        for (side, shard) in self.shards.iter_mut().enumerate() {
            let pairs = pairs(&model.params, &shard.params);
            for &[whole, part] in pairs.values() {
                let data = model.params.read(whole);
                let data = shard_of(&data, model.params.entry(whole), shard.params.entry(part), side);
                shard.params.write(part, &data);
            }
            let state: HashMap<&str, Vec<f32>> = state
                .iter()
                .map(|tensor| {
                    let [whole, part] = pairs[parameter(&tensor.name, &pairs)];
                    let entries = (model.params.entry(whole), shard.params.entry(part));
                    (tensor.name.as_str(), shard_of(&tensor.data, entries.0, entries.1, side))
                })
                .collect();
            let find = |name: &str| state.get(name).map(Vec::as_slice);
            shard.optimizer.load(&shard.params, steps, find).expect("a shard of every tensor of the whole");
        }
        self.holds_newest = true;
    }

    /// Copies them back from the shards, after `steps` updates.
    pub(super) fn gather(&self, model: &mut Neural, optimizer: &mut Optimizer<f32>, steps: u64) {
        let [first, second] = &self.shards;
        let pairs = pairs(&model.params, &first.params);
        for &[whole, part] in pairs.values() {
            let parts = [first.params.read(part), second.params.read(part)];
            let data = concat(parts, model.params.entry(whole), first.params.entry(part));
            model.params.write(whole, &data);
        }
        let states = first.optimizer.state(&first.params).into_iter();
        let state: HashMap<String, Vec<f32>> = states
            .zip(second.optimizer.state(&second.params))
            .map(|(of_first, of_second)| {
                let [whole, part] = pairs[parameter(&of_first.name, &pairs)];
                let entries = (model.params.entry(whole), first.params.entry(part));
                (of_first.name, concat([of_first.data, of_second.data], entries.0, entries.1))
            })
            .collect();
        let find = |name: &str| state.get(name).map(Vec::as_slice);
        optimizer.load(&model.params, steps, find).expect("both shards of every tensor of the whole");
    }
}

/// For each name the ids of the whole's and a shard's tensor.
fn pairs(whole: &Params<f32>, shard: &Params<f32>) -> HashMap<String, [ParamId; 2]> {
    let pair = |(id, entry): (ParamId, &Entry)| {
        (entry.name.clone(), [id, shard.find(&entry.name).expect("a shard has all names of the whole")])
    };
    whole.ids().zip(whole.entries()).map(pair).collect()
}

/// The name of the parameter that an optimizer's tensor belongs to.
fn parameter<'a>(name: &'a str, pairs: &HashMap<String, [ParamId; 2]>) -> &'a str {
    let ends = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
    ends.into_iter().find(|end| pairs.contains_key(*end)).expect("a state is named after its parameter")
}

/// A tensor in memory is runs of numbers that belong to the two shards in turn: the length of a run; None if both
/// have the whole tensor.
fn run_length(whole: &Entry, shard: &Entry) -> Option<usize> {
    let (whole, shard) = (whole.shape.dims(), shard.shape.dims());
    let cut = whole.iter().zip(shard).position(|(whole, shard)| whole != shard)?;
    Some(shard[cut..].iter().product())
}

/// One shard's part of a tensor.
fn shard_of(data: &[f32], whole: &Entry, shard: &Entry, side: usize) -> Vec<f32> {
    match run_length(whole, shard) {
        None => data.to_vec(),
        Some(length) => data.chunks(length).skip(side).step_by(2).flatten().copied().collect(),
    }
}

/// A tensor of both shards' parts.
fn concat([first, second]: [Vec<f32>; 2], whole: &Entry, shard: &Entry) -> Vec<f32> {
    match run_length(whole, shard) {
        None => first,
        Some(length) => first
            .chunks(length)
            .zip(second.chunks(length))
            .flat_map(|(a, b)| [a, b])
            .flatten()
            .copied()
            .collect(),
    }
}
