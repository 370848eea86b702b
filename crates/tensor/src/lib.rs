//! Tensors, the tape, operations, kernels and random numbers.

pub mod rng;
