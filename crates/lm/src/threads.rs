//! How many threads compute.

use std::sync::OnceLock;

pub use charloom_tensor::kernels::{MAX_THREADS, Pool};

/// More than these seldom help a model of this size.
const USEFUL: usize = 8;

/// As many threads as the machine has cores for us, up to 8; looked up once.
#[must_use]
pub fn available() -> usize {
    static AVAILABLE: OnceLock<usize> = OnceLock::new();
    *AVAILABLE.get_or_init(|| std::thread::available_parallelism().map_or(1, |n| n.get().min(USEFUL)))
}
