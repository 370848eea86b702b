//! Statistics of a layer's numbers.

use serde::{Deserialize, Deserializer, Serialize};

/// Bins of a histogram.
const BINS: usize = 40;

/// Which numbers of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// Its outputs on a batch.
    Activation,
    /// The loss's gradient with respect to these outputs.
    Gradient,
    /// A weight matrix.
    Weight,
}

/// Statistics of a layer's numbers; a line of `diagnostics.jsonl`.
///
/// Only weights have `gradient_ratio` and `update_ratio`, only activation functions `saturated` and `dead`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Updates made before this was recorded.
    pub step: u64,
    /// The layer's path, `layers.1`, or the weight's, `layers.0.weight`.
    pub layer: String,
    /// Which of its numbers.
    pub kind: RecordKind,
    /// The layer's operation, such as `Tanh`; for a weight its layer's path.
    pub op: String,
    /// The mean.
    #[serde(deserialize_with = "nan_if_null")]
    pub mean: f64,
    /// The standard deviation, torch's: over n - 1.
    #[serde(deserialize_with = "nan_if_null")]
    pub std: f64,
    /// Of tanh: the share of outputs beyond 0.97 on either side.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub saturated: Option<f64>,
    /// Units that stay in the function's flat part for every example of the batch: |tanh| > 0.97, relu's
    /// zero, gelu below -3.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dead: Option<usize>,
    /// How many units there are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub units: Option<usize>,
    /// std(gradient) / std(weight)
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gradient_ratio: Option<f64>,
    /// log10(std(update) / std(weight)); with plain gradient descent the update is lr times the gradient.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub update_ratio: Option<f64>,
    /// Their histogram.
    pub histogram: Histogram,
}

/// How many numbers lie in each of equally wide bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The smallest number.
    #[serde(deserialize_with = "nan_if_null")]
    pub min: f64,
    /// The largest.
    #[serde(deserialize_with = "nan_if_null")]
    pub max: f64,
    /// How many lie in each bin from `min` to `max`.
    pub counts: Vec<u64>,
}

/// JSON has no NaN; it is written as null.
fn nan_if_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

impl Record {
    /// The statistics of these numbers, without the fields that only some kinds have.
    pub(crate) fn new(step: u64, layer: &str, kind: RecordKind, op: &str, numbers: &[f32]) -> Self {
        let (mean, std, min, max) = moments(numbers);
        Self {
            step,
            layer: layer.to_owned(),
            kind,
            op: op.to_owned(),
            mean,
            std,
            saturated: None,
            dead: None,
            units: None,
            gradient_ratio: None,
            update_ratio: None,
            histogram: Histogram::new(numbers, min, max),
        }
    }

    /// The standard deviation of these numbers.
    pub(crate) fn deviation(numbers: &[f32]) -> f64 {
        moments(numbers).1
    }
}

impl Histogram {
    fn new(numbers: &[f32], min: f64, max: f64) -> Self {
        let mut counts = vec![0; BINS];
        let scale = (BINS as f64 / (max - min)) as f32;
        for &x in numbers {
            // NaN and infinities have no bin; if all numbers are equal, they are in the first.
            if x.is_finite() {
                let bin = (x - min as f32) * scale;
                counts[if bin.is_finite() { (bin as usize).min(BINS - 1) } else { 0 }] += 1;
            }
        }
        Self { min, max, counts }
    }
}

/// Mean, standard deviation, smallest and largest.
fn moments(numbers: &[f32]) -> (f64, f64, f64, f64) {
    // Eight partial sums, which the processor adds at once.
    let (mut sums, mut squares) = ([0.0f64; 8], [0.0f64; 8]);
    let (mut min, mut max) = ([f32::INFINITY; 8], [f32::NEG_INFINITY; 8]);
    // Differences from the first number, so that equal numbers have a deviation of exactly 0.
    let base = numbers.first().copied().unwrap_or(0.0);
    let mut take = |lane: usize, x: f32| {
        let d = f64::from(x - base);
        sums[lane] += d;
        squares[lane] += d * d;
        min[lane] = min[lane].min(x);
        max[lane] = max[lane].max(x);
    };
    let eights = numbers.chunks_exact(8);
    eights.remainder().iter().for_each(|&x| take(0, x));
    for eight in eights {
        eight.iter().enumerate().for_each(|(lane, &x)| take(lane, x));
    }
    let n = numbers.len() as f64;
    let mean = sums.iter().sum::<f64>() / n;
    let variance = (squares.iter().sum::<f64>() - n * mean * mean).max(0.0) / (n - 1.0);
    let least = min.into_iter().fold(f32::INFINITY, f32::min);
    let most = max.into_iter().fold(f32::NEG_INFINITY, f32::max);
    (f64::from(base) + mean, variance.sqrt(), f64::from(least), f64::from(most))
}
