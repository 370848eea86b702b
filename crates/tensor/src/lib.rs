//! Tensors with reverse-mode automatic differentiation, SIMD kernels, and torch's random numbers.
//!
//! A [`Tape`] owns all memory; a [`Var`] is a Copy handle into it. Operations compute as they are recorded,
//! and the recorded stretch can be replayed without allocating:
//!
//! ```
//! use charloom_tensor::Tape;
//!
//! let tape = Tape::<f64>::new();
//! let w = tape.parameter("w", &[2], &[1.0, -2.0]);
//! let x = tape.input(&[2], &[3.0, 0.5]);
//! let y = (tape.var(w) * x).tanh().sum_all();
//! y.backward();
//! let slope = |v: f64| 1.0 - v.tanh().powi(2);
//! assert!((tape.var(w).grad()[0] - 3.0 * slope(3.0)).abs() < 1e-12);
//! assert!((tape.var(w).grad()[1] - 0.5 * slope(-1.0)).abs() < 1e-12);
//! ```
#![deny(unsafe_code)]

// What the tests in `tests/` use to check gradients, the tests beside each operation use too.
#[cfg(test)]
extern crate self as charloom_tensor;
#[cfg(test)]
#[path = "../tests/check/mod.rs"]
mod check;

mod element;
mod fuse;
mod op;
mod plan;
mod shape;
mod slab;
mod state;
mod tape;
mod var;

pub mod kernels;
pub mod ops;
pub mod rng;

pub use element::Element;
pub use op::{Batch, Env, Grad, Grads, Inputs, Op, can_be_cut};
pub use shape::{Layout, MAX_DIMS, Shape};
pub use state::{Entry, Kind};
pub use tape::{Graph, Id, Indices, Mark, Tape};
pub use var::Var;
