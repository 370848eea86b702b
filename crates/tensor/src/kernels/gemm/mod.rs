//! The matrix product, in blocks of C that stay in registers.
//!
//! An element's sum runs over k in one order, in fused operations, whatever is packed and wherever k is cut: the bits
//! depend on none of it.

mod block;
mod drive;
mod pack;

use super::halves::{in_halves, worthwhile};
use super::pool::{ROWS, split};
use super::rows::add_scaled_isa;
use super::team::Shared;
use super::{End, Gemm, Isa, dispatch};
use drive::{Packed, gemm_on, pack_on, packing};
use pack::{Room, with_room};

pub(super) use block::load;
pub(super) use pack::LINE;

dispatch! {
    fn gemm_isa(call: Gemm<'_, f32>, packed: Packed<'_>, room: &mut Room) = gemm_on
}

dispatch! {
    fn pack_isa(b: &[f32], n: usize, to: &mut [f32]) = pack_on
}

/// Packs B, of `n` columns, for [`gemm_packed`].
///
/// # Panics
/// If there is less room than for `n` columns, rounded up to sixteens, in each row.
pub fn pack(b: &[f32], n: usize, to: &mut [f32]) {
    pack_isa(Isa::detect(), b, n, to);
}

/// As [`gemm`], to the same bits, with B packed beforehand by [`pack`]: for several products with one B.
///
/// # Panics
/// As [`gemm`], or if `packed` is shorter than B packed is.
pub fn gemm_packed(call: Gemm<'_, f32>, packed: &[f32]) {
    gemm_by(call, Some(packed));
}

/// A product by this thread alone.
pub(super) fn gemm_alone(call: Gemm<'_, f32>, ready: Option<&[f32]>) {
    let packed = packing(&call);
    let packed = if ready.is_some() { Packed { b: true, ready, ..packed } } else { packed };
    with_room(|room| gemm_isa(Isa::detect(), call, packed, room));
}

/// A matrix product; see [`Gemm`].
///
/// # Panics
/// If a slice is shorter than the sizes and steps say.
pub fn gemm(call: Gemm<'_, f32>) {
    gemm_by(call, None);
}

fn gemm_by(call: Gemm<'_, f32>, ready: Option<&[f32]>) {
    call.check();
    let Gemm { m, n, k, a, a_strides, b, b_stride, c, c_stride, end } = call;
    let c = Shared::new(c);
    split(m, ROWS, 2 * m * n * k, |rows| {
        if rows.is_empty() {
            return;
        }
        let a = if k == 0 { a } else { &a[rows.start * a_strides[0]..] };
        // SAFETY: the pieces of different rows do not overlap; `check` has shown that they lie in C.
        let c = unsafe { c.piece(rows.start * c_stride..(rows.end - 1) * c_stride + n) };
        gemm_alone(Gemm { m: rows.len(), n, k, a, a_strides, b, b_stride, c, c_stride, end }, ready);
    });
}

/// `count` products of one shape. `call` is the first one; the operands of number i, A, B and C, begin i times the steps
/// further on.
///
/// Threads share the products out, unless matrices of C lie inside one another, or are one.
///
/// # Panics
/// As [`gemm`], for any of them.
pub fn gemm_batched(count: usize, [a_step, b_step, c_step]: [usize; 3], call: Gemm<'_, f32>) {
    call.check();
    let Gemm { m, n, k, a, a_strides, b, b_stride, c, c_stride, end } = call;
    if count == 0 || m == 0 || n == 0 {
        return;
    }
    if count == 1 {
        return gemm(Gemm { m, n, k, a, a_strides, b, b_stride, c, c_stride, end });
    }
    // No operand is looked at where there is nothing to sum.
    let [a_step, b_step] = if k == 0 { [0; 2] } else { [a_step, b_step] };
    let one = |i: usize, c: &mut [f32]| {
        let (a, b) = (&a[i * a_step..], &b[i * b_step..]);
        gemm_alone(Gemm { m, n, k, a, a_strides, b, b_stride, c, c_stride, end }, None);
    };
    let len = (m - 1) * c_stride + n;
    if c_step < len {
        return (0..count).for_each(|i| one(i, &mut c[i * c_step..]));
    }
    let c = Shared::new(c);
    split(count, 1, 2 * m * n * k * count, |products| {
        for i in products {
            // SAFETY: `len` is at most the step from one to the next, so the pieces do not overlap.
            one(i, unsafe { c.piece(i * c_step..i * c_step + len) });
        }
    });
}

