//! Layers looked at on a batch, beside the training and without a trace in it.

use charloom_tensor::{Graph, Id, Kind as EntryKind};
use serde::Serialize;

use super::{Kind, Record};
use crate::data::Examples;
use crate::models::{Network, Traced};

/// A tanh beyond this passes less than 6 % of a gradient on.
const SATURATED: f32 = 0.97;
/// Below this gelu is flat: its slope is under 0.012.
const GELU_FLAT: f32 = -3.0;

/// A batch's way through a network, every layer for itself.
///
/// It is recorded on the network's tape, to be computed again whenever it is asked for. Norms take the batch's
/// statistics, as in training, and their running ones stay as they were; dropout is left out.
pub struct Probe {
    layers: Vec<Traced>,
    loss: Id,
    graph: Graph,
    rows: usize,
}

/// A network's layers on a batch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Updates made before.
    pub step: u64,
    /// B, the examples of the batch.
    pub rows: usize,
    /// Its loss.
    ///
    /// # Units
    /// Nats per character.
    pub loss: f64,
    /// What each layer gives, the gradients there, and the weights.
    pub records: Vec<Record>,
    /// Of each activation function the share of examples that lie in its flat part, by unit.
    pub maps: Vec<(String, Vec<f32>)>,
}

impl Probe {
    /// The way of at most `rows` examples, taken evenly from all.
    #[must_use]
    pub fn new(network: &Network<f32>, examples: &Examples, rows: usize) -> Self {
        let rows = rows.min(examples.len());
        let chosen = || (0..rows).map(|i| i * examples.len() / rows);
        let contexts: Vec<u32> = chosen().flat_map(|i| examples.context(i)).collect();
        let targets: Vec<u32> = chosen().map(|i| examples.target(i)).collect();
        let tape = network.tape();
        let contexts = tape.indices(&[rows, examples.context_length()], &contexts);
        let targets = tape.indices(&[rows], &targets);
        let training = tape.is_training();
        // Recording computes: in evaluation mode it leaves running statistics alone.
        tape.set_training(false);
        tape.set_row_limit(None);
        let mark = tape.mark();
        let layers = network.trace(contexts);
        let logits = tape.var(layers.last().expect("a network has layers").output);
        let loss = logits.cross_entropy(targets).id();
        let graph = tape.graph_since(mark);
        tape.set_training(training);
        Self { layers, loss, graph, rows }
    }

    /// Looks at the network as it is after `step` updates.
    #[must_use]
    pub fn measure(&self, network: &Network<f32>, step: u64) -> Snapshot {
        let tape = network.tape();
        let training = tape.is_training();
        let entries = tape.entries();
        let (parameters, buffers): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.kind == EntryKind::Parameter);
        let running: Vec<_> = buffers.iter().map(|entry| tape.read_entry(entry)).collect();
        tape.set_training(true);
        tape.set_row_limit(None);
        tape.replay(self.graph);
        tape.backward(self.loss);
        tape.set_training(training);
        buffers.iter().zip(&running).for_each(|(entry, data)| tape.write_entry(entry, data));

        let (mut records, mut maps) = (Vec::new(), Vec::new());
        for (i, layer) in self.layers.iter().enumerate() {
            let output = tape.var(layer.output);
            let mut record =
                output.with_data(|y| Record::new(step, &layer.name, Kind::Activation, layer.op, y));
            let before = self.layers[i.saturating_sub(1)].output;
            if let Some(flat) = flat_part(layer.op) {
                let seen = if layer.op == "Gelu" { tape.var(before) } else { output };
                let map = seen.with_data(|x| share_by_unit(x, self.rows, flat));
                if layer.op == "Tanh" {
                    record.saturated =
                        Some(map.iter().map(|&x| f64::from(x)).sum::<f64>() / map.len() as f64);
                }
                record.dead = Some(map.iter().filter(|&&share| share == 1.0).count());
                record.units = Some(map.len());
                maps.push((layer.name.clone(), map));
            }
            records.push(record);
            records.push(output.with_grad(|g| Record::new(step, &layer.name, Kind::Gradient, layer.op, g)));
        }
        tape.with_parameters(|params, grads| {
            for entry in parameters.iter().filter(|entry| entry.shape.rank() == 2) {
                let (weight, gradient) = (entry.read(params), entry.read(grads));
                let layer = entry.name.rsplit_once('.').map_or("", |(layer, _)| layer);
                let mut record = Record::new(step, &entry.name, Kind::Weight, layer, &weight);
                record.gradient_ratio = ratio(Record::deviation(&gradient), record.std);
                records.push(record);
            }
        });
        Snapshot { step, rows: self.rows, loss: tape.var(self.loss).item().into(), records, maps }
    }
}

impl Snapshot {
    /// The records of the layers' outputs.
    pub fn outputs(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.kind == Kind::Activation)
    }
}

/// `a / b` where that is a number.
pub(crate) fn ratio(a: f64, b: f64) -> Option<f64> {
    Some(a / b).filter(|ratio| ratio.is_finite())
}

/// Where this activation function is so flat that hardly any gradient passes.
fn flat_part(op: &str) -> Option<fn(f32) -> bool> {
    match op {
        "Tanh" => Some(|y| y.abs() > SATURATED),
        "Relu" => Some(|y| y <= 0.0),
        "Gelu" => Some(|x| x < GELU_FLAT),
        _ => None,
    }
}

/// For each column, the share of its rows where `f` holds.
fn share_by_unit(numbers: &[f32], rows: usize, f: fn(f32) -> bool) -> Vec<f32> {
    let units = numbers.len() / rows;
    let mut counts = vec![0u32; units];
    for row in numbers.chunks_exact(units) {
        counts.iter_mut().zip(row).for_each(|(count, &x)| *count += u32::from(f(x)));
    }
    counts.into_iter().map(|count| count as f32 / rows as f32).collect()
}
