//! Reverse-mode automatic differentiation on single numbers.
//!
//! A [`Graph`] holds the numbers of a computation in the order in which they were made; a [`Value`] is a handle to
//! one of them, with the operators of an `f64`. [`Value::backward`] walks the graph from the end and leaves in
//! every number the derivative with respect to it. [`Neuron`], [`Layer`] and [`Mlp`] are built of nothing else.
//!
//! [`Expression`] makes a graph of a line of text, and [`picture`] draws any graph.
//!
//! A net that learns the exclusive or:
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
//!     // What the last step computed is forgotten, the parameters stay.
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
//! The programs `01_neuron`, `02_mlp` and `03_two_moons` in `examples/` go on from here.
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
