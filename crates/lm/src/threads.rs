//! How many threads compute.

use std::sync::OnceLock;

pub use charloom_tensor::kernels::{MAX_THREADS, Pool};

/// More threads than this seldom help models of this size.
const USEFUL: usize = 8;

/// The number of cores that this process may use, at most 8; looked up once.
#[must_use]
pub fn available() -> usize {
    static AVAILABLE: OnceLock<usize> = OnceLock::new();
    *AVAILABLE.get_or_init(|| std::thread::available_parallelism().map_or(1, |n| n.get().min(USEFUL)))
}
