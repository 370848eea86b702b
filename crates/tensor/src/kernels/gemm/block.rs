//! One block of C, whose sums stay in registers.

use crate::kernels::simd::Simd;

/// The operands and the destination of a block's sums. Destinations are mostly whole vectors, so that this
/// code, which is compiled once per block size, stays small.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// The number of products in each sum.
    pub k: usize,
    /// The first row of A in the block.
    pub a: *const f32,
    /// A's row stride, or its column stride if `ACROSS`.
    pub a_stride: usize,
    /// The first row of B, at the block's first column.
    pub b: *const f32,
    /// B's row stride.
    pub b_stride: usize,
    /// How many rows of B may be read in whole vectors, and the length of the last vector in the other rows.
    pub whole: usize,
    pub tail: usize,
    /// The initial values of the sums; null for zeros.
    pub start: *const f32,
    /// The row stride of `start`; 0 if all rows begin with the same values.
    pub start_stride: usize,
    /// The destination of the sums.
    pub to: *mut f32,
    /// The row stride of `to`.
    pub to_stride: usize,
    /// The length of the last vector of each row at `to`; all lanes if S has no masks.
    pub to_tail: usize,
    /// If given, the sums times this factor are added to `to`; otherwise they overwrite it.
    pub add: Option<f32>,
    /// Memory to prefetch during the sums, since it is read or written after them.
    pub next: *const f32,
    /// The row stride of `next`.
    pub next_stride: usize,
}

/// From how many products on a block's part of C is prefetched while they are added: fewer are done before it arrives.
const MIN_PREFETCHED: usize = 64;

/// The same address, computed before a loop and kept in a register: the compiler, which does not see what it is, cannot
/// compute it anew in each round.
#[inline(always)]
// The assembly, which is empty, reads no memory. Where it is left out nothing changes `address`.
#[allow(clippy::pointers_in_nomem_asm_block, unused_mut)]
fn opaque(mut address: *const f32) -> *const f32 {
    // SAFETY: there are no instructions.
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) address, options(pure, nomem, nostack, preserves_flags));
    }
    address
}

/// Vector `v` of a row of `W` vectors, the last of which has `last` elements.
///
/// # Safety
/// S's target features hold; the row lies at `p`, and `v` is below `W`.
#[inline(always)]
pub(in super::super) unsafe fn load<S: Simd, const W: usize>(p: *const f32, v: usize, last: usize) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { if v + 1 == W { S::load_head(p.add(v * S::LANES), last) } else { S::load(p.add(v * S::LANES)) } }
}

/// A block of `R` rows by `W` vectors. The numbers of a column of A lie side by side if `ACROSS`, else those
/// of a row.
///
/// # Safety
/// S's target features hold. At `a` are `R` rows of A; at `b` are `k` rows of `W` vectors of B (the first
/// `whole` rows have whole vectors, the last vector of the others has `tail` numbers); at `start`, if it is
/// not null, and at `to` are `R` rows of `W` whole vectors, but at `to` the last has `to_tail` numbers if S
/// has fast masks. `start` may be `to`; `next` may be any address. The memory at `start` is initialized, and
/// so is that at `to` if the sums are added to it.
#[inline(always)]
// Counted loops and unchecked arithmetic: this is compiled for every block size, so iterators and checks
// would bloat it.
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
        // Short loops that get unrolled: otherwise the sums would not stay in registers.
        if !start.is_null() {
            for r in 0..R {
                let row = start.wrapping_add(r.wrapping_mul(start_stride));
                for v in 0..W {
                    acc[r][v] = S::load(row.wrapping_add(v * S::LANES));
                }
            }
        }
        // The rows of A; unused if it is read across.
        let rows: [_; R] = std::array::from_fn(|r| opaque(a.wrapping_add(r.wrapping_mul(row))));
        let mut done = 0;
        macro_rules! add_products {
            ($count:literal, $v:ident, $p:ident => $load:expr) => {
                for l in 0..$count {
                    let mut bs = [S::splat(0.0); W];
                    for $v in 0..W {
                        let $p = b.wrapping_add($v * S::LANES);
                        bs[$v] = $load;
                    }
                    b = b.wrapping_add(b_stride);
                    for r in 0..R {
                        let x = if ACROSS {
                            a.wrapping_add(l * column + r)
                        } else {
                            rows[r].wrapping_add(done + l)
                        };
                        let x = S::splat(*x);
                        for v in 0..W {
                            acc[r][v] = S::fma(x, bs[v], acc[r][v]);
                        }
                    }
                }
                a = a.wrapping_add($count * column);
                done += $count;
            };
        }
        // A row of a block spans at most the cache lines of its first and last numbers.
        if k >= MIN_PREFETCHED {
            for r in 0..R {
                let row = next.wrapping_add(r * next_stride);
                S::prefetch(row);
                S::prefetch(row.wrapping_add(W * S::LANES - 1));
            }
        }
        let whole = whole.min(k);
        for _ in 0..whole / 2 {
            add_products!(2, v, p => S::load(p));
        }
        if whole % 2 == 1 {
            add_products!(1, v, p => S::load(p));
        }
        for _ in whole..k {
            add_products!(1, v, p => if v + 1 == W { S::load_head(p, tail) } else { S::load(p) });
        }
        for r in 0..R {
            let row = to.wrapping_add(r.wrapping_mul(to_stride));
            for v in 0..W {
                let dest = row.wrapping_add(v * S::LANES);
                let is_cut = S::FAST_MASKS && v + 1 == W;
                let sum = match add {
                    None => acc[r][v],
                    // Rounded twice, as in `add_scaled`.
                    Some(scale) => {
                        let before = if is_cut { S::load_head(dest, to_tail) } else { S::load(dest) };
                        S::add(before, S::mul(S::splat(scale), acc[r][v]))
                    }
                };
                if is_cut { S::store_head(dest, to_tail, sum) } else { S::store(dest, sum) }
            }
        }
    }
}

/// Writes a block's sums to `rows` rows and `columns` columns at `c`, or with `add` adds `add` times the sums
/// to C; then adds the bias, if any.
///
/// # Safety
/// S's target features hold; `rows` rows of `columns` numbers lie at `c`, `c_stride` apart, whole vectors of
/// them at `sums`, `sums_stride` apart, and `columns` numbers in the bias, if there is one.
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
                    // Rounded twice, as in `add_scaled`.
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
