//! Statistics of the layers on a batch, without any effect on the training.

use charloom_tensor::{Grads, NodeId, Params, Pass, Recording, kernels};
use serde::Serialize;

use super::{Record, RecordKind};
use crate::data::Examples;
use crate::models::{Stack, Traced};

/// Where |tanh| is above this, its slope 1 - tanh^2 is below 6 %.
const SATURATED: f32 = 0.97;
/// Below this gelu is flat: its slope is under 0.012.
const GELU_FLAT: f32 = -3.0;

/// The forward and backward pass of one batch, layer by layer.
///
/// BatchNorm takes the batch's statistics, as in training, and its running ones stay as they are; dropout is
/// left out.
pub struct Probe {
    recording: Recording<f32>,
    pub(super) grads: Grads<f32>,
    /// (B, T E) or (B, T V)
    input: NodeId,
    layers: Vec<Traced>,
    loss: NodeId,
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
    /// Statistics of each layer's output, of the gradient there, and of the weights.
    pub records: Vec<Record>,
    /// For each activation layer, by unit, the share of examples in the flat part of its function.
    pub maps: Vec<(String, Vec<f32>)>,
    /// Values of the input, of each layer's output and of the prediction ([`Probe::values`]); empty if only
    /// measured.
    pub values: Vec<Values>,
}

/// Some values of a layer's output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Values {
    /// The layer's path, or `input` or `prediction`.
    pub layer: String,
    /// What it computes; OneHot or Embedding of an input, Softmax of the prediction.
    pub op: String,
    /// The mean of |x| over the batch.
    pub mean_abs: f64,
    /// The first five values of the batch's first example.
    pub first: Vec<f32>,
}

impl Values {
    /// The values of an output (B, H).
    fn new(layer: &str, op: &str, numbers: &[f32], rows: usize) -> Self {
        let mean_abs = numbers.iter().map(|x| f64::from(x.abs())).sum::<f64>() / numbers.len() as f64;
        let first = numbers[..numbers.len() / rows].iter().copied().take(5).collect();
        Self { layer: layer.to_owned(), op: op.to_owned(), mean_abs, first }
    }
}

impl Probe {
    /// Records these layers on at most `rows` examples, taken evenly from all.
    ///
    /// # Panics
    /// If the parameters are those of another network.
    #[must_use]
    pub fn new(params: &Params<f32>, stack: &Stack, examples: &Examples, rows: usize) -> Self {
        let rows = rows.min(examples.len());
        let chosen = || (0..rows).map(|i| i * examples.len() / rows);
        let contexts: Vec<u32> = chosen().flat_map(|i| examples.context(i)).collect();
        let targets: Vec<u32> = chosen().map(|i| examples.target(i)).collect();
        let (recording, (input, layers, loss)) = Recording::new(params, |tape| {
            let (input, layers) = stack.trace(tape, tape.indices(&[rows, stack.context], &contexts));
            let logits = tape.var(layers.last().expect("a network has layers").output);
            let loss = logits.cross_entropy(tape.indices(&[rows], &targets)).id();
            (input, layers, loss)
        });
        Self { recording, grads: Grads::zeros(params), input, layers, loss, rows }
    }

    /// Measures the layers with these parameters, the result of `step` updates.
    ///
    /// # Panics
    /// If they are the parameters of another network.
    pub fn measure(&mut self, params: &Params<f32>, step: u64) -> Snapshot {
        self.recording.forward(params, &Pass::training());
        self.recording.backward(params, &mut self.grads, self.loss, &Pass::training());
        let recording = &self.recording;
        let (mut records, mut maps) = (Vec::new(), Vec::new());
        for (i, layer) in self.layers.iter().enumerate() {
            let of = |kind, numbers: &[f32]| Record::new(step, &layer.name, kind, layer.op, numbers);
            let mut record = recording.with_data(layer.output, |y| of(RecordKind::Activation, y));
            if let Some(flat) = flat_part(layer.op) {
                let seen = if layer.op == "Gelu" { &self.layers[i.saturating_sub(1)] } else { layer };
                let map = recording.with_data(seen.output, |x| share_by_unit(x, self.rows, flat));
                if layer.op == "Tanh" {
                    record.saturated =
                        Some(map.iter().map(|&x| f64::from(x)).sum::<f64>() / map.len() as f64);
                }
                record.dead = Some(map.iter().filter(|&&share| share == 1.0).count());
                record.units = Some(map.len());
                maps.push((layer.name.clone(), map));
            }
            records.push(record);
            records.push(recording.with_grad(layer.output, |g| of(RecordKind::Gradient, g)));
        }
        for entry in params.trained().filter(|entry| entry.shape.rank() == 2) {
            let (weight, gradient) = (entry.read(params.values()), entry.read(self.grads.values()));
            let layer = entry.name.rsplit_once('.').map_or("", |(layer, _)| layer);
            let mut record = Record::new(step, &entry.name, RecordKind::Weight, layer, &weight);
            record.gradient_ratio = ratio(Record::deviation(&gradient), record.std);
            records.push(record);
        }
        Snapshot {
            step,
            rows: self.rows,
            loss: recording.item(self.loss).into(),
            records,
            maps,
            values: Vec::new(),
        }
    }

    /// The values in the last [`Probe::measure`].
    pub fn values(&self) -> Vec<Values> {
        let (recording, rows) = (&self.recording, self.rows);
        let of = |name: &str, op: &str, node| {
            recording.with_data(node, |numbers| Values::new(name, op, numbers, rows))
        };
        let has_embedding = self.layers.first().is_some_and(|layer| layer.op == "Embedding");
        let input = of("input", if has_embedding { "Embedding" } else { "OneHot" }, self.input);
        let layers = self.layers.iter().filter(|layer| layer.op != "Embedding");
        let layers = layers.map(|layer| of(&layer.name, layer.op, layer.output));
        let logits = self.layers.last().expect("a network has layers").output;
        let prediction = recording.with_data(logits, |logits| {
            let mut probs = vec![0.0; logits.len()];
            kernels::log_softmax_rows(logits, logits.len() / rows, &mut probs);
            probs.iter_mut().for_each(|p| *p = libm::expf(*p));
            Values::new("prediction", "Softmax", &probs, rows)
        });
        std::iter::once(input).chain(layers).chain([prediction]).collect()
    }
}

impl Snapshot {
    /// The records of the layers' outputs.
    pub fn outputs(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.kind == RecordKind::Activation)
    }
}

/// `a / b` if that is finite.
pub(crate) fn ratio(a: f64, b: f64) -> Option<f64> {
    Some(a / b).filter(|ratio| ratio.is_finite())
}

/// Tells where this activation function is so flat that hardly any gradient passes.
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
