//! The order in which a product's blocks are computed, and which operands are packed.

use super::block::{Block, block, finish};
use super::pack::{Room, pack_a, pack_b, vectors};
use crate::kernels::simd::Simd;
use crate::kernels::{End, Gemm};
use std::mem::MaybeUninit;

/// The longest part of k that is summed in one go: a strip of B, and the rows of A that meet it, fit the first-level cache.
const PART: usize = 384;
/// How many rows of C are computed at a time: their part of A fits the second-level cache.
const ROWS: usize = 96;

/// Which operands are packed.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    pub a: bool,
    pub b: bool,
    /// B packed beforehand.
    pub ready: Option<&'a [f32]>,
}

/// The fewest rows or columns that read a packed operand often enough to pay for the packing.
const OFTEN: usize = 48;
/// The smallest operand that is packed: the first-level cache has a smaller one soon, however it lies.
const LARGE: usize = 128 * 128;

/// What pays for these sizes. Rows of A whose numbers lie side by side are read as they are: each is read in one direction.
pub(super) fn packing(call: &Gemm<'_, f32>) -> Packed<'static> {
    let &Gemm { m, n, k, a_strides: [_, column], .. } = call;
    Packed { a: column != 1 && n >= OFTEN && m * k >= LARGE, b: m >= OFTEN && n * k >= LARGE, ready: None }
}

/// The most numbers of a block, and of a row of one.
const BLOCK: usize = 24 * 16;
const ROW: usize = 3 * 16;

/// A matrix product; see [`Gemm`].
///
/// # Safety
/// S's target features hold.
#[inline(always)]
pub(super) unsafe fn gemm_on<S: Simd>(call: Gemm<'_, f32>, packed: Packed<'_>, room: &mut Room) {
    call.check();
    let Gemm { m, n, k, a, a_strides, b, b_stride, c, c_stride, end } = call;
    if m == 0 || n == 0 {
        return;
    }
    let [parts, longest, wide] = parts_of::<S>(k, n);
    let rows = m.div_ceil(m.div_ceil(ROWS));
    let sizes = [
        if packed.b && packed.ready.is_none() { wide * k } else { 0 },
        if packed.a { rows * longest + S::LANES } else { 0 },
        if parts > 1 { rows * wide } else { 0 },
    ];
    let [b_room, a_room, sums] = if sizes == [0; 3] { [std::ptr::null_mut(); 3] } else { room.parts(sizes) };
    let b_packed = packed.ready.map_or(b_room as *const f32, |ready| {
        assert!(wide * k <= ready.len(), "the packed B is too short");
        ready.as_ptr()
    });
    // SAFETY: the caller guarantees S's target features. `check` has shown that rows below `m` and `k` and columns below
    // `k` and `n` lie inside the slices, and the rooms are as large as what is written there: parts of k and rows are no
    // longer than `longest` and `rows`, and `wide` columns are whole vectors.
    unsafe {
        if packed.b && packed.ready.is_none() {
            pack_parts::<S>(b, b_stride, k, n, b_room);
        }
        let mut row = 0;
        while row < m {
            let rows = rows.min(m - row);
            for part in 0..parts {
                let (from, to) = ((part * longest).min(k), ((part + 1) * longest).min(k));
                let k = to - from;
                // Of an empty slice there is no row to point at.
                let a = if k == 0 {
                    a.as_ptr()
                } else {
                    a.as_ptr().add(row * a_strides[0] + from * a_strides[1])
                };
                if packed.a {
                    let mut at = 0;
                    while at < rows {
                        let high = even(rows - at, S::SUMS);
                        pack_a::<S>(a.add(at * a_strides[0]), a_strides[1], k, high, a_room.add(at * k));
                        at += high;
                    }
                }
                let mut column = 0;
                while column < n {
                    let vectors = vectors::<S>(n - column);
                    let width = (n - column).min(vectors * S::LANES);
                    let (b, b_stride) = match packed.b {
                        true => (b_packed.add(from * wide + column * k), vectors * S::LANES),
                        false if k == 0 => (b.as_ptr(), b_stride),
                        false => (b.as_ptr().add(from * b_stride + column), b_stride),
                    };
                    let strip = Strip {
                        rows,
                        k,
                        a,
                        a_strides,
                        a_packed: packed.a.then_some(a_room),
                        b,
                        b_stride,
                        sums: if parts > 1 { sums.add(column) } else { sums },
                        sums_stride: wide,
                        first: part == 0,
                        last: part + 1 == parts,
                        c: c.as_mut_ptr().add(row * c_stride + column),
                        c_stride,
                        end,
                        column,
                        width,
                    };
                    let masked = !packed.b && width < vectors * S::LANES;
                    macro_rules! blocks {
                        ($($w:literal)*) => {
                            match (vectors, masked) {
                                $(($w, false) if const { $w <= S::WIDE } => blocks_of::<S, $w, false>(strip),
                                ($w, true) if const { $w <= S::WIDE } => blocks_of::<S, $w, true>(strip),)*
                                _ => unreachable!("strips have at most three vectors"),
                            }
                        };
                    }
                    blocks!(1 2 3);
                    column += width;
                }
            }
            row += rows;
        }
    }
}

/// In how many parts k is summed, how long the longest is, and how wide n columns are in whole vectors.
#[inline(always)]
fn parts_of<S: Simd>(k: usize, n: usize) -> [usize; 3] {
    let parts = k.div_ceil(PART).max(1);
    [parts, k.div_ceil(parts), n.div_ceil(S::LANES) * S::LANES]
}

/// Packs B, part after part of k.
///
/// # Safety
/// S's target features hold; `k` rows of `n` lie in `b`, and `k` times as many whole vectors fit at `to`.
#[inline(always)]
unsafe fn pack_parts<S: Simd>(b: &[f32], stride: usize, k: usize, n: usize, to: *mut f32) {
    let [_, longest, wide] = parts_of::<S>(k, n);
    for from in (0..k).step_by(longest.max(1)) {
        // SAFETY: the caller's promise.
        unsafe {
            pack_b::<S>(b.as_ptr().add(from * stride), stride, longest.min(k - from), n, to.add(from * wide));
        }
    }
}

/// Packs all of B, whose rows lie one after another.
///
/// # Safety
/// S's target features hold.
#[inline(always)]
pub(super) unsafe fn pack_on<S: Simd>(b: &[f32], n: usize, to: &mut [f32]) {
    let k = b.len() / n;
    assert!(parts_of::<S>(k, n)[2] * k <= to.len(), "no room for the packed B");
    // SAFETY: the caller guarantees S's target features; the rows lie in `b`, and there is room for whole vectors.
    unsafe { pack_parts::<S>(b, n, k, n, to.as_mut_ptr()) }
}

/// Some rows of a strip of columns.
struct Strip<'a> {
    rows: usize,
    k: usize,
    a: *const f32,
    a_strides: [usize; 2],
    /// Where the rows of A are packed, if they are.
    a_packed: Option<*mut f32>,
    b: *const f32,
    b_stride: usize,
    /// Where the sums over earlier parts of k are, in whole vectors; not looked at where k is in one part.
    sums: *mut f32,
    sums_stride: usize,
    /// Whether this is k's first part.
    first: bool,
    /// Whether this is k's last part.
    last: bool,
    c: *mut f32,
    c_stride: usize,
    end: End<'a, f32>,
    column: usize,
    width: usize,
}

