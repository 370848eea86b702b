//! The operations, one file each: formula, forward, backward, test.
//!
//! They are methods of [`Var`](crate::Var); operators stand for the arithmetic ones.

mod activation;
mod batch_norm;
mod binary;
mod contiguous;
mod cross_entropy;
mod dropout;
mod embedding;
mod layer_norm;
mod linear;
mod one_hot;
mod sum;
mod view;

pub use batch_norm::RunningStats;
pub use cross_entropy::Targets;
