//! Memory for intermediate results of kernels.

use crate::slab::Slab;

/// Numbers in a cache line.
pub(super) const LINE: usize = 16;

/// A thread's memory for intermediate results: it grows to the most that a kernel has needed so far.
///
/// Kernels that call each other have one each: attention and sums in halves call the matrix product, which
/// packs its operands.
pub(super) struct Scratch(Slab<f32>);

impl Scratch {
    pub const fn new() -> Self {
        Self(Slab::new())
    }

    /// Slices of these lengths, each from a cache line on, with arbitrary contents.
    pub fn slices<const N: usize>(&mut self, lens: [usize; N]) -> [&mut [f32]; N] {
        let needed: usize = lens.iter().map(|len| len.next_multiple_of(LINE)).sum();
        let present = self.0.all().len();
        if present < needed {
            self.0.grow(needed - present);
        }
        let mut rest = self.0.all_mut();
        lens.map(|len| {
            let (slice, after) = std::mem::take(&mut rest).split_at_mut(len.next_multiple_of(LINE));
            rest = after;
            &mut slice[..len]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn slices_begin_on_cache_lines_and_do_not_overlap() {
        let mut scratch = Scratch::new();
        for lens in [[3, 0, 40], [100, 17, 1], [0; 3]] {
            let slices = scratch.slices(lens);
            assert_eq!(slices.each_ref().map(|slice| slice.len()), lens);
            assert!(slices.iter().all(|slice| slice.as_ptr().addr().is_multiple_of(64)));
            for (i, slice) in (0..).zip(slices) {
                slice.fill(i as f32);
            }
            let slices = scratch.slices(lens);
            assert!((0..).zip(&slices).all(|(i, slice)| slice.iter().all(|&x| x == i as f32)));
        }
    }
}
