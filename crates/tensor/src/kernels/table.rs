//! Sums of table rows: a first layer over a small vocabulary.

use super::activation::{Gelu, GeluTanh, Identity, Relu, Sigmoid, Slope, SquaredRelu, Tanh, Unary};
use super::halves::{in_halves, is_halved};
use super::pool::{ROW_GRAIN, parallel_for};
use super::rows::add_scaled_isa;
use super::simd::{Several, Simd};
use super::team::Shared;
use super::{Activation, Isa, dispatch};
use std::ops::Range;

/// Vectors of columns processed at a time: few enough that their part of the table stays in the L1 cache.
const BLOCK: usize = 4;

/// `y[r] = F(bias + sum_t table[slots[r, t]])` for `N` vectors of columns, from `at` on; the last vector has
/// `last`.
#[inline(always)]
unsafe fn gather_block<S: Simd, F: Unary, const N: usize>(
    table: &[f32],
    bias: &[f32],
    slots: &[u32],
    per_row: usize,
    y: &mut [f32],
    [at, last]: [usize; 2],
) {
    let width = bias.len();
    let (table, bias) = (table[at..].as_ptr(), bias[at..].as_ptr());
    for (y, slots) in y.chunks_exact_mut(width).zip(slots.chunks_exact(per_row)) {
        let y = y[at..].as_mut_ptr();
        // SAFETY: the caller guarantees S's target features, that the columns end within the row, and that
        // each slot's row lies in the table.
        unsafe {
            if last == S::LANES {
                let mut sums = Several::<S, N>::load(bias);
                for &s in slots {
                    let row = table.add(s as usize * width);
                    for (i, sum) in sums.iter_mut().enumerate() {
                        *sum = S::add(*sum, S::load(row.add(i * S::LANES)));
                    }
                }
                Several::<S, N>::store(y, F::at::<Several<S, N>>(sums));
            } else {
                let mut sum = S::load_head(bias, last);
                for &s in slots {
                    sum = S::add(sum, S::load_head(table.add(s as usize * width), last));
                }
                S::store_head(y, last, F::at::<S>(sum));
            }
        }
    }
}

#[inline(always)]
unsafe fn gather<S: Simd, F: Unary>(
    table: &[f32],
    bias: &[f32],
    slots: &[u32],
    per_row: usize,
    y: &mut [f32],
) {
    let width = bias.len();
    let rows = table.len() / width;
    assert!(slots.iter().all(|&s| (s as usize) < rows), "a slot outside the table");
    let mut at = 0;
    while at < width {
        // SAFETY: the caller guarantees S's target features; the columns end at `width`, and every slot's row
        // lies in the table.
        unsafe {
            if width - at >= BLOCK * S::LANES {
                gather_block::<S, F, BLOCK>(table, bias, slots, per_row, y, [at, S::LANES]);
                at += BLOCK * S::LANES;
            } else {
                let last = (width - at).min(S::LANES);
                gather_block::<S, F, 1>(table, bias, slots, per_row, y, [at, last]);
                at += last;
            }
        }
    }
}

#[inline(always)]
unsafe fn gather_rows_on<S: Simd>(
    table: &[f32],
    bias: &[f32],
    slots: &[u32],
    per_row: usize,
    activation: Option<Activation>,
    y: &mut [f32],
) {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        match activation {
            Some(Activation::Tanh) => gather::<S, Tanh>(table, bias, slots, per_row, y),
            Some(Activation::Relu) => gather::<S, Relu>(table, bias, slots, per_row, y),
            Some(Activation::Sigmoid) => gather::<S, Sigmoid>(table, bias, slots, per_row, y),
            _ => gather::<S, Identity>(table, bias, slots, per_row, y),
        }
    }
}

dispatch! {
    fn gather_rows_isa(
        table: &[f32], bias: &[f32], slots: &[u32], per_row: usize, activation: Option<Activation>, y: &mut [f32],
    ) = gather_rows_on
}

