//! Which operands of a product are packed.

use crate::kernels::{Gemm, Isa};

/// Which operands are packed.
#[derive(Clone, Copy)]
pub(super) struct Packing<'a> {
    pub a: bool,
    pub b: bool,
    /// B packed beforehand; only if `b` is true.
    pub prepacked_b: Option<&'a [f32]>,
}

/// The fewest elements of an operand that is packed: a smaller one is soon in the L1 cache whatever its layout.
const MIN_ELEMENTS: usize = 128 * 128;
/// The fewest rows of C for which B is packed.
pub(super) const MIN_ROWS: usize = 48;
/// The same with AVX-512: a block does 24 multiply-adds per three vectors of B, during which these come from
/// the L2 cache.
const MIN_ROWS_AVX512: usize = 256;

/// From these strides on, rows of A, or columns of A read across, collide in the caches and are on a page
/// each: A is packed if C has at least `MIN_COLUMNS` columns.
const FAR_ROW_STRIDE: usize = 512;
const FAR_COLUMN_STRIDE: usize = 352;
const MIN_COLUMNS: usize = 256;
/// Columns of A a multiple of this apart fall into one set of the L1 cache: packing A pays from fewer columns of
/// C on.
const CACHE_SET_STRIDE: usize = 1024;
const MIN_COLUMNS_IN_ONE_SET: usize = 128;

/// Which operands are worth packing for these sizes. With AVX-512 an A that is read across is not
/// packed, since each number read is used in 48 products, not in 16.
pub(super) fn packing(isa: Isa, call: &Gemm<'_, f32>) -> Packing<'static> {
    let &Gemm { m, n, k, a_strides: [row, column], .. } = call;
    let is_avx512 = isa == Isa::Avx512;
    let is_far = if column == 1 { row >= FAR_ROW_STRIDE } else { !is_avx512 && column >= FAR_COLUMN_STRIDE };
    let min_columns =
        if column.is_multiple_of(CACHE_SET_STRIDE) { MIN_COLUMNS_IN_ONE_SET } else { MIN_COLUMNS };
    let min_rows = if is_avx512 { MIN_ROWS_AVX512 } else { MIN_ROWS };
    Packing {
        a: is_far && n >= min_columns && m * k >= MIN_ELEMENTS,
        b: m >= min_rows && n * k >= MIN_ELEMENTS,
        prepacked_b: None,
    }
}
