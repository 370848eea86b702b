//! Tensors from outside, in one program.

mod allocation;
mod check;
mod golden;
mod gradcheck;
mod printed;
mod recording;
