//! Layers, initializations, optimizers and learning-rate schedules, on the tensors of [`charloom_tensor`].
//!
//! A layer is a record of what it has on a tape; `forward` records its operations there. A net of one hidden layer,
//! trained until it knows that after `a` comes `b` and after `b` comes `a`:
//!
//! ```
//! use charloom_nn::{Init, Initializer, Linear, Sequential, Sgd, Tanh};
//! use charloom_tensor::{Tape, rng::TorchGenerator};
//!
//! let tape = Tape::<f32>::new();
//! let mut generator = TorchGenerator::new(42);
//! let mut init = Initializer::new(Init::Torch, &mut generator);
//! let net = Sequential::new(vec![
//!     Linear::new(&tape, "layers.0", 2, 8, true, &mut init).into(),
//!     Tanh.into(),
//!     Linear::new(&tape, "layers.2", 8, 2, true, &mut init).into(),
//! ]);
//! let (x, targets) = (tape.input(&[2, 2], &[1.0, 0.0, 0.0, 1.0]), tape.indices(&[2], &[1, 0]));
//!
//! let mark = tape.mark();
//! let loss = net.forward(x).cross_entropy(targets);
//! let graph = tape.graph_since(mark);
//! let first = loss.item();
//! let mut sgd = Sgd::new(&tape, 0.9, 0.0);
//! for _ in 0..50 {
//!     loss.backward();
//!     sgd.step(&tape, 0.1);
//!     tape.replay(graph);
//! }
//! assert!(loss.item() < first / 10.0);
//! ```
#![forbid(unsafe_code)]

mod activation;
mod dropout;
mod embedding;
mod flatten;
mod init;
mod linear;
mod norm;
mod optim;
mod partners;
mod schedule;
mod sequential;

pub use activation::{Gelu, Relu, Tanh};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use flatten::{Flatten, FlattenConsecutive};
pub use init::{Init, Initializer};
pub use linear::Linear;
pub use norm::{BatchNorm1d, LayerNorm};
pub use optim::{AdamW, MissingState, Optimizer, Sgd, StateTensor, clip_grad_norm};
pub use partners::{AllReduce, ReduceScatter};
pub use schedule::{LearningRate, Schedule};
pub use sequential::{Layer, Sequential};

/// The path of a state's tensor: `layers.0` and `weight` make `layers.0.weight`.
fn path(module: &str, tensor: &str) -> String {
    if module.is_empty() { tensor.to_string() } else { format!("{module}.{tensor}") }
}
