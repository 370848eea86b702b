//! The operations, one file per family: formula, forward, backward, test.
//!
//! They are methods of [`Var`](crate::Var); arithmetic ones are operators. The backward passes of the larger
//! ones are derived in `docs/ops`.

pub(crate) mod activation;
mod attention;
mod batch_norm;
mod binary;
mod cached_attention;
mod causal_input;
mod columns;
mod concat;
mod contiguous;
mod cross_entropy;
mod dropout;
pub(crate) mod embedding;
mod gather;
mod lanes;
mod layer_norm;
pub(crate) mod linear;
mod matmul;
pub(crate) mod one_hot;
mod partners;
mod prefix_mean;
mod recurrence;
mod reduce;
mod rms_norm;
mod rotary;
mod select;
mod softmax;
mod stack;
pub(crate) mod table_linear;
mod unary;
mod view;

pub use attention::Heads;
pub use batch_norm::RunningStats;
pub use cross_entropy::{SoftTargets, Targets};
pub use rotary::Rotary;
