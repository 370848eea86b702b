//! Reverse-mode automatic differentiation on single numbers.
//!
//! A [`Graph`] holds the numbers of a computation in the order in which they were made; a [`Value`] is a handle to
//! one of them, with the operators of an `f64`. [`Value::backward`] walks the graph from the end and leaves in
//! every number the derivative with respect to it. [`Neuron`], [`Layer`] and [`Mlp`] are built of nothing else.
//!
//! [`Expression`] makes a graph of a line of text, and [`picture`] draws any graph.
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
