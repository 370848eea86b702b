//! Layers, initializations, optimizers and learning-rate schedules, on the tensors of [`charloom_tensor`].
//!
//! A layer holds the handles of its tensors, made by a [`Scope`]; `forward` records its operations. A net of
//! one hidden layer, trained until it knows that `b` follows `a` and `a` follows `b`:
//!
//! ```
//! use charloom_nn::{Init, Initializer, Linear, Optimizer, Scope, Sequential, Sgd, Tanh};
//! use charloom_tensor::{Grads, Params, Pass, Recording, rng::TorchGenerator};
//!
//! let mut params = Params::<f32>::new();
//! let mut generator = TorchGenerator::new(42);
//! let mut scope = Scope::draw(&mut params, Initializer::new(Init::Torch, &mut generator));
//! let net = Sequential::new(vec![
//!     Linear::new(&mut scope.at("layers.0"), 2, 8, true).into(),
//!     Tanh.into(),
//!     Linear::new(&mut scope.at("layers.2"), 8, 2, true).into(),
//! ]);
//!
//! let (mut recording, loss) = Recording::new(&params, |tape| {
//!     let (x, targets) = (tape.input(&[2, 2], &[1.0, 0.0, 0.0, 1.0]), tape.indices(&[2], &[1, 0]));
//!     net.forward(x).cross_entropy(targets).id()
//! });
//! let mut grads = Grads::zeros(&params);
//! let mut sgd = Optimizer::sgd(&params, Sgd { momentum: 0.9, nesterov: false }, 0.0);
//! let mut losses = Vec::new();
//! for _ in 0..50 {
//!     recording.forward(&params, &Pass::training());
//!     recording.backward(&params, &mut grads, loss, &Pass::training());
//!     sgd.step(&mut params, &mut grads, 0.1);
//!     losses.push(recording.item(loss));
//! }
//! assert!(losses[49] < losses[0] / 10.0);
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
mod recurrent;
mod schedule;
mod scope;
mod sequential;

pub use activation::{Gelu, GeluTanh, Relu, SquaredRelu, Tanh};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use flatten::{Flatten, FlattenConsecutive};
pub use init::{Init, Initializer};
pub use linear::Linear;
pub use norm::{BatchNorm1d, LayerNorm, RmsNorm};
pub use optim::{
    AdamW, Group, MissingState, Muon, Optimizer, RmsProp, Sgd, StateTensor, clip_grad_norm, clip_grad_value,
};
pub use recurrent::Recurrent;
pub use schedule::{LearningRate, Schedule};
pub use scope::{Scope, TensorShapes};
pub use sequential::{Layer, Sequential};
