//! The backward pass written out by hand, beside the tape's: notebook 004 as a lesson.
//!
//! Read in this order: [`Net`] is the forward pass, line by line; [`by_hand()`] goes back through the same
//! lines; [`shortcuts`] has some of its blocks in one formula each; [`compare()`] compares the results with
//! the tape's. The derivations are in `docs/backprop/`.

mod by_hand;
mod compare;
mod matrix;
mod net;
mod report;
pub mod shortcuts;
mod terms;
mod train;

pub use by_hand::by_hand;
pub use compare::{Row, Tolerance, compare};
pub use matrix::Matrix;
pub use net::{EPS, Net, Parameters, Sizes};
pub use report::{Options, Report, report};
pub use terms::Terms;
pub use train::{Training, train};

#[cfg(test)]
mod tests;
