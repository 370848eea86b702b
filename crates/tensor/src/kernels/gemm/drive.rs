//! The order in which a product's blocks are computed, and where their sums go.

use super::pack::{copy_rows, pack_a, pack_b, pack_b_across, vectors, whole_strips};
use super::packing::{MIN_ROWS, Packing};
use super::strips::{BlocksOf, Strips};
use crate::kernels::scratch::{LINE, Scratch};
use crate::kernels::simd::Simd;
use crate::kernels::{Epilogue, Gemm};

/// The largest part of k that is summed in one pass (BLIS's kc): a strip of B and the rows of A that it is multiplied
/// with fit into the L2 cache. Each further part is another pass over C.
const KC: usize = if cfg!(miri) { 4 } else { 512 };
/// The largest part if fewer than [`MIN_ROWS`] rows of C read an unpacked B, so that another pass over C is
/// cheap: with AVX2 a strip of B, 16 kB, then stays in the L1 cache.
const KC_OF_FEW_ROWS: usize = KC / 2;
/// The largest part if A is read across with vectors of at most 8 numbers: the cache lines of 6 of its rows, one for each
/// of its columns, then stay in the L1 cache for the next blocks, which read the numbers beside them. (With AVX-512 it was
/// not measured.)
const KC_ACROSS: usize = KC / 4;
/// The most rows of C that are computed at a time (BLIS's mc): their part of A fits into the L2 cache.
const MC: usize = if cfg!(miri) { 12 } else { 96 };

/// A matrix product; see [`Gemm`].
///
/// # Safety
/// S's target features hold.
#[inline(always)]
pub(super) unsafe fn gemm_on<S: BlocksOf>(
    call: &mut Gemm<'_, f32>,
    packing: Packing<'_>,
    scratch: &mut Scratch,
) {
    call.check();
    let &mut Gemm { m, n, k, a, a_strides, b, b_strides, ref mut c, c_stride, ref epilogue } = call;
    if m == 0 || n == 0 {
        return;
    }
    // Matched by reference: a copy would load as a whole what was just written in pieces, and stall on those
    // writes.
    let (add, bias) = match *epilogue {
        Epilogue::Set => (None, None),
        Epilogue::Bias(bias) => (None, Some(bias)),
        Epilogue::Add => (Some(1.0), None),
        Epilogue::AddBias(bias) => (Some(1.0), Some(bias)),
        Epilogue::AddScaled(scale) => (Some(scale), None),
    };
    // Blocks read B along its rows: a B with contiguous columns is transposed by packing.
    let b_across = b_strides[1] != 1;
    let packing = Packing { b: packing.b || b_across, ..packing };
    let packs_a = packing.a || (a_strides[0] != 1 && a_strides[1] != 1);
    let packs_b = packing.b && packing.prepacked_b.is_none();
    // A with contiguous rows is read along them.
    let a_across = a_strides[1] != 1;
    // A B that was packed beforehand lies in parts of `KC`.
    let most_k = if a_across && !packs_a && packing.prepacked_b.is_none() && S::LANES <= 8 {
        KC_ACROSS
    } else if packing.b || m >= MIN_ROWS {
        KC
    } else {
        KC_OF_FEW_ROWS
    };
    let [parts, kc, padded_n] = parts_of::<S>(k, n, most_k);
    let mc = even_piece(m, MC);
    // Packed rows are one cache line further apart than they are long, so that they do not collide in the cache.
    let packed_a_stride = kc + LINE;
    // Without adding to C, sums over earlier parts of k are kept in C itself, where whole vectors fit.
    let in_c = add.is_none();
    let sums_needed = parts > 1 && !(in_c && n % S::LANES == 0);
    let sizes = [
        if packs_b { padded_n * kc } else { 0 },
        if packs_a { mc * packed_a_stride } else { 0 },
        if sums_needed { m * padded_n } else { 0 },
    ];
    let [packed_b, packed_a, sums] = match sizes == [0; 3] {
        true => [std::ptr::null_mut(); 3],
        false => scratch.slices(sizes).map(<[f32]>::as_mut_ptr),
    };
    if let Some(prepacked_b) = packing.prepacked_b {
        assert!(packing.b && padded_n * k <= prepacked_b.len(), "the packed B is too short");
    }
    // SAFETY: the caller guarantees S's target features. `check` has shown that rows below `m` and `k` and
    // columns below `k` and `n` lie inside the slices (of A and B only if there are any: where k is 0 they
    // are not read, nor copied), and the slices of `scratch` are as long as what is written there: parts of k
    // and of m are at most `kc` and `mc` long, and `padded_n` columns are whole vectors. No length overflows: B
    // and C are in memory, and these are at most a vector longer for each row. Sums over earlier parts of k
    // were written by the part before.
    unsafe {
        for part in 0..parts {
            let (from, to) = ((part * kc).min(k), ((part + 1) * kc).min(k));
            let k = to - from;
            // Empty slices have no row to point to.
            let ([a, b], b_len) = if k == 0 {
                ([a.as_ptr(), b.as_ptr()], 0)
            } else {
                let (a, b) = (&a[from * a_strides[1]..], &b[from * b_strides[0]..]);
                ([a.as_ptr(), b.as_ptr()], b.len())
            };
            if packs_b && k > 0 {
                match b_across {
                    true => pack_b_across::<S>(b, b_strides[1], k, n, packed_b),
                    false => pack_b::<S>(b, b_strides[0], k, n, packed_b),
                }
            }
            for row in (0..m).step_by(mc) {
                let rows = mc.min(m - row);
                let a = a.wrapping_add(row.wrapping_mul(a_strides[0]));
                match (packs_a && k > 0, a_across) {
                    (false, _) => {}
                    (true, true) => pack_a::<S>(a, a_strides, [rows, k], packed_a),
                    (true, false) => copy_rows(a, a_strides[0], [rows, k], packed_a, packed_a_stride),
                }
                let mut column = 0;
                while column < n {
                    let vectors = vectors::<S>(n - column);
                    // Whole strips in a row are computed by one call.
                    let (strips, width) = match whole_strips::<S>(n - column) {
                        0 => (1, (n - column).min(vectors * S::LANES)),
                        strips => (strips, S::STRIP_VECTORS * S::LANES),
                    };
                    let first_b = match packing.prepacked_b {
                        Some(prepacked_b) => prepacked_b.as_ptr().add(from * padded_n + column * k),
                        None if packs_b => packed_b.add(column * k),
                        None => b.wrapping_add(column),
                    };
                    let b_stride = if packing.b { vectors * S::LANES } else { b_strides[0] };
                    // Rows of an unpacked B may be read beyond the strip's end as long as that is inside B.
                    let whole = match packing.b || width == vectors * S::LANES {
                        true => k,
                        false => b_len
                            .checked_sub(column + vectors * S::LANES)
                            .map_or(0, |after_first| after_first / b_strides[0] + 1),
                    };
                    let c = c.as_mut_ptr().add(row * c_stride + column);
                    let (sums, sums_stride) = match in_c && width == vectors * S::LANES || !sums_needed {
                        true => (c, c_stride),
                        false => (sums.add(row * padded_n + column), padded_n),
                    };
                    let call = Strips {
                        strips,
                        rows,
                        k,
                        a: if packs_a { packed_a } else { a },
                        a_stride: match (packs_a, a_across) {
                            (true, false) => packed_a_stride,
                            _ => a_strides[if a_across { 1 } else { 0 }],
                        },
                        packed: packs_a,
                        b: first_b,
                        b_strip_stride: if packing.b { k * b_stride } else { width },
                        b_stride,
                        whole,
                        sums,
                        sums_stride,
                        first: part == 0,
                        last: part + 1 == parts,
                        c,
                        c_stride,
                        add,
                        bias,
                        column,
                        width,
                    };
                    macro_rules! blocks {
                        ($($w:literal)*) => {
                            match (vectors, a_across) {
                                $(($w, false) if const { $w <= S::STRIP_VECTORS } => {
                                    S::blocks_of::<$w, false>(&call)
                                }
                                ($w, true) if const { $w <= S::STRIP_VECTORS } => {
                                    S::blocks_of::<$w, true>(&call)
                                })*
                                _ => unreachable!("strips have at most three vectors"),
                            }
                        };
                    }
                    blocks!(1 2 3);
                    column += strips * width;
                }
            }
        }
    }
}

