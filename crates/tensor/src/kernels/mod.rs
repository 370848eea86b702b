//! The inner loops, for `f32` with SIMD: the project's only unsafe code, except a benchmark's calls of other
//! crates.
//!
//! Each kernel is written once over the `Simd` trait and compiled for AVX-512, AVX2, NEON and portable code.
//! The best that the machine supports is chosen at run time; all give the same bits (except in NaN).
//! [`mod@reference`] has the same kernels as safe scalar loops: the tests compare with them, and `f64` uses
//! them.
#![allow(unsafe_code)]

mod activation;
mod attention;
mod cells;
mod channels;
mod gemm;
mod halves;
mod map;
mod math;
mod norm;
mod optim;
mod partners;
mod peak;
mod pool;
pub mod reference;
mod rotary;
mod rows;
mod scratch;
mod simd;
mod softmax;
mod table;
mod team;
mod transpose;

use std::sync::OnceLock;

pub use attention::{Attention, Cache, CausalRows, Tree, attend, attend_backward, attend_cached};
pub use cells::{Cell, CellBackward, CellForward, cell_backward, cell_forward};
pub use channels::{channel_affine, channel_backward, channel_moments, channel_sums};
pub use gemm::{gemm, gemm_batched, gemm_over_rows, gemm_packed, pack};
pub use halves::MANY_ROWS;
pub use map::{activate, activate_backward, exp};
pub use norm::{Norm, norm_rows, norm_rows_backward, norm_rows_weight};
pub use optim::{adamw_step, momentum_step};
pub use partners::{Communicator, Endpoint};
pub use peak::peak_gflops;
pub use pool::{MAX_THREADS, Pool};
pub(crate) use pool::{enter, parallel_rows};
pub use rotary::{Rotary, rotate};
pub use rows::{add_rows, add_scaled, scale_rows, sum_rows};
pub use softmax::{log_softmax_rows, softmax_rows};
pub use table::{gather_rows, scatter_rows};
pub use transpose::transpose;

/// A matrix product A B, (m, k) times (k, n), and how C is updated with it.
pub struct Gemm<'a, E> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// A, with any strides.
    pub a: &'a [E],
    /// The row and column strides of A.
    pub a_strides: [usize; 2],
    /// B, with contiguous rows or contiguous columns.
    pub b: &'a [E],
    /// The row and column strides of B: one of them is 1.
    pub b_strides: [usize; 2],
    /// C, with contiguous rows.
    pub c: &'a mut [E],
    /// The row stride of C.
    pub c_stride: usize,
    /// How C is updated with the product.
    pub epilogue: Epilogue<'a, E>,
}

/// How C is updated with a product; the name is that of cuBLASLt and CUTLASS.
#[derive(Clone, Copy)]
pub enum Epilogue<'a, E> {
    /// C = A B
    Set,
    /// C = bias + A B, with the bias added to every row as the first term of each sum.
    Bias(&'a [E]),
    /// C = C + A B
    Add,
    /// C = C + A B + bias, with the bias added to every row last.
    AddBias(&'a [E]),
    /// C = C + scale A B: a step of gradient descent.
    AddScaled(E),
}

impl<E> Gemm<'_, E> {
    /// Panics unless every element that the product reads or writes lies inside its slice.
    fn check(&self) {
        let &Self { m, n, k, a_strides: [ar, ac], b_strides: [br, bc], c_stride, .. } = self;
        assert!(c_stride >= n, "rows of {n} overlap");
        assert!(bc == 1 && br >= n || br == 1 && bc >= k, "rows or columns of B overlap");
        if m == 0 || n == 0 {
            return;
        }
        let end = |rows: usize, stride: usize, more: usize| rows.saturating_mul(stride).saturating_add(more);
        assert!(k == 0 || end(m - 1, ar, end(k - 1, ac, 1)) <= self.a.len(), "A is too short");
        assert!(k == 0 || end(k - 1, br, end(n - 1, bc, 1)) <= self.b.len(), "B is too short");
        assert!(end(m - 1, c_stride, n) <= self.c.len(), "C is too short");
        match self.epilogue {
            Epilogue::Bias(bias) | Epilogue::AddBias(bias) => {
                assert!(bias.len() >= n, "the bias is too short")
            }
            Epilogue::Set | Epilogue::Add | Epilogue::AddScaled(_) => {}
        }
    }
}

/// A function applied to every element between two layers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// The hyperbolic tangent.
    Tanh,
    /// max(x, 0).
    Relu,
    /// x Phi(x), with the exact error function.
    Gelu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// x Phi(x), with Phi approximated by tanh.
    GeluTanh,
    /// max(x, 0)^2.
    SquaredRelu,
}

