//! The formulas of each cell, for one vector of units.

use crate::kernels::math;
use crate::kernels::simd::Simd;

/// Pointers to one vector of units in a row; those of the next gate, or of c after h, are `hidden` further
/// on.
#[derive(Clone, Copy)]
pub(super) struct Forward {
    pub hidden: usize,
    pub x: *const f32,
    pub gates: *mut f32,
    pub before: *const f32,
    pub after: *mut f32,
    pub kept: *mut f32,
    /// The number of units, at most a vector's lanes.
    pub n: usize,
}

/// As [`Forward`], for the backward pass.
#[derive(Clone, Copy)]
pub(super) struct Backward {
    pub hidden: usize,
    pub gates: *mut f32,
    pub before: *const f32,
    pub after: *const f32,
    pub kept: *const f32,
    pub d_after: *const f32,
    pub d_x: *mut f32,
    pub add: bool,
    pub d_before: *mut f32,
    pub n: usize,
}

/// A cell's formulas for one vector of units; `WHOLE` if the vector is full.
///
/// # Safety
/// S's target features hold. At each place lie `n` units, at most a vector's, of which there are all if
/// `WHOLE`; at those of gates the cell's other gates follow, and at those of an lstm's states the second one,
/// each `hidden` further.
pub(super) trait Formulas {
    unsafe fn forward<S: Simd, const WHOLE: bool>(at: Forward);
    unsafe fn backward<S: Simd, const WHOLE: bool>(at: Backward);
}

pub(super) struct Rnn;
pub(super) struct Gru;
pub(super) struct Lstm;

// SAFETY of every function from here on: the promise of `Formulas`.
#[inline(always)]
unsafe fn get<S: Simd, const WHOLE: bool>(from: *const f32, n: usize) -> S::V {
    // SAFETY: see above.
    unsafe { if WHOLE { S::load(from) } else { S::load_head(from, n) } }
}

#[inline(always)]
unsafe fn put<S: Simd, const WHOLE: bool>(to: *mut f32, n: usize, v: S::V) {
    // SAFETY: see above.
    unsafe { if WHOLE { S::store(to, v) } else { S::store_head(to, n, v) } }
}

/// Writes the gradients of a gate: of the state's part and of the input's part.
#[inline(always)]
unsafe fn put_gate<S: Simd, const WHOLE: bool>(at: &Backward, gate: usize, [of_state, of_x]: [S::V; 2]) {
    // SAFETY: see above.
    unsafe {
        put::<S, WHOLE>(at.gates.add(gate * at.hidden), at.n, of_state);
        let to = at.d_x.add(gate * at.hidden);
        put::<S, WHOLE>(to, at.n, if at.add { S::add(of_x, get::<S, WHOLE>(to, at.n)) } else { of_x });
    }
}

/// y (1 - y) d
#[inline(always)]
unsafe fn back_sigmoid<S: Simd>(y: S::V, d: S::V) -> S::V {
    // SAFETY: see above.
    unsafe { S::mul(d, S::mul(y, S::sub(S::splat(1.0), y))) }
}

/// (1 - y^2) d
#[inline(always)]
unsafe fn back_tanh<S: Simd>(y: S::V, d: S::V) -> S::V {
    // SAFETY: see above.
    unsafe { S::mul(d, S::sub(S::splat(1.0), S::mul(y, y))) }
}

impl Formulas for Rnn {
    #[inline(always)]
    unsafe fn forward<S: Simd, const WHOLE: bool>(at: Forward) {
        // SAFETY: see above.
        unsafe {
            let sum = S::add(get::<S, WHOLE>(at.x, at.n), get::<S, WHOLE>(at.gates, at.n));
            put::<S, WHOLE>(at.after, at.n, math::tanh::<S>(sum));
        }
    }

    #[inline(always)]
    unsafe fn backward<S: Simd, const WHOLE: bool>(at: Backward) {
        // SAFETY: see above.
        unsafe {
            let d = back_tanh::<S>(get::<S, WHOLE>(at.after, at.n), get::<S, WHOLE>(at.d_after, at.n));
            put_gate::<S, WHOLE>(&at, 0, [d, d]);
            put::<S, WHOLE>(at.d_before, at.n, S::splat(0.0));
        }
    }
}

impl Formulas for Gru {
    #[inline(always)]
    unsafe fn forward<S: Simd, const WHOLE: bool>(at: Forward) {
        // SAFETY: see above.
        unsafe {
            let x = |gate: usize| at.x.wrapping_add(gate * at.hidden);
            let gate = |gate: usize| at.gates.wrapping_add(gate * at.hidden);
            let r = S::add(get::<S, WHOLE>(x(0), at.n), get::<S, WHOLE>(gate(0), at.n));
            let r = math::sigmoid::<S>(r);
            let z = S::add(get::<S, WHOLE>(x(1), at.n), get::<S, WHOLE>(gate(1), at.n));
            let z = math::sigmoid::<S>(z);
            let u = get::<S, WHOLE>(gate(2), at.n);
            let n = math::tanh::<S>(S::fma(r, u, get::<S, WHOLE>(x(2), at.n)));
            let h = S::fma(z, S::sub(get::<S, WHOLE>(at.before, at.n), n), n);
            put::<S, WHOLE>(gate(0), at.n, r);
            put::<S, WHOLE>(gate(1), at.n, z);
            put::<S, WHOLE>(gate(2), at.n, n);
            put::<S, WHOLE>(at.kept, at.n, u);
            put::<S, WHOLE>(at.after, at.n, h);
        }
    }

