//! Blocks one below the other, in strips of columns of C.

use super::block::{Block, block, finish};
#[cfg(target_arch = "aarch64")]
use crate::kernels::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::simd::{Avx2, Avx512};
use crate::kernels::simd::{Portable, Simd};
use std::mem::MaybeUninit;

/// The maximum number of elements in a block, and in a row of one.
const MAX_BLOCK: usize = 24 * 16;
const MAX_BLOCK_WIDTH: usize = 3 * 16;

/// Some rows of strips of columns of C, side by side. A strip is as wide as a block.
pub(super) struct Strips<'a> {
    /// The number of strips; one if it does not fill its vectors.
    pub strips: usize,
    pub rows: usize,
    pub k: usize,
    pub a: *const f32,
    /// A's row stride, or its column stride if it is read across.
    pub a_stride: usize,
    /// Whether A is packed: each group of rows column by column.
    pub packed: bool,
    /// B at the first strip, and the stride from strip to strip.
    pub b: *const f32,
    pub b_strip_stride: usize,
    pub b_stride: usize,
    /// How many rows of B may be read in whole vectors.
    pub whole: usize,
    /// The sums over earlier parts of k, in whole vectors; unused if k is in one part.
    pub sums: *mut f32,
    pub sums_stride: usize,
    /// Whether this is k's first part.
    pub first: bool,
    /// Whether this is k's last part.
    pub last: bool,
    pub c: *mut f32,
    pub c_stride: usize,
    /// If given, the product times this factor is added to C; otherwise it overwrites C.
    pub add: Option<f32>,
    /// Added to every row: as the first term if `add` is None, else last, after the previous C.
    pub bias: Option<&'a [f32]>,
    /// The first strip's first column.
    pub column: usize,
    /// The number of columns of each strip.
    pub width: usize,
}