/// Each row of `y` is the bias plus the `per_row` table rows that its slots name, under an activation.
///
/// Not for activations whose slope is computed from x: their backward needs the sum itself.
pub fn gather_rows(
    table: &[f32],
    bias: &[f32],
    slots: &[u32],
    per_row: usize,
    activation: Option<Activation>,
    y: &mut [f32],
) {
    let width = bias.len();
    let rows = y.len() / width;
    let y = Shared::new(y);
    parallel_for(rows, ROW_GRAIN, 40 * rows * width, |part| {
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let y = unsafe { y.piece(part.start * width..part.end * width) };
        let slots = &slots[part.start * per_row..part.end * per_row];
        gather_rows_isa(Isa::detect(), table, bias, slots, per_row, activation, y);
    });
}

/// The arguments of [`scatter_rows`], for the columns of one thread: the table is still borrowed, and nothing
/// else accesses its columns `columns` meanwhile.
struct Scatter<'a> {
    activation: Option<Activation>,
    v: &'a [f32],
    d: &'a [f32],
    width: usize,
    slots: &'a [u32],
    per_row: usize,
    table: Shared<f32>,
    columns: Range<usize>,
}

/// `N` vectors of columns, from `at` on; the last vector has `last` columns.
#[inline(always)]
unsafe fn scatter_block<S: Simd, F: Slope, const N: usize>(
    call: &Scatter<'_>,
    v: &[f32],
    at: usize,
    last: usize,
) {
    let &Scatter { d, width, slots, per_row, .. } = call;
    let rows = d.chunks_exact(width).zip(v.chunks_exact(width));
    let table = call.table.start().wrapping_add(at);
    for ((d, v), slots) in rows.zip(slots.chunks_exact(per_row)) {
        let (d, v) = (d[at..].as_ptr(), v[at..].as_ptr());
        // SAFETY: the caller guarantees S's target features, that the columns end within the row, that each
        // slot's row lies in the table, and that no other thread has these columns.
        unsafe {
            // Whole vectors are stored without a mask: a masked store cannot be forwarded to the load in the
            // next row.
            if last == S::LANES {
                let x = F::at::<Several<S, N>>(Several::<S, N>::load(v), Several::<S, N>::load(d));
                for &s in slots {
                    let row = table.add(s as usize * width);
                    for (i, &x) in x.iter().enumerate() {
                        let to = row.add(i * S::LANES);
                        S::store(to, S::add(S::load(to), x));
                    }
                }
            } else {
                let x = F::at::<S>(S::load_head(v, last), S::load_head(d, last));
                for &s in slots {
                    let row = table.add(s as usize * width);
                    S::store_head(row, last, S::add(S::load_head(row, last), x));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn scatter<S: Simd, F: Slope>(call: &Scatter<'_>, v: &[f32]) {
    let &Scatter { width, ref columns, .. } = call;
    assert!(columns.end <= width, "columns outside the rows");
    let rows = call.table.len() / width;
    assert!(call.slots.iter().all(|&s| (s as usize) < rows), "a slot outside the table");
    let mut at = columns.start;
    while at < columns.end {
        let left = columns.end - at;
        // SAFETY: the caller guarantees S's target features, and that no other thread has these columns; they end at
        // `columns.end`, and every slot's row lies in the table.
        unsafe {
            if left >= 2 * BLOCK * S::LANES {
                scatter_block::<S, F, { 2 * BLOCK }>(call, v, at, S::LANES);
                at += 2 * BLOCK * S::LANES;
            } else if left >= BLOCK * S::LANES {
                scatter_block::<S, F, BLOCK>(call, v, at, S::LANES);
                at += BLOCK * S::LANES;
            } else {
                let last = left.min(S::LANES);
                scatter_block::<S, F, 1>(call, v, at, last);
                at += last;
            }
        }
    }
}

/// # Safety
/// S's target features hold; so does what [`Scatter`] says of its table.
#[inline(always)]
unsafe fn scatter_rows_on<S: Simd>(call: Scatter<'_>) {
    // SAFETY: the caller guarantees S's target features; nothing else reaches the columns, as `Scatter` says.
    unsafe {
        match call.activation {
            Some(Activation::Tanh) => scatter::<S, Tanh>(&call, call.v),
            Some(Activation::Relu) => scatter::<S, Relu>(&call, call.v),
            Some(Activation::Sigmoid) => scatter::<S, Sigmoid>(&call, call.v),
            Some(Activation::Gelu) => scatter::<S, Gelu>(&call, call.v),
            Some(Activation::GeluTanh) => scatter::<S, GeluTanh>(&call, call.v),
            Some(Activation::SquaredRelu) => scatter::<S, SquaredRelu>(&call, call.v),
            None => scatter::<S, Identity>(&call, call.d),
        }
    }
}

dispatch! {
    fn scatter_rows_isa(call: Scatter<'_>) = scatter_rows_on
}

/// The gradient of [`gather_rows`]: each row of `d`, multiplied by the activation's slope, is added to every
/// table row that its slots name.
///
/// `v` is what the activation's slope is computed from: the sums where [`Activation::slope_is_of_x`], else the
/// activation's values.
pub fn scatter_rows(
    activation: Option<Activation>,
    v: &[f32],
    d: &[f32],
    width: usize,
    slots: &[u32],
    per_row: usize,
    table: &mut [f32],
) {
    let (rows, work) = (d.len() / width, 20 * d.len());
    let (len, table) = (table.len(), Shared::new(table));
    if is_halved(rows, per_row * width, len) {
        return in_halves(
            rows,
            work,
            [0, len],
            |second, rows, scratch| {
                let numbers = rows.start * width..rows.end * width;
                let (v, d) = (&v[numbers.clone()], &d[numbers]);
                let slots = &slots[rows.start * per_row..rows.end * per_row];
                // The first half has the table, the second a sum of its own.
                let (mut of_half, columns) = (table, 0..width);
                if second {
                    scratch.fill(0.0);
                    of_half = Shared::new(scratch);
                }
                let call = Scatter { activation, v, d, width, slots, per_row, table: of_half, columns };
                scatter_rows_isa(Isa::detect(), call);
            },
            // SAFETY: both halves are done.
            |_, second| add_scaled_isa(Isa::detect(), 1.0, second, unsafe { table.all() }),
        );
    }
    // Rows of different examples add to the same table rows, so threads divide the columns, not the rows.
    parallel_for(width, 16, work, |columns| {
        scatter_rows_isa(Isa::detect(), Scatter { activation, v, d, width, slots, per_row, table, columns });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;
    use crate::kernels::tests::{assert_close, numbers};

    #[test]
    fn every_width_equals_the_plain_loops() {
        for isa in Isa::available() {
            for width in [1, 5, 16, 27, 32, 50, 200] {
                let (table, bias) = (numbers(9 * width, 1), numbers(width, 2));
                let slots = [0, 3, 8, 8, 8, 1, 2, 3, 4, 0, 1, 0];
                for kind in [None, Some(Activation::Tanh), Some(Activation::Relu), Some(Activation::Sigmoid)]
                {
                    let (mut fast, mut plain) = (vec![0.0; 4 * width], vec![0.0; 4 * width]);
                    gather_rows_isa(isa, &table, &bias, &slots, 3, kind, &mut fast);
                    reference::gather_rows(&table, &bias, &slots, 3, kind, &mut plain);
                    assert_close(isa, &fast, &plain);
                }
                let d = numbers(4 * width, 3);
                let v: Vec<f32> = d.iter().map(|x| x * 0.5 + 0.1).collect();
                for kind in [
                    None,
                    Some(Activation::Tanh),
                    Some(Activation::Relu),
                    Some(Activation::Sigmoid),
                    Some(Activation::Gelu),
                ] {
                    let (mut fast, mut plain) = (table.clone(), table.clone());
                    let table = Shared::new(&mut fast);
                    for columns in [0..width / 2, width / 2..width] {
                        let call = Scatter {
                            activation: kind,
                            v: &v,
                            d: &d,
                            width,
                            slots: &slots,
                            per_row: 3,
                            table,
                            columns,
                        };
                        scatter_rows_isa(isa, call);
                    }
                    reference::scatter_rows(kind, &v, &d, width, &slots, 3, &mut plain);
                    assert_close(isa, &fast, &plain);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "a slot outside the table")]
    fn slots_are_checked() {
        gather_rows(&[0.0; 4], &[0.0; 2], &[2], 1, None, &mut [0.0; 2]);
    }
}