    #[inline(always)]
    unsafe fn backward<S: Simd, const WHOLE: bool>(at: Backward) {
        // SAFETY: see above.
        unsafe {
            let gate = |gate: usize| at.gates.wrapping_add(gate * at.hidden) as *const f32;
            let r = get::<S, WHOLE>(gate(0), at.n);
            let z = get::<S, WHOLE>(gate(1), at.n);
            let n = get::<S, WHOLE>(gate(2), at.n);
            let d = get::<S, WHOLE>(at.d_after, at.n);
            let dz = S::mul(d, S::sub(get::<S, WHOLE>(at.before, at.n), n));
            let dn = back_tanh::<S>(n, S::mul(d, S::sub(S::splat(1.0), z)));
            let dr = S::mul(dn, get::<S, WHOLE>(at.kept, at.n));
            let [dr, dz] = [back_sigmoid::<S>(r, dr), back_sigmoid::<S>(z, dz)];
            put_gate::<S, WHOLE>(&at, 0, [dr, dr]);
            put_gate::<S, WHOLE>(&at, 1, [dz, dz]);
            put_gate::<S, WHOLE>(&at, 2, [S::mul(dn, r), dn]);
            put::<S, WHOLE>(at.d_before, at.n, S::mul(d, z));
        }
    }
}

impl Formulas for Lstm {
    #[inline(always)]
    unsafe fn forward<S: Simd, const WHOLE: bool>(at: Forward) {
        // SAFETY: see above.
        unsafe {
            let gate = |gate: usize| at.gates.wrapping_add(gate * at.hidden);
            let x = |gate: usize| at.x.wrapping_add(gate * at.hidden);
            let i = S::add(get::<S, WHOLE>(x(0), at.n), get::<S, WHOLE>(gate(0), at.n));
            let i = math::sigmoid::<S>(i);
            let f = S::add(get::<S, WHOLE>(x(1), at.n), get::<S, WHOLE>(gate(1), at.n));
            let f = math::sigmoid::<S>(f);
            let g = S::add(get::<S, WHOLE>(x(2), at.n), get::<S, WHOLE>(gate(2), at.n));
            let g = math::tanh::<S>(g);
            let o = S::add(get::<S, WHOLE>(x(3), at.n), get::<S, WHOLE>(gate(3), at.n));
            let o = math::sigmoid::<S>(o);
            let c = S::fma(f, get::<S, WHOLE>(at.before.add(at.hidden), at.n), S::mul(i, g));
            let t = math::tanh::<S>(c);
            put::<S, WHOLE>(gate(0), at.n, i);
            put::<S, WHOLE>(gate(1), at.n, f);
            put::<S, WHOLE>(gate(2), at.n, g);
            put::<S, WHOLE>(gate(3), at.n, o);
            put::<S, WHOLE>(at.kept, at.n, t);
            put::<S, WHOLE>(at.after, at.n, S::mul(o, t));
            put::<S, WHOLE>(at.after.add(at.hidden), at.n, c);
        }
    }

    #[inline(always)]
    unsafe fn backward<S: Simd, const WHOLE: bool>(at: Backward) {
        // SAFETY: see above.
        unsafe {
            let gate = |gate: usize| at.gates.wrapping_add(gate * at.hidden) as *const f32;
            let i = get::<S, WHOLE>(gate(0), at.n);
            let f = get::<S, WHOLE>(gate(1), at.n);
            let g = get::<S, WHOLE>(gate(2), at.n);
            let o = get::<S, WHOLE>(gate(3), at.n);
            let t = get::<S, WHOLE>(at.kept, at.n);
            let d = get::<S, WHOLE>(at.d_after, at.n);
            let dc = get::<S, WHOLE>(at.d_after.add(at.hidden), at.n);
            let dc = S::add(dc, back_tanh::<S>(t, S::mul(d, o)));
            let di = back_sigmoid::<S>(i, S::mul(dc, g));
            let df = back_sigmoid::<S>(f, S::mul(dc, get::<S, WHOLE>(at.before.add(at.hidden), at.n)));
            let dg = back_tanh::<S>(g, S::mul(dc, i));
            let d_o = back_sigmoid::<S>(o, S::mul(d, t));
            put_gate::<S, WHOLE>(&at, 0, [di, di]);
            put_gate::<S, WHOLE>(&at, 1, [df, df]);
            put_gate::<S, WHOLE>(&at, 2, [dg, dg]);
            put_gate::<S, WHOLE>(&at, 3, [d_o, d_o]);
            put::<S, WHOLE>(at.d_before, at.n, S::splat(0.0));
            put::<S, WHOLE>(at.d_before.add(at.hidden), at.n, S::mul(dc, f));
        }
    }
}