/// An instruction set's strips, in functions of their own: inlined into their loops they would take a
/// minute to compile.
pub(super) trait BlocksOf: Simd {
    /// See [`blocks_of`].
    ///
    /// # Safety
    /// As for [`blocks_of`].
    unsafe fn blocks_of<const W: usize, const ACROSS: bool>(call: &Strips<'_>);
}

macro_rules! strips {
    ($simd:ty $(, $features:literal)?) => {
        impl BlocksOf for $simd {
            #[inline(never)]
            $(#[target_feature(enable = $features)])?
            unsafe fn blocks_of<const W: usize, const ACROSS: bool>(call: &Strips<'_>) {
                // SAFETY: the caller's promise.
                unsafe { blocks_of::<Self, W, ACROSS>(call) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
strips!(Avx512, "avx512f");
#[cfg(target_arch = "x86_64")]
strips!(Avx2, "avx2,fma");
#[cfg(target_arch = "aarch64")]
strips!(Neon, "neon");
strips!(Portable);

/// All rows of strips of `W` vectors, in blocks of about equal height: in a block of a few rows the
/// arithmetic units would wait for its sums.
///
/// # Safety
/// S's target features hold; the strips' rows and columns lie in A, B, C and, where k is in several parts,
/// whole vectors of them in `sums`, which hold the sums unless this is the first part. `W` vectors hold a strip's
/// columns, and fewer do not; `whole` rows of B may be read in as many. If there are several strips, all are of
/// whole vectors.
#[inline(always)]
unsafe fn blocks_of<S: Simd, const W: usize, const ACROSS: bool>(call: &Strips<'_>) {
    let &Strips {
        strips,
        rows,
        k,
        a,
        a_stride,
        packed,
        mut b,
        b_strip_stride,
        b_stride,
        whole,
        mut sums,
        sums_stride,
        first,
        last,
        mut c,
        c_stride,
        add,
        bias,
        column,
        width,
    } = call;
    let tail = width - (W - 1) * S::LANES;
    // A bias padded to whole vectors, and the sums that cannot be written to C directly.
    const { assert!(S::ACCUMULATORS * S::LANES <= MAX_BLOCK && S::STRIP_VECTORS * S::LANES <= MAX_BLOCK_WIDTH) };
    let (mut bias_row, mut tile) = (MaybeUninit::uninit(), MaybeUninit::<[f32; MAX_BLOCK]>::uninit());
    let bias = bias.map(|bias| &bias[column..column + strips * width]);
    let mut first_bias = match bias.filter(|_| add.is_none()) {
        None => std::ptr::null(),
        Some(bias) if tail == S::LANES => bias.as_ptr(),
        Some(bias) => {
            bias_row.write([0.0; MAX_BLOCK_WIDTH])[..width].copy_from_slice(bias);
            bias_row.as_ptr().cast()
        }
    };
    let last_bias = bias.filter(|_| add.is_some());
    let at_once = last && (S::FAST_MASKS || tail == S::LANES) && last_bias.is_none();
    let [min_height, taller_until] = heights::<S>(rows);
    for strip in 0..strips {
        let mut row = 0;
        while row < rows {
            let height = min_height + usize::from(row < taller_until);
            let sums = sums.wrapping_add(row * sums_stride);
            let c = c.wrapping_add(row * c_stride);
            let (start, start_stride) =
                if first { (first_bias, 0) } else { (sums.cast_const(), sums_stride) };
            let (to, to_stride) = match last {
                false => (sums, sums_stride),
                true if at_once => (c, c_stride),
                true => (tile.as_mut_ptr().cast(), W * S::LANES),
            };
            let (next, next_stride) = if last { (c, c_stride) } else { (sums, sums_stride) };
            let (a, a_stride) = match (packed, ACROSS) {
                (true, true) => (a.wrapping_add(row * k), height),
                (false, true) => (a.wrapping_add(row), a_stride),
                (_, false) => (a.wrapping_add(row.wrapping_mul(a_stride)), a_stride),
            };
            let call = Block {
                k,
                a,
                a_stride,
                b,
                b_stride,
                whole,
                tail,
                start,
                start_stride,
                to,
                to_stride,
                to_tail: if at_once { tail } else { S::LANES },
                add: add.filter(|_| at_once),
                next,
                next_stride,
            };
            macro_rules! blocks {
                ($($r:literal)*) => {
                    match height {
                        // SAFETY: the caller's promise; the block's rows are among the strip's. `first_bias`
                        // is null or a row of whole vectors. Where the sums are not written to C at once (a
                        // last vector in part without masks, or a bias after what C was), they go to `tile`,
                        // which holds any block; `add` is None then.
                        $($r if const { $r * S::STRIP_VECTORS <= S::ACCUMULATORS } => unsafe {
                            block::<S, $r, W, ACROSS>(&call)
                        },)*
                        _ => unreachable!("blocks have as many sums as registers hold"),
                    }
                };
            }
            blocks!(1 2 3 4 5 6 7 8 9 10 11 12);
            if last && !at_once {
                // SAFETY: the caller's promise; the block's sums are in `tile`, and the bias has `width` numbers.
                unsafe {
                    let bias = last_bias.map(|bias| &bias[strip * width..(strip + 1) * width]);
                    finish::<S>([height, width], tile.as_ptr().cast(), W * S::LANES, c, c_stride, add, bias)
                };
            }
            row += height;
        }
        (b, c, sums) = (b.wrapping_add(b_strip_stride), c.wrapping_add(width), sums.wrapping_add(width));
        if !first_bias.is_null() {
            first_bias = first_bias.wrapping_add(width);
        }
    }
}

/// The minimum height of the blocks that `rows` rows are divided into, and the row up to which blocks are one
/// row taller.
#[inline(always)]
pub(super) fn heights<S: Simd>(rows: usize) -> [usize; 2] {
    let most = S::ACCUMULATORS / S::STRIP_VECTORS;
    if rows <= most {
        return [rows, 0];
    }
    let blocks = rows.div_ceil(most);
    let min_height = rows / blocks;
    [min_height, (rows - min_height * blocks) * (min_height + 1)]
}
