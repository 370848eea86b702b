//! The peak of this machine, the roof over every measurement.

use std::hint::black_box;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};
use serde::Serialize;

/// The peaks of one core.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name, or its architecture if the system does not say.
    pub processor: String,
    /// How many cores this process may use.
    pub cores: usize,
    /// Fused multiplications and additions in registers, two operations each.
    ///
    /// # Units
    /// Floating-point operations a second.
    pub flops: f64,
    /// Copying memory that no cache holds, read and written bytes counted.
    ///
    /// # Units
    /// Bytes a second.
    pub bandwidth: f64,
}

/// Independent chains of fused multiply-adds; returns the number of operations.
struct Chains;

impl WithSimd for Chains {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        const REPEATS: usize = 200_000;
        const CHAINS: usize = 12;
        let factor = black_box(simd.splat_f32s(0.999));
        let mut sums = [simd.splat_f32s(1.0); CHAINS];
        for _ in 0..REPEATS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, factor);
            }
        }
        black_box(sums);
        (2 * REPEATS * CHAINS * S::F32_LANES) as f64
    }
}

impl Machine {
    /// Measures both peaks: the best of 20 tries each.
    pub fn measure() -> Self {
        let best = |mut work: Box<dyn FnMut() -> f64>| {
            let rate = |_| {
                let start = Instant::now();
                let done = work();
                done / start.elapsed().as_secs_f64()
            };
            (0..20).map(rate).fold(0.0, f64::max)
        };
        let arch = Arch::new();
        let from = vec![1.0f32; 1 << 25];
        let mut to = vec![0.0f32; 1 << 25];
        Self {
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            flops: best(Box::new(move || arch.dispatch(Chains))),
            bandwidth: best(Box::new(move || {
                to.copy_from_slice(black_box(&from));
                black_box(&mut to);
                (8 * from.len()) as f64
            })),
        }
    }
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or(std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}