/// The same for a product whose `k` goes over the rows of a batch: of many rows it is made in two halves. Whether it is does
/// not depend on `m`, of which a thread may have only a part.
///
/// # Panics
/// As [`gemm`].
pub fn gemm_over_rows(call: Gemm<'_, f32>) {
    let Gemm { m, n, k, a, a_strides, b, b_stride, c, c_stride, end } = call;
    // As if C were square.
    if c_stride != n || !worthwhile(k, 2, n) {
        return gemm(Gemm { m, n, k, a, a_strides, b, b_stride, c, c_stride, end });
    }
    let len = m * n;
    let shared = Shared::new(&mut c[..len]);
    // A step of descent is made when both halves of the gradient are there.
    let descent = if let End::AddScaled(scale) = end { Some(scale) } else { None };
    in_halves(
        k,
        2 * len * k,
        [if descent.is_some() { len } else { 0 }, len],
        |second, rows, room| {
            let (a, b) = (&a[rows.start * a_strides[1]..], &b[rows.start * b_stride..]);
            let (c, end) = match second || descent.is_some() {
                true => (room, End::Set),
                // SAFETY: only the first half has it.
                false => (unsafe { shared.all() }, end),
            };
            let k = rows.len();
            gemm_alone(Gemm { m, n, k, a, a_strides, b, b_stride, c, c_stride, end }, None);
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
mod tests {
    use super::*;
    use crate::kernels::reference;
    use crate::kernels::tests::numbers;

    #[test]
    fn every_shape_equals_the_plain_loops() {
        for isa in Isa::available() {
            for (m, n, k) in [
                (1, 1, 1),
                (3, 5, 2),
                (8, 48, 10),
                (32, 200, 30),
                (33, 27, 200),
                (7, 65, 0),
                (5, 64, 9),
                (12, 17, 3),
            ] {
                // Under Miri the large ones take minutes.
                if cfg!(miri) && m * n * k > 5000 {
                    continue;
                }
                for transposed in [false, true] {
                    let (a, b, bias) = (numbers(m * k, 1), numbers(k * (n + 2), 2), numbers(n, 3));
                    let ends =
                        [End::Set, End::Bias(&bias), End::Add, End::AddBias(&bias), End::AddScaled(-0.3)];
                    for end in ends {
                        let before = numbers(m * (n + 1), 4);
                        let call = |c| Gemm {
                            m,
                            n,
                            k,
                            a: &a,
                            a_strides: if transposed { [1, m] } else { [k, 1] },
                            b: &b,
                            b_stride: n + 2,
                            c,
                            c_stride: n + 1,
                            end,
                        };
                        let (mut fast, mut plain) = (before.clone(), before.clone());
                        gemm_isa(
                            isa,
                            call(&mut fast),
                            Packed { a: transposed, b: true, ready: None },
                            &mut Room::default(),
                        );
                        reference::gemm(call(&mut plain));
                        for (i, (f, p)) in fast.iter().zip(&plain).enumerate() {
                            assert!((f - p).abs() <= 1e-4, "{isa:?} {m}x{n}x{k} at {i}: {f} instead of {p}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_batch_equals_its_products() {
        const COUNT: usize = 5;
        const SIZES: [usize; 3] = [7, 17, 3];
        fn product<'a>(a: &'a [f32], b: &'a [f32], c: &'a mut [f32]) -> Gemm<'a, f32> {
            let [m, n, k] = SIZES;
            Gemm { m, n, k, a, a_strides: [1, m], b, b_stride: n, c, c_stride: n, end: End::Add }
        }
        let [m, n, k] = SIZES;
        let (a, b, before) =
            (numbers(COUNT * m * k, 1), numbers(COUNT * k * n, 2), numbers(COUNT * m * n, 3));
        // Each with a C of its own, and all added to the same.
        for c_step in [m * n, 0] {
            let [mut batch, mut each, mut plain] = [(); 3].map(|()| before.clone());
            let steps = [m * k, k * n, c_step];
            gemm_batched(COUNT, steps, product(&a, &b, &mut batch));
            for i in 0..COUNT {
                gemm(product(&a[i * m * k..], &b[i * k * n..], &mut each[i * c_step..]));
            }
            assert_eq!(batch, each);
            reference::gemm_batched(COUNT, steps, product(&a, &b, &mut plain));
            for (x, y) in batch.iter().zip(&plain) {
                assert!((x - y).abs() <= 1e-4, "{x} instead of {y}");
            }
        }
    }

    #[test]
    fn where_k_is_cut_and_what_is_packed_does_not_show() {
        let (m, n, k) = (30, 19, if cfg!(miri) { 40 } else { 900 });
        let (a, b, bias, before) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3), numbers(m * n, 4));
        for isa in Isa::available() {
            for a_strides in [[k, 1], [1, m]] {
                for end in [End::Set, End::Bias(&bias), End::Add, End::AddBias(&bias), End::AddScaled(-0.3)] {
                    let results = [(false, false), (false, true), (true, false), (true, true)].map(
                        |(pack_a, pack_b)| {
                            let mut c = before.clone();
                            let packed = Packed { a: pack_a, b: pack_b, ready: None };
                            let (a, b, c_of) = (&a[..], &b[..], &mut c[..]);
                            let call =
                                Gemm { m, n, k, a, a_strides, b, b_stride: n, c: c_of, c_stride: n, end };
                            gemm_isa(isa, call, packed, &mut Room::default());
                            c
                        },
                    );
                    assert!(results.iter().all(|c| *c == results[0]), "{isa:?}, A {a_strides:?}");
                    let mut one_by_one = before.clone();
                    for (i, c) in one_by_one.iter_mut().enumerate() {
                        let (row, column) = (i / n, i % n);
                        let begin = if let End::Bias(bias) = end { bias[column] } else { 0.0 };
                        let sum = (0..k).fold(begin, |sum, l| {
                            a[row * a_strides[0] + l * a_strides[1]].mul_add(b[l * n + column], sum)
                        });
                        *c = match end {
                            End::Set | End::Bias(_) => sum,
                            End::Add => sum + *c,
                            End::AddBias(bias) => (sum + *c) + bias[column],
                            End::AddScaled(scale) => *c + scale * sum,
                        };
                    }
                    assert_eq!(results[0], one_by_one, "{isa:?}, A {a_strides:?}");
                }
            }
        }
    }

    #[test]
    fn a_matrix_packed_beforehand_gives_the_same_bits() {
        for (m, n, k) in [(1, 40, 7), (5, 17, 3), (64, 33, if cfg!(miri) { 9 } else { 800 }), (3, 5, 0)] {
            let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
            let mut packed = vec![0.0; n.div_ceil(16) * 16 * k];
            pack(&b, n, &mut packed);
            let run = |packed: Option<&[f32]>| {
                let mut c = vec![0.0; m * n];
                let (a_strides, end, c_of) = ([k, 1], End::Bias(&bias), &mut c[..]);
                let call = Gemm { m, n, k, a: &a, a_strides, b: &b, b_stride: n, c: c_of, c_stride: n, end };
                match packed {
                    Some(packed) => gemm_packed(call, packed),
                    None => gemm(call),
                }
                c
            };
            assert_eq!(run(Some(&packed)), run(None));
        }
    }

    #[test]
    #[should_panic(expected = "B is too short")]
    fn short_slices_are_refused() {
        let (a, b, mut c) = ([0.0; 4], [0.0; 3], [0.0; 4]);
        gemm(Gemm {
            m: 2,
            n: 2,
            k: 2,
            a: &a,
            a_strides: [2, 1],
            b: &b,
            b_stride: 2,
            c: &mut c,
            c_stride: 2,
            end: End::Set,
        });
    }
}
