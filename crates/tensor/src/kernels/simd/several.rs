//! Several vectors at a time.

use super::{Arithmetic, Simd};
use std::marker::PhantomData;

/// `N` vectors of S as one.
///
/// A function of one vector is a chain of dozens of operations, each of which waits for the one before;
/// several independent chains keep the processor busy meanwhile.
#[derive(Clone, Copy)]
pub(in super::super) struct Several<S, const N: usize>(PhantomData<S>);

// SAFETY of every function below: the caller guarantees S's target features, and the reads and writes of `N` vectors.
impl<S: Simd, const N: usize> Several<S, N> {
    /// Elements in `N` vectors.
    pub const LANES: usize = N * S::LANES;

    #[inline(always)]
    pub unsafe fn load(p: *const f32) -> [S::V; N] {
        // SAFETY: see above.
        unsafe {
            let mut vectors = [S::splat(0.0); N];
            for (i, v) in vectors.iter_mut().enumerate() {
                *v = S::load(p.add(i * S::LANES));
            }
            vectors
        }
    }

    #[inline(always)]
    pub unsafe fn store(p: *mut f32, vectors: [S::V; N]) {
        for (i, &v) in vectors.iter().enumerate() {
            // SAFETY: see above.
            unsafe { S::store(p.add(i * S::LANES), v) };
        }
    }
}

/// Defines functions that apply an operation to each of the vectors.
macro_rules! each {
    ($($name:ident($first:ident $(, $other:ident)*);)*) => {
        $(#[inline(always)]
        unsafe fn $name($first: Self::V $(, $other: Self::V)*) -> Self::V {
            let mut result = $first;
            for i in 0..N {
                // SAFETY: see above.
                result[i] = unsafe { S::$name($first[i] $(, $other[i])*) };
            }
            result
        })*
    };
}

impl<S: Arithmetic, const N: usize> Arithmetic for Several<S, N> {
    type V = [S::V; N];

    #[inline(always)]
    unsafe fn splat(x: f32) -> [S::V; N] {
        // SAFETY: see above.
        [unsafe { S::splat(x) }; N]
    }
    each! {
        add(a, b);
        sub(a, b);
        mul(a, b);
        div(a, b);
        max(a, b);
        min(a, b);
        round(a);
        scale(p, n);
        scale_normal(p, n);
        where_positive(a, x);
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let mut result = c;
        // SAFETY: see above.
        unsafe {
            for i in 0..N {
                result[i] = S::fma(a[i], b[i], c[i]);
            }
            if N == 4 {
                let four = S::in_step([result[0], result[1], result[2], result[3]]);
                result.copy_from_slice(&four);
            }
        }
        result
    }
    #[inline(always)]
    unsafe fn frexp(x: [S::V; N]) -> [[S::V; N]; 2] {
        let [mut m, mut e] = [x; 2];
        for i in 0..N {
            // SAFETY: see above.
            [m[i], e[i]] = unsafe { S::frexp(x[i]) };
        }
        [m, e]
    }
}
