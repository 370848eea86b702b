use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

/// A model, its data and its training, in numbers and files.
///
/// The files hold little-endian 32-bit numbers without anything around them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// N examples' contexts, unsigned.
    ///
    /// # Shapes
    /// (N, T)
    pub contexts: PathBuf,
    /// Their targets, unsigned.
    ///
    /// # Shapes
    /// (N,)
    pub targets: PathBuf,
    /// N, the number of examples.
    pub examples: usize,
    /// T.
    pub context: usize,
    /// V.
    pub vocab: usize,
    /// E; 0: one-hot input.
    pub embed: usize,
    /// H of each hidden layer; none for a single linear map.
    pub hidden: Vec<usize>,
    /// `tanh`, `relu` or `gelu`.
    pub activation: String,
    /// `none`, `batch` or `layer`.
    pub norm: String,
    /// The probability of dropping a hidden value.
    pub dropout: f64,
    /// Whether hidden linear layers have a bias.
    pub hidden_bias: bool,
    /// Whether the last linear layer has a bias.
    pub output_bias: bool,
    /// B; 0: all examples.
    pub batch: usize,
    /// `sgd` or `adamw`.
    pub optimizer: String,
    /// The learning rate.
    pub lr: f64,
    /// Decoupled weight decay of `adamw`.
    pub weight_decay: f64,
    /// The initial parameters and buffers, one after the other.
    pub weights: PathBuf,
    /// Their names (torch's: `embedding.weight`, `layers.0.weight`) and shapes, in that order.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// The examples of the first steps, unsigned; empty if the batch is all examples.
    ///
    /// # Shapes
    /// (checks, B)
    pub batches: PathBuf,
    /// The number of these steps.
    pub checks: u64,
    /// The whole configuration, for charloom itself.
    pub config: String,
}

/// A parameter or buffer before the first step.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// torch's name: `layers.0.weight`.
    pub name: String,
    /// The length along each dimension.
    pub shape: Vec<usize>,
    /// The numbers, row by row.
    pub data: Vec<f32>,
}

/// One of a model's modules after the embedding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A linear map, whether it has a bias, and its name.
    Linear {
        /// `layers.0`
        name: String,
        /// Whether it has a bias.
        bias: bool,
    },
    /// A batch norm, and its name.
    BatchNorm {
        /// `layers.1`
        name: String,
    },
    /// A layer norm, and its name.
    LayerNorm {
        /// `layers.1`
        name: String,
    },
    /// The activation.
    Activation,
    /// Dropout.
    Dropout,
}

impl Case {
    /// The modules after the embedding (or one-hot) and the flattening, in order.
    pub fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        let name = |layers: &[Layer]| format!("layers.{}", layers.len());
        for _ in &self.hidden {
            layers.push(Layer::Linear { name: name(&layers), bias: self.hidden_bias });
            match self.norm.as_str() {
                "batch" => layers.push(Layer::BatchNorm { name: name(&layers) }),
                "layer" => layers.push(Layer::LayerNorm { name: name(&layers) }),
                _ => {}
            }
            layers.push(Layer::Activation);
            if self.dropout > 0.0 {
                layers.push(Layer::Dropout);
            }
        }
        layers.push(Layer::Linear { name: name(&layers), bias: self.output_bias });
        layers
    }

    /// The initial parameters and buffers.
    ///
    /// # Errors
    /// A file that cannot be read, or is too short.
    pub fn read_weights(&self) -> io::Result<Vec<Weight>> {
        let all: Vec<f32> = read_u32(&self.weights)?.into_iter().map(f32::from_bits).collect();
        let mut rest = all.as_slice();
        let mut tensors = Vec::new();
        for (name, shape) in &self.tensors {
            let n = shape.iter().product();
            let (data, after) = rest.split_at_checked(n).ok_or(io::ErrorKind::UnexpectedEof)?;
            rest = after;
            tensors.push(Weight { name: name.clone(), shape: shape.clone(), data: data.to_vec() });
        }
        Ok(tensors)
    }
}

/// The numbers of a file.
///
/// # Errors
/// A file that cannot be read.
pub fn read_u32(path: &Path) -> io::Result<Vec<u32>> {
    let bytes = fs::read(path)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|&b| u32::from_le_bytes(b)).collect())
}

/// Writes numbers to a file.
///
/// # Errors
/// A file that cannot be written.
pub fn write_u32(path: &Path, numbers: impl IntoIterator<Item = u32>) -> io::Result<()> {
    let bytes: Vec<u8> = numbers.into_iter().flat_map(u32::to_le_bytes).collect();
    fs::write(path, bytes)
}
