//! Random numbers: torch's CPU generator, CPython's, a small one for sampled words, and dropout masks.
//!
//! A seed's numbers never change: [`TorchGenerator`] draws those of `torch.Generator().manual_seed(seed)`,
//! [`PythonRandom`] those of `random.seed(seed)`, and [`StreamRng`] its own, fixed by tests. Expected values
//! are in `fixtures/rng.json` and `fixtures/notebooks/multinomial.json`.

mod mask;
mod mt19937;
mod multinomial;
mod normal;
mod python;
mod state;
mod stream;
mod torch;

#[cfg(test)]
mod tests;

pub use mask::DropoutMask;
pub use python::PythonRandom;
pub use state::{GeneratorState, InvalidState};
pub use stream::StreamRng;
pub(crate) use stream::mix;
pub use torch::TorchGenerator;

/// A double in `[0, 1)` from bits: the low 53 bits over 2^53, as in torch.
fn unit_f64(bits: u64) -> f64 {
    (bits & ((1 << 53) - 1)) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// A float in `[0, 1)` from bits: the low 24 bits over 2^24, as in torch.
fn unit_f32(bits: u32) -> f32 {
    (bits & ((1 << 24) - 1)) as f32 * (1.0 / (1u32 << 24) as f32)
}
