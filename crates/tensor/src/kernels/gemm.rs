//! The matrix product, in blocks of C that stay in registers.

use super::halves::{in_halves, worthwhile};
use super::rows::add_scaled_isa;
use super::simd::Simd;
use super::team::{ROWS, Shared, split};
use super::{End, Gemm, Isa, dispatch};

/// Vectors side by side in a register block.
const WIDE: usize = 3;

/// Vector `v` of `W`, the last of which has `last` elements.
#[inline(always)]
pub(super) unsafe fn load<S: Simd, const W: usize>(p: *const f32, v: usize, last: usize) -> S::V {
    // SAFETY: the caller guarantees S's target features, and `W` vectors less what the last one lacks at `p`.
    unsafe { if v + 1 == W { S::load_head(p.add(v * S::LANES), last) } else { S::load(p.add(v * S::LANES)) } }
}

/// A block of C, `R` rows by `W` vectors, whose last vector has `last` columns in use.
#[inline(always)]
unsafe fn block<S: Simd, const R: usize, const W: usize>(
    call: &mut Gemm<'_, f32>,
    row: usize,
    col: usize,
    last: usize,
) {
    let &mut Gemm { k, a_strides: [ar, ac], b_stride, c_stride, end, .. } = call;
    // SAFETY: the caller guarantees S's target features. `Gemm::check` has shown that rows below `m` and columns
    // below `n` lie inside the slices; the block's rows are below `m`, and its columns below `n`, because only the
    // last vector reaches further and only its first `last` lanes are touched.
    unsafe {
        let a = call.a.as_ptr().add(if k == 0 { 0 } else { row * ar });
        let b = call.b.as_ptr().add(if k == 0 { 0 } else { col });
        let c = call.c.as_mut_ptr().add(row * c_stride + col);
        let mut acc = [[S::splat(0.0); W]; R];
        if let End::Bias(bias) = end {
            for v in 0..W {
                let bias = load::<S, W>(bias.as_ptr().add(col), v, last);
                acc.iter_mut().for_each(|acc| acc[v] = bias);
            }
        }
        for l in 0..k {
            let b = b.add(l * b_stride);
            let mut bs = [S::splat(0.0); W];
            for (v, x) in bs.iter_mut().enumerate() {
                *x = load::<S, W>(b, v, last);
            }
            let a = a.add(l * ac);
            for (r, acc) in acc.iter_mut().enumerate() {
                let x = S::splat(*a.add(r * ar));
                for (acc, &b) in acc.iter_mut().zip(&bs) {
                    *acc = S::fma(x, b, *acc);
                }
            }
        }
        // A loop for each end, and each so short that it is unrolled: otherwise the sums would not stay in registers.
        macro_rules! each {
            (|$r:ident, $v:ident, $sum:ident| $body:expr) => {
                for ($r, acc) in acc.iter_mut().enumerate() {
                    for ($v, $sum) in acc.iter_mut().enumerate() {
                        $body;
                    }
                }
            };
        }
        match end {
            End::Set | End::Bias(_) => {}
            End::Add => each!(|r, v, sum| *sum = S::add(*sum, load::<S, W>(c.add(r * c_stride), v, last))),
            End::AddBias(bias) => {
                each!(|r, v, sum| *sum = S::add(*sum, load::<S, W>(c.add(r * c_stride), v, last)));
                each!(|_r, v, sum| *sum = S::add(*sum, load::<S, W>(bias.as_ptr().add(col), v, last)));
            }
            End::AddScaled(scale) => {
                let scale = S::splat(scale);
                // Rounded twice, as `add_scaled` is.
                each!(|_r, _v, sum| *sum = S::mul(scale, *sum));
                each!(|r, v, sum| *sum = S::add(load::<S, W>(c.add(r * c_stride), v, last), *sum));
            }
        }
        each!(|r, v, sum| {
            let c = c.add(r * c_stride + v * S::LANES);
            if v + 1 == W { S::store_head(c, last, *sum) } else { S::store(c, *sum) }
        });
    }
}

/// All rows of a strip of C that is `W` vectors wide, in blocks of about equal height: a block of a few rows would leave
/// the units waiting for its sums.
#[inline(always)]
unsafe fn strip<S: Simd, const W: usize>(call: &mut Gemm<'_, f32>, col: usize, last: usize) {
    let mut row = 0;
    while row < call.m {
        let high = even(call.m - row, S::SUMS / W);
        macro_rules! blocks {
            ($($r:literal)*) => {
                match high {
                    // SAFETY: the caller guarantees S's target features, and that the columns are below `n`; the rows
                    // are below `m`.
                    $($r if $r * W <= S::SUMS => unsafe { block::<S, $r, W>(call, row, col, last) },)*
                    _ => unreachable!("blocks have as many sums as registers hold"),
                }
            };
        }
        blocks!(1 2 3 4 5 6 7 8 9 10 11 12);
        row += high;
    }
}

/// The size of the next block, of at most `most` and 12, that divides what is `left` evenly.
fn even(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most.min(12)))
}

#[inline(always)]
unsafe fn gemm_on<S: Simd>(mut call: Gemm<'_, f32>) {
    call.check();
    let mut col = 0;
    let mut vectors = call.n.div_ceil(S::LANES);
    while vectors > 0 {
        // 4 left are two strips of 2, not 3 and 1: a narrow strip leaves the units waiting.
        let wide = if vectors == 4 { 2 } else { vectors.min(WIDE) };
        vectors -= wide;
        let end = if vectors == 0 { call.n } else { col + wide * S::LANES };
        let last = end - col - (wide - 1) * S::LANES;
        // SAFETY: the caller guarantees S's target features; columns end at `end`, which is at most `n`.
        unsafe {
            match wide {
                1 => strip::<S, 1>(&mut call, col, last),
                2 => strip::<S, 2>(&mut call, col, last),
                _ => strip::<S, 3>(&mut call, col, last),
            }
        }
        col = end;
    }
}

dispatch! {
    fn gemm_isa(call: Gemm<'_, f32>) = gemm_on
}

/// A matrix product; see [`Gemm`].
///
/// # Panics
/// If a slice is shorter than the sizes and steps say.
pub fn gemm(call: Gemm<'_, f32>) {
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
        gemm_isa(Isa::detect(), Gemm { m: rows.len(), n, k, a, a_strides, b, b_stride, c, c_stride, end });
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
            gemm_isa(Isa::detect(), Gemm { m, n, k, a, a_strides, b, b_stride, c, c_stride, end });
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
                        gemm_isa(isa, call(&mut fast));
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
