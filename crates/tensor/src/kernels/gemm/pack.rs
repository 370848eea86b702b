//! Copies of operands in the order in which blocks read them.

use crate::kernels::simd::Simd;
use std::cell::RefCell;

/// A cache line: packed vectors begin with one, so that no load touches two.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "reached through pointers")] [f32; LINE]);

const LINE: usize = 16;

/// A thread's memory for packed operands, which grows to the largest that were needed.
#[derive(Default)]
pub(super) struct Room {
    lines: Vec<Line>,
}

impl Room {
    /// Places for three times so many numbers, in which anything may be.
    pub fn parts(&mut self, sizes: [usize; 3]) -> [*mut f32; 3] {
        let lines = sizes.map(|size| size.div_ceil(LINE));
        let all = lines.iter().sum();
        if self.lines.len() < all {
            self.lines.resize(all, Line([0.0; LINE]));
        }
        let start = self.lines.as_mut_ptr();
        let mut at = 0;
        lines.map(|lines| {
            let part = start.wrapping_add(at).cast();
            at += lines;
            part
        })
    }
}

thread_local! {
    static ROOM: RefCell<Room> = const { RefCell::new(Room { lines: Vec::new() }) };
}

/// Calls `f` with this thread's room.
pub(super) fn with_room<T>(f: impl FnOnce(&mut Room) -> T) -> T {
    ROOM.with_borrow_mut(f)
}

/// Strips side by side that are packed at a time: so few that their last lines stay in the cache.
const STRIPS: usize = 8;

/// How many vectors the next strip of columns has, of which C's last `columns` are left.
#[inline(always)]
pub(super) fn vectors<S: Simd>(columns: usize) -> usize {
    let left = columns.div_ceil(S::LANES);
    // One more than a strip holds are two of about half: a narrow strip leaves the units waiting.
    if left == S::WIDE + 1 && S::WIDE > 2 { left.div_ceil(2) } else { left.min(S::WIDE) }
}

/// Packs `k` rows of B, `n` columns wide, strip by strip: each strip's rows one after another, the last vector filled up
/// with zeros.
///
/// # Safety
/// S's target features hold; the rows, `stride` apart, lie at `from`, and `k` times as many whole vectors fit at `to`.
#[inline(always)]
pub(super) unsafe fn pack_b<S: Simd>(from: *const f32, stride: usize, k: usize, n: usize, to: *mut f32) {
    let mut first = 0;
    while first < n {
        let mut end = first;
        for l in 0..k {
            let mut column = first;
            for _ in 0..STRIPS {
                if column >= n {
                    break;
                }
                let wide = vectors::<S>(n - column);
                for v in 0..wide {
                    let at = column + v * S::LANES;
                    // SAFETY: the vector begins below `n`, since strips have no vectors beyond the last column; the strip's
                    // rows are as long as its vectors.
                    unsafe {
                        let from = from.add(l * stride + at);
                        let x = if n - at < S::LANES { S::load_head(from, n - at) } else { S::load(from) };
                        S::store(to.add(column * k + (l * wide + v) * S::LANES), x);
                    }
                }
                column += wide * S::LANES;
            }
            end = column;
        }
        first = end;
    }
}

/// Packs `k` columns of `rows` rows of A, of which those of a column lie side by side: `rows` numbers of each column.
///
/// # Safety
/// S's target features hold; the columns, `stride` apart, lie at `from`, and all numbers and a vector fit at `to`.
#[inline(always)]
pub(super) unsafe fn pack_a<S: Simd>(from: *const f32, stride: usize, k: usize, rows: usize, to: *mut f32) {
    for l in 0..k {
        let mut at = 0;
        while at < rows {
            let n = (rows - at).min(S::LANES);
            // SAFETY: the caller's promise. What is written beyond the rows is overwritten by the next column, or is in the
            // vector at the end.
            unsafe {
                let from = from.add(l * stride + at);
                // One can read whole vectors but at the end of the last column.
                let x = if n < S::LANES { S::load_head(from, n) } else { S::load(from) };
                S::store(to.add(l * rows + at), x);
            }
            at += n;
        }
    }
}