/// The number of parts of at most `most` that k is divided into, the length of the first, which is the longest,
/// and n rounded up to whole vectors.
#[inline(always)]
fn parts_of<S: Simd>(k: usize, n: usize, most: usize) -> [usize; 3] {
    let parts = k.div_ceil(most).max(1);
    [parts, even_piece(k, most), n.div_ceil(S::LANES) * S::LANES]
}

/// Packs all of B, whose rows are contiguous, part after part of k.
///
/// # Safety
/// S's target features hold.
#[inline(always)]
pub(super) unsafe fn pack_on<S: Simd>(b: &[f32], n: usize, to: &mut [f32]) {
    let k = b.len().checked_div(n).unwrap_or(0);
    let [_, kc, padded_n] = parts_of::<S>(k, n, KC);
    assert!(padded_n * k <= to.len(), "too short for the packed B");
    for from in (0..k).step_by(kc.max(1)) {
        // SAFETY: the caller guarantees S's target features; the part's rows lie in `b`, and as many whole
        // vectors fit into `to`.
        unsafe {
            let to = to.as_mut_ptr().add(from * padded_n);
            pack_b::<S>(b.as_ptr().add(from * n), n, kc.min(k - from), n, to);
        }
    }
}

/// The size of the first of several nearly equal pieces of `left`, each at most `most`.
#[inline(always)]
fn even_piece(left: usize, most: usize) -> usize {
    // Without a division if possible: it takes as long as a small block.
    if left <= most { left } else { left.div_ceil(left.div_ceil(most)) }
}
