//! Tensors with reverse-mode automatic differentiation, SIMD kernels, and torch's random numbers.
//!
//! A [`Tape`] records operations on [`Var`]s, `Copy` handles of its nodes, and computes them as they are
//! recorded. Parameters live outside the tape, in [`Params`]:
//!
//! ```
//! use charloom_tensor::{Params, Tape};
//!
//! let mut params = Params::<f64>::new();
//! let w = params.add("w", &[2], &[1.0, -2.0]);
//! let tape = Tape::with(&params);
//! let x = tape.input(&[2], &[3.0, 0.5]);
//! let y = (tape.param(w) * x).tanh().sum_all();
//! y.backward();
//! let slope = |v: f64| 1.0 - v.tanh().powi(2);
//! assert!((tape.param(w).grad()[0] - 3.0 * slope(3.0)).abs() < 1e-12);
//! assert!((tape.param(w).grad()[1] - 0.5 * slope(-1.0)).abs() < 1e-12);
//! ```
//!
//! A training step is recorded once, as a [`Recording`], and run many times without allocating.
#![deny(unsafe_code)]

// The gradient checks of `tests/` are used by the tests beside each operation too.
#[cfg(test)]
extern crate self as charloom_tensor;
#[cfg(test)]
#[path = "../tests/it/check.rs"]
mod check;

mod backward;
mod element;
mod fuse;
mod op;
mod params;
mod pass;
mod print;
mod recording;
mod shape;
mod slab;
mod tape;
mod var;

pub mod kernels;
pub mod ops;
pub mod rng;

pub use element::Element;
pub use op::{Env, Grad, InputGrads, Inputs, Op, RowRule, can_be_cut};
pub use params::{Entry, Grads, Kind, ParamId, Params};
pub use pass::{Pass, Rows};
pub use print::{print_floats, print_whole};
pub use recording::{Axis, Indices, NodeId, Recording};
pub use shape::{Layout, MAX_DIMS, Shape};
pub use tape::Tape;
pub use var::Var;