/// All rows of a strip that is `W` vectors wide, in blocks of about equal height: a block of a few rows would leave the units
/// waiting for its sums.
///
/// # Safety
/// S's target features hold; the strip's rows and columns lie in A, B, C and `sums`.
#[inline(always)]
unsafe fn blocks_of<S: Simd, const W: usize, const MASKED: bool>(strip: Strip<'_>) {
    let Strip {
        rows,
        k,
        a,
        a_strides,
        b,
        b_stride,
        sums,
        sums_stride,
        first,
        last,
        c,
        c_stride,
        end,
        column,
        width,
        ..
    } = strip;
    let tail = width - (W - 1) * S::LANES;
    // Whole vectors of the bias, and room for sums that are not C yet.
    let (mut bias_row, mut tile) = (MaybeUninit::uninit(), MaybeUninit::<[f32; BLOCK]>::uninit());
    if let End::Bias(bias) = end {
        bias_row.write([0.0; ROW])[..width].copy_from_slice(&bias[column..column + width]);
    }
    let at_once = last && tail == S::LANES && matches!(end, End::Set | End::Bias(_));
    let mut row = 0;
    while row < rows {
        // A group is what A is packed in.
        let group = even(rows - row, S::SUMS);
        let (group_a, group_strides) = match strip.a_packed {
            Some(packed) => (packed.wrapping_add(row * k) as *const f32, [1, group]),
            None => (a.wrapping_add(row * a_strides[0]), a_strides),
        };
        let mut done = 0;
        while done < group {
            let high = even(group - done, (S::SUMS / W).min(HIGHEST));
            let sums = sums.wrapping_add((row + done) * sums_stride);
            let c = c.wrapping_add((row + done) * c_stride);
            let (start, start_stride) = match (first, end) {
                (false, _) => (sums as *const f32, sums_stride),
                (true, End::Bias(_)) => (bias_row.as_ptr().cast(), 0),
                (true, _) => (std::ptr::null(), 0),
            };
            let (to, to_stride) = match last {
                false => (sums, sums_stride),
                true if at_once => (c, c_stride),
                true => (tile.as_mut_ptr().cast(), W * S::LANES),
            };
            let a = group_a.wrapping_add(done * group_strides[0]);
            let a_strides = group_strides;
            let call = Block { k, a, a_strides, b, b_stride, tail, start, start_stride, to, to_stride };
            macro_rules! blocks {
                ($($r:literal)*) => {
                    match high {
                        // SAFETY: the caller's promise; the block's rows are among the strip's. Where C's columns are not
                        // whole vectors, the sums go to `tile`, which holds any block; `bias_row` holds any row of one.
                        $($r if const { $r * W <= S::SUMS } => unsafe { block::<S, $r, W, MASKED>(&call) },)*
                        _ => unreachable!("blocks have as many sums as registers hold"),
                    }
                };
            }
            blocks!(1 2 3 4 5 6 7 8 9 10 11 12);
            if last && !at_once {
                // SAFETY: the caller's promise; the block's sums are in `tile`.
                unsafe {
                    finish::<S>([high, width], tile.as_ptr().cast(), W * S::LANES, c, c_stride, end, column)
                };
            }
            done += high;
        }
        row += group;
    }
}

/// The most rows of a block.
const HIGHEST: usize = 12;

/// The size of the next of several about equal pieces, of at most `most`, of what is `left`.
fn even(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most))
}
