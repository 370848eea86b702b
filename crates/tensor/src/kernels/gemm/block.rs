//! One block of C, whose sums stay in registers.

use crate::kernels::simd::Simd;

/// What is summed in a block, and where the sums go: whole vectors throughout, so that this, of which there is one for each
/// size of a block, stays small.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// How many products are summed.
    pub k: usize,
    /// The block's first row of A.
    pub a: *const f32,
    /// How far apart A's rows are, or its columns if it is read `ACROSS`.
    pub a_stride: usize,
    /// B's first row, at the block's first column.
    pub b: *const f32,
    /// How far apart B's rows are.
    pub b_stride: usize,
    /// How many of B's rows may be read in whole vectors, and how many numbers the last vector of the others has.
    pub whole: usize,
    pub tail: usize,
    /// What the sums begin with; null for zeros.
    pub start: *const f32,
    /// How far apart the rows of `start` are; 0 if all begin with the same.
    pub start_stride: usize,
    /// Where the sums go.
    pub to: *mut f32,
    /// How far apart the rows of `to` are.
    pub to_stride: usize,
    /// How many numbers the last vector of each has there; all where S has no masks.
    pub to_tail: usize,
    /// So many times the sums are added to what is there; None: they take its place.
    pub add: Option<f32>,
    /// What comes into the cache while the sums are made: what will be read or written after them.
    pub next: *const f32,
    /// How far apart the rows of `next` are.
    pub next_stride: usize,
}

/// Vector `v` of `W`, the last of which has `last` elements.
///
/// # Safety
/// S's target features hold; that vector's elements lie there, if the first one's do at `p`.
#[inline(always)]
pub(in super::super) unsafe fn load<S: Simd, const W: usize>(p: *const f32, v: usize, last: usize) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { if v + 1 == W { S::load_head(p.add(v * S::LANES), last) } else { S::load(p.add(v * S::LANES)) } }
}

/// A block of `R` rows by `W` vectors. `ACROSS`: each of A's columns lies side by side; otherwise its rows do.
///
/// # Safety
/// S's target features hold; `R` rows of A lie there, `k` rows of `W` vectors of B (the first `whole` of them whole, the last
/// vector of the others with `tail` numbers), and `R` rows of `W` whole vectors at `start`, if it is not null, and at `to`, where
/// the last has `to_tail` numbers if S has masks. `start` may be `to`; `next` may be any address. What is at `start`, and at `to`
/// where the sums are added to it, are numbers; otherwise `to` may be memory that nothing was written to.
#[inline(always)]
// Counted loops, and steps that are not checked: of iterators and checks there is one for each number of each block.
#[allow(clippy::needless_range_loop)]
pub(super) unsafe fn block<S: Simd, const R: usize, const W: usize, const ACROSS: bool>(call: &Block) {
    let &Block {
        k,
        mut a,
        a_stride,
        mut b,
        b_stride,
        whole,
        tail,
        start,
        start_stride,
        to,
        to_stride,
        to_tail,
        add,
        next,
        next_stride,
    } = call;
    let [row, column] = if ACROSS { [1, a_stride] } else { [a_stride, 1] };
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[S::splat(0.0); W]; R];
        // Loops so short that they are unrolled: otherwise the sums would not stay in registers.
        if !start.is_null() {
            for r in 0..R {
                let row = start.wrapping_add(r.wrapping_mul(start_stride));
                for v in 0..W {
                    acc[r][v] = S::load(row.wrapping_add(v * S::LANES));
                }
            }
        }
        macro_rules! add_products {
            ($l:literal, $v:ident, $p:ident => $load:expr) => {
                let mut bs = [S::splat(0.0); W];
                for $v in 0..W {
                    let $p = b.wrapping_add($v * S::LANES);
                    bs[$v] = $load;
                }
                b = b.wrapping_add(b_stride);
                let a = a.wrapping_add($l * column);
                for r in 0..R {
                    let x = S::splat(*a.wrapping_add(r.wrapping_mul(row)));
                    for v in 0..W {
                        acc[r][v] = S::fma(x, bs[v], acc[r][v]);
                    }
                }
            };
        }
        // A row of a block lies in its first and last numbers' cache lines.
        for r in 0..R {
            let row = next.wrapping_add(r * next_stride);
            S::prefetch(row);
            S::prefetch(row.wrapping_add(W * S::LANES - 1));
        }
        let pairs = whole.min(k) / 2;
        for _ in 0..pairs {
            add_products!(0, v, p => S::load(p));
            add_products!(1, v, p => S::load(p));
            a = a.wrapping_add(2 * column);
        }
        for _ in 2 * pairs..k {
            add_products!(0, v, p => if v + 1 == W { S::load_head(p, tail) } else { S::load(p) });
            a = a.wrapping_add(column);
        }
        for r in 0..R {
            let row = to.wrapping_add(r.wrapping_mul(to_stride));
            for v in 0..W {
                let place = row.wrapping_add(v * S::LANES);
                let is_cut = S::MASKS && v + 1 == W;
                let sum = match add {
                    None => acc[r][v],
                    // Rounded twice, as `add_scaled` is.
                    Some(scale) => {
                        let before = if is_cut { S::load_head(place, to_tail) } else { S::load(place) };
                        S::add(before, S::mul(S::splat(scale), acc[r][v]))
                    }
                };
                if is_cut { S::store_head(place, to_tail, sum) } else { S::store(place, sum) }
            }
        }
    }
}

/// Writes a block's sums to C, `rows` rows of `columns` columns at `c`: the sums themselves, or with `add` what C was and `add`
/// times the sums; and then the bias, if there is one.
///
/// # Safety
/// S's target features hold; so many rows and columns lie at C, whole vectors of them at `sums`, and the columns in the bias.
#[inline(always)]
pub(super) unsafe fn finish<S: Simd>(
    [rows, columns]: [usize; 2],
    sums: *const f32,
    sums_stride: usize,
    c: *mut f32,
    c_stride: usize,
    add: Option<f32>,
    bias: Option<&[f32]>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        for r in 0..rows {
            let (sums, c) = (sums.add(r * sums_stride), c.add(r * c_stride));
            let mut at = 0;
            while at < columns {
                let n = (columns - at).min(S::LANES);
                let (sum, to) = (S::load(sums.add(at)), c.add(at));
                let mut result = sum;
                if let Some(scale) = add {
                    let before = if n == S::LANES { S::load(to) } else { S::load_head(to, n) };
                    // Rounded twice, as `add_scaled` is.
                    result = S::add(before, S::mul(S::splat(scale), sum));
                }
                if let Some(bias) = bias {
                    result = S::add(result, S::load_head(bias.as_ptr().add(at), n));
                }
                if n == S::LANES {
                    S::store(to, result)
                } else {
                    S::store_head(to, n, result)
                }
                at += n;
            }
        }
    }
}
