//! The matrix product, in blocks of C whose sums stay in registers.
//!
//! An element's sum always runs over k in the same order, with fused multiply-adds, whatever is packed and
//! wherever k is split: the bits do not depend on it.

mod block;
mod drive;
mod pack;
mod packing;
mod strips;

use super::halves::{in_halves, is_halved};
use super::pool::{ROW_GRAIN, is_serial, parallel_for};
use super::rows::add_scaled_isa;
use super::scratch::Scratch;
use super::team::Shared;
use super::{Epilogue, Gemm, Isa, dispatch};
use drive::{gemm_on, pack_on};
use packing::{Packing, packing};
use std::cell::RefCell;

pub(super) use block::load;

thread_local! {
    /// For packed operands.
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

dispatch! {
    fn gemm_isa(call: &mut Gemm<'_, f32>, packing: Packing<'_>, scratch: &mut Scratch) = gemm_on
}

dispatch! {
    fn pack_isa(b: &[f32], n: usize, to: &mut [f32]) = pack_on
}

/// Packs B, of `n` columns, for [`gemm_packed`]; does nothing if there are none.
///
/// # Panics
/// If `to` has fewer numbers than `n`, rounded up to a multiple of 16, for each row.
pub fn pack(b: &[f32], n: usize, to: &mut [f32]) {
    pack_isa(Isa::detect(), b, n, to);
}

/// As [`gemm`], with the same bits, but with B packed beforehand by [`pack`]: for several products with the
/// same B.
///
/// # Panics
/// As [`gemm`], or if `packed` is too short for B.
pub fn gemm_packed(call: Gemm<'_, f32>, packed: &[f32]) {
    gemm_parallel(call, Some(packed));
}

/// A product on this thread only.
pub(super) fn gemm_serial(call: &mut Gemm<'_, f32>, prepacked_b: Option<&[f32]>) {
    let isa = Isa::detect();
    let packing = packing(isa, call);
    let packing = if prepacked_b.is_some() { Packing { b: true, prepacked_b, ..packing } } else { packing };
    SCRATCH.with_borrow_mut(|scratch| gemm_isa(isa, call, packing, scratch));
}

/// A matrix product; see [`Gemm`].
///
/// # Panics
/// If a slice is shorter than its sizes and strides require.
pub fn gemm(call: Gemm<'_, f32>) {
    gemm_parallel(call, None);
}

fn gemm_parallel(mut call: Gemm<'_, f32>, prepacked_b: Option<&[f32]>) {
    let work = [call.m, call.n, call.k].into_iter().fold(2, usize::saturating_mul);
    // Undivided work takes a short cut: preparing the parts takes a tenth of a small product's time.
    if is_serial(work) {
        return gemm_serial(&mut call, prepacked_b);
    }
    call.check();
    let Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue } = call;
    if m == 0 || n == 0 {
        return;
    }
    let c = Shared::new(c);
    parallel_for(m, ROW_GRAIN, work, |rows| {
        let a = if k == 0 { a } else { &a[rows.start * a_strides[0]..] };
        // SAFETY: the pieces of different rows do not overlap; `check` has shown that they lie in C.
        let c = unsafe { c.piece(rows.start * c_stride..(rows.end - 1) * c_stride + n) };
        gemm_serial(
            &mut Gemm { m: rows.len(), n, k, a, a_strides, b, b_strides, c, c_stride, epilogue },
            prepacked_b,
        );
    });
}

/// `count` products of equal shape. `call` is the first; in product i the operands A, B and C begin at i
/// times their batch strides.
///
/// Threads divide the products among them, unless matrices of C overlap.
///
/// # Panics
/// As [`gemm`], for any of them.
pub fn gemm_batched(count: usize, batch_strides: [usize; 3], call: Gemm<'_, f32>) {
    if count == 1 {
        return gemm(call);
    }
    call.check();
    let Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue } = call;
    if count == 0 || m == 0 || n == 0 {
        return;
    }
    // With k = 0 no operand is read.
    let [a_batch, b_batch, c_batch] = batch_strides;
    let [a_batch, b_batch] = if k == 0 { [0; 2] } else { [a_batch, b_batch] };
    let one = |i: usize, c: &mut [f32]| {
        let (a, b) = (&a[i * a_batch..], &b[i * b_batch..]);
        gemm_serial(&mut Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue }, None);
    };
    let len = (m - 1) * c_stride + n;
    if c_batch < len {
        return (0..count).for_each(|i| one(i, &mut c[i * c_batch..]));
    }
    let all = (count - 1).saturating_mul(c_batch).saturating_add(len);
    assert!(all <= c.len(), "C is too short");
    let c = Shared::new(c);
    parallel_for(count, 1, 2 * m * n * k * count, |products| {
        for i in products {
            // SAFETY: `len` is at most C's batch stride, and all of these ranges lie in C, so that they do not
            // overlap.
            one(i, unsafe { c.piece(i * c_batch..i * c_batch + len) });
        }
    });
}

/// As [`gemm`] for a `k` over the rows of a batch: a product over many rows is computed in two halves.
/// Whether it is must not depend on `m`, of which a thread may have only a part.
///
/// # Panics
/// As [`gemm`].
pub fn gemm_over_rows(call: Gemm<'_, f32>) {
    let Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue } = call;
    // The test treats C as if it were square.
    if m == 0 || n == 0 || c_stride != n || !is_halved(k, 2, n) {
        return gemm(Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue });
    }
    let len = m * n;
    let shared = Shared::new(&mut c[..len]);
    // A step of gradient descent needs the sum of both halves.
    let descent = if let Epilogue::AddScaled(scale) = epilogue { Some(scale) } else { None };
    in_halves(
        k,
        2 * len * k,
        [if descent.is_some() { len } else { 0 }, len],
        |second, rows, scratch| {
            let (a, b) = (&a[rows.start * a_strides[1]..], &b[rows.start * b_strides[0]..]);
            let (c, epilogue) = match second || descent.is_some() {
                true => (scratch, Epilogue::Set),
                // SAFETY: only the first half has it, which is computed once.
                false => (unsafe { shared.all() }, epilogue),
            };
            let k = rows.len();
            gemm_serial(&mut Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue }, None);
        },
        |first, second| {
            // SAFETY: both halves are done.
            let c = unsafe { shared.all() };
            let isa = Isa::detect();
            match descent {
                None => add_scaled_isa(isa, 1.0, second, c),
                Some(scale) => {
                    add_scaled_isa(isa, 1.0, second, first);
                    add_scaled_isa(isa, scale, first, c);
                }
            }
        },
    );
}

#[cfg(test)]
mod tests;
