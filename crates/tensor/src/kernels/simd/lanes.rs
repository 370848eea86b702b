//! Reductions of a row to one sum or one maximum.

use super::Simd;

/// The lanes of the widest vector.
pub(in super::super) const COUNT: usize = 16;

/// Sixteen running sums or maxima: element i of a row goes to lane i mod 16.
///
/// Whatever the vector length, each lane gets the same elements in the same order, and the lanes are combined
/// in the same way; so all instruction sets give the same bits.
#[derive(Clone, Copy)]
pub(in super::super) struct Lanes<S: Simd> {
    /// Only the first `PARTS` are used, since an array's length cannot depend on `S`.
    parts: [S::V; COUNT],
}

// SAFETY of every function below: the caller guarantees S's target features.
impl<S: Simd> Lanes<S> {
    /// The number of vectors that hold all lanes.
    pub const PARTS: usize = COUNT / S::LANES;

    #[inline(always)]
    pub unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        Self { parts: [unsafe { S::splat(x) }; COUNT] }
    }

    /// Adds vector `i` of the row; elements beyond the row's end must be 0.
    #[inline(always)]
    pub unsafe fn add(&mut self, i: usize, v: S::V) {
        let part = &mut self.parts[i % Self::PARTS];
        // SAFETY: see above.
        *part = unsafe { S::add(*part, v) };
    }

    /// Adds the products of `a` and `b`, vector `i` of the row; elements beyond the row's end must be 0.
    #[inline(always)]
    pub unsafe fn add_products(&mut self, i: usize, a: S::V, b: S::V) {
        let part = &mut self.parts[i % Self::PARTS];
        // SAFETY: see above.
        *part = unsafe { S::fma(a, b, *part) };
    }

    /// Updates the maxima with vector `i` of the row, ignoring NaN. Elements beyond the row's end must be
    /// minus infinity.
    #[inline(always)]
    pub unsafe fn max(&mut self, i: usize, v: S::V) {
        let part = &mut self.parts[i % Self::PARTS];
        // SAFETY: see above.
        *part = unsafe { S::max(v, *part) };
    }

    /// The sum of all lanes, in halves: lane i plus lane i + 8, then i + 4, i + 2, i + 1.
    #[inline(always)]
    pub unsafe fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe { self.fold(|a, b| a + b) }
    }

    /// The maximum of all lanes.
    #[inline(always)]
    pub unsafe fn largest(self) -> f32 {
        // SAFETY: see above.
        unsafe { self.fold(|a, b| if a > b { a } else { b }) }
    }

    #[inline(always)]
    unsafe fn fold(self, f: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = [0.0; COUNT];
        for (i, &part) in self.parts.iter().enumerate().take(Self::PARTS) {
            // SAFETY: see above; the parts together have as many lanes as the array.
            unsafe { S::store(lanes.as_mut_ptr().add(i * S::LANES), part) };
        }
        let mut half = COUNT / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] = f(lanes[i], lanes[i + half]);
            }
            half /= 2;
        }
        lanes[0]
    }
}

/// Runs `$whole` for each whole vector of a row of `$width` elements, with the vector's index, and `$tail`
/// for the rest, also with its number of elements. Whole vectors come in groups that fill [`Lanes`], so that
/// the compiler knows which part each is added to.
macro_rules! each_vector {
    ($width:expr, |$i:ident| $whole:expr, |$j:ident, $n:ident| $tail:expr) => {
        let vectors = $width / S::LANES;
        let mut first = 0;
        while first + $crate::kernels::simd::Lanes::<S>::PARTS <= vectors {
            for part in 0..$crate::kernels::simd::Lanes::<S>::PARTS {
                let $i = first + part;
                $whole;
            }
            first += $crate::kernels::simd::Lanes::<S>::PARTS;
        }
        for part in 0..$crate::kernels::simd::Lanes::<S>::PARTS {
            let $j = first + part;
            let $n = ($width.saturating_sub($j * S::LANES)).min(S::LANES);
            if $n > 0 {
                $tail;
            }
        }
    };
}
pub(in super::super) use each_vector;
