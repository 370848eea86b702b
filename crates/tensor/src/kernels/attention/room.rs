//! A thread's memory for intermediate results.

use crate::slab::Slab;
use std::cell::RefCell;

thread_local! {
    static ROOM: RefCell<Slab<f32>> = RefCell::new(Slab::new());
}

/// Calls `f` with slices of the given sizes and arbitrary contents. The memory grows to the most that was
/// needed so far, and is kept from call to call.
pub(super) fn with_room<const N: usize, T>(sizes: [usize; N], f: impl FnOnce([&mut [f32]; N]) -> T) -> T {
    // Each slice begins on a cache line.
    let sizes = sizes.map(|size| size.next_multiple_of(16));
    let all = sizes.iter().sum();
    ROOM.with_borrow_mut(|room| {
        let has = room.all().len();
        if has < all {
            room.grow(all - has);
        }
        let mut rest = room.all_mut();
        f(sizes.map(|size| {
            let (piece, after) = std::mem::take(&mut rest).split_at_mut(size);
            rest = after;
            piece
        }))
    })
}
