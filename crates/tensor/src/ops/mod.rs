//! The operations, one file each: formula, forward, backward, test.
//!
//! They are methods of [`Var`](crate::Var); operators stand for the arithmetic ones.

pub(crate) mod activation;
mod batch_norm;
mod binary;
mod contiguous;
mod cross_entropy;
mod dropout;
pub(crate) mod embedding;
mod layer_norm;
pub(crate) mod linear;
pub(crate) mod one_hot;
mod sum;
pub(crate) mod table_linear;
mod view;

pub use batch_norm::RunningStats;
pub use cross_entropy::Targets;
