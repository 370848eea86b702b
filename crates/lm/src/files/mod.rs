//! What is kept of a training: a [`RunFolder`], with a [`Checkpoint`] for the weights and lines of [`Metric`].

mod checkpoint;
mod folder;
mod lines;
mod metrics;
pub(crate) mod record;
mod tensors;

pub use checkpoint::Checkpoint;
pub use folder::{CONFIG, REPORT, RunFolder, last_file, model_file};
pub use metrics::{Metric, Timing};
pub use tensors::{Made, NamedTensor, TensorData};
