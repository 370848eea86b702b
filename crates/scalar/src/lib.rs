//! Reverse-mode automatic differentiation on single numbers.
//!
//! A [`Graph`] holds the numbers of a computation in the order of creation; a [`Value`] is a handle to one of
//! them, with the operators of an `f64`. [`Value::backward`] goes through the graph from the end and computes
//! the derivative with respect to every number. [`Neuron`], [`Layer`] and [`Mlp`] are built from values
//! alone.
//!
//! [`Expression`] parses a line of text into a graph, and [`picture`] draws any graph.
//!
//! A net that learns XOR:
//!
//! ```
//! use charloom_scalar::{Graph, Mlp, Random, Style};
//!
//! let data = [([0.0, 0.0], -1.0), ([0.0, 1.0], 1.0), ([1.0, 0.0], 1.0), ([1.0, 1.0], -1.0)];
//! let graph = Graph::new();
//! let net = Mlp::new(&graph, &mut Random::seed(42), 2, &[8, 1], Style::NOTEBOOK);
//! let mark = graph.mark();
//! let mut losses = Vec::new();
//! for _ in 0..200 {
//!     // Drops the nodes of the last step, but not the parameters.
//!     graph.truncate(mark);
//!     let errors = data.iter().map(|(x, y)| net.forward(&graph.constants(x))[0] - *y);
//!     let loss = graph.sum(errors.map(|error| error.pow(2.0)));
//!     net.zero_grad();
//!     loss.backward();
//!     net.step(0.1);
//!     losses.push(loss.data());
//! }
//! println!("{:.4} at first, {:.4} in the end", losses[0], losses[199]);
//! assert!(losses[199] < losses[0] / 10.0);
//! ```
//!
//! The programs `01_neuron`, `02_mlp` and `03_two_moons` in `examples/` continue from here.
#![forbid(unsafe_code)]

mod expression;
mod graph;
mod moons;
mod nn;
mod ops;
pub mod picture;
mod random;
mod value;

pub use expression::{Expression, ExpressionError};
pub use graph::{Graph, Mark};
pub use moons::moons;
pub use nn::{Activation, Bias, Layer, Mlp, Neuron, Style};
pub use random::Random;
pub use value::{Operand, Value};