impl Activation {
    /// All activations.
    pub const ALL: [Self; 6] =
        [Self::Tanh, Self::Relu, Self::Gelu, Self::Sigmoid, Self::GeluTanh, Self::SquaredRelu];

    /// Whether the slope is computed from x; that of the others is computed from f(x).
    pub fn slope_is_of_x(self) -> bool {
        matches!(self, Self::Gelu | Self::GeluTanh | Self::SquaredRelu)
    }
}

/// The instruction set that the kernels use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isa {
    /// 512-bit vectors (x86-64).
    Avx512,
    /// 256-bit vectors with fused multiply-add (x86-64).
    Avx2,
    /// 128-bit vectors (aarch64).
    Neon,
    /// Scalar code, compiled for the minimum instruction set of the target.
    Portable,
}

/// The environment variable that selects a lesser instruction set, and its possible values.
const VARIABLE: &str = "CHARLOOM_ISA";
const AVX2: &str = "avx2";
const PORTABLE: &str = "portable";

impl Isa {
    /// The best that this machine supports, or the lesser one that `CHARLOOM_ISA` (`avx2` or `portable`)
    /// selects.
    pub fn detect() -> Self {
        #[cfg(test)]
        if let Some(isa) = tests::asked_for() {
            return isa;
        }
        static FOUND: OnceLock<Isa> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let found = Self::best();
            match Self::asked().as_deref() {
                Some(PORTABLE) => Self::Portable,
                Some(AVX2) if found == Self::Avx512 => Self::Avx2,
                _ => found,
            }
        })
    }

    /// The value of `CHARLOOM_ISA`.
    fn asked() -> Option<String> {
        std::env::var_os(VARIABLE)
            .map(|word| word.to_string_lossy().into_owned())
            .filter(|word| !word.is_empty())
    }

    /// Checks that `CHARLOOM_ISA` has a known value; [`Isa::detect`] ignores others.
    ///
    /// # Errors
    /// A message with the value and the known ones.
    pub fn check_asked() -> Result<(), String> {
        match Self::asked() {
            Some(word) if ![PORTABLE, AVX2].contains(&word.as_str()) => {
                Err(format!("{VARIABLE} is {AVX2} or {PORTABLE}, or not set; it is {word:?}"))
            }
            _ => Ok(()),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn best() -> Self {
        match is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            true if is_x86_feature_detected!("avx512f") => Self::Avx512,
            true => Self::Avx2,
            false => Self::Portable,
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn best() -> Self {
        Self::Neon
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn best() -> Self {
        Self::Portable
    }

    /// All instruction sets that this machine supports, best first.
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "aarch64")]
        let all = [Self::Neon, Self::Portable];
        #[cfg(not(target_arch = "aarch64"))]
        let all = [Self::Avx512, Self::Avx2, Self::Portable];
        all.into_iter().skip_while(|&isa| isa != Self::best()).collect()
    }
}

/// Defines `fn $name($args)` that runs `$generic::<S>($args)` compiled for the instruction set `isa`.
///
/// The generic function is inlined into one function per instruction set, so that the `target_feature`
/// attribute applies to all of it. If it asks for more than target features in its `# Safety`, as those that get
/// a `Shared` do, only callers that see to that may call `$name`, although it is not an unsafe function.
macro_rules! dispatch {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $generic:ident) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(isa: $crate::kernels::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            fn avx512($($arg: $ty),*) {
                // SAFETY: this function's target feature is what `Avx512` needs; the caller sees to all else that
                // the generic function asks for.
                unsafe { $generic::<$crate::kernels::simd::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) {
                // SAFETY: as for `Avx512`.
                unsafe { $generic::<$crate::kernels::simd::Avx2>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            fn neon($($arg: $ty),*) {
                // SAFETY: this function's target feature is what `Neon` needs; the rest is as for `Avx512`.
                unsafe { $generic::<$crate::kernels::simd::Neon>($($arg),*) }
            }
            match isa {
                // SAFETY: `Isa::detect` and `Isa::available` name only what the machine was found to have,
                // and these functions, which only the kernels see, get theirs from nowhere else.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::Isa::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "aarch64")]
                $crate::kernels::Isa::Neon => unsafe { neon($($arg),*) },
                // SAFETY: plain code needs no target features; the rest is as for `Avx512`.
                _ => unsafe { $generic::<$crate::kernels::simd::Portable>($($arg),*) },
            }
        }
    };
}
use dispatch;

#[cfg(test)]
mod bits;
#[cfg(test)]
pub(crate) mod tests;
