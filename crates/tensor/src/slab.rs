use crate::Element;

/// Growing memory for numbers; every piece handed out starts on a cache line.
///
/// Memory is allocated without an alignment, and used from the first cache line in it: so freed memory can be
/// reused for an allocation of the same size, which over-aligned allocations may prevent, and zeroed pages
/// cost nothing before they are used.
pub(crate) struct Slab<E> {
    /// The whole allocation.
    memory: Vec<u128>,
    /// How many elements of `memory` come before the first cache line.
    skipped: usize,
    /// How many cache lines are allocated, and how many are reserved (at least as many).
    allocated: usize,
    reserved: usize,
    numbers: std::marker::PhantomData<E>,
}

/// Elements of `memory` in a cache line.
const LINE: usize = 64 / size_of::<u128>();

impl<E> Slab<E> {
    pub const fn new() -> Self {
        Self { memory: Vec::new(), skipped: 0, allocated: 0, reserved: 0, numbers: std::marker::PhantomData }
    }

    /// Allocates the memory that was reserved, and no more.
    pub fn allocate(&mut self) {
        self.allocate_lines(self.reserved);
    }

    /// Allocates the memory that was reserved; if the present allocation is too small, a new one of `lines` cache
    /// lines.
    fn allocate_lines(&mut self, lines: usize) {
        if self.skipped + self.reserved * LINE > self.memory.len() {
            let old = std::mem::replace(&mut self.memory, vec![0; lines * LINE + LINE - 1]);
            let used = self.skipped..self.skipped + self.allocated * LINE;
            self.skipped = self.memory.as_ptr().addr().wrapping_neg() % 64 / size_of::<u128>();
            self.memory[self.skipped..][..used.len()].copy_from_slice(&old[used]);
        }
        self.allocated = self.reserved;
    }

    /// Takes the length of `other`; new elements are zero.
    pub fn match_len(&mut self, other: &Self) {
        self.reserved = other.reserved;
        self.allocate();
    }
}

impl<E: Element> Slab<E> {
    const PER_LINE: usize = 64 / size_of::<E>();

    /// Adds memory for `len` more numbers, all zero, and returns where they start.
    pub fn grow(&mut self, len: usize) -> usize {
        let start = self.reserve(len);
        // Doubles, so that many small pieces cost few copies; memory that is not reserved is not touched.
        self.allocate_lines(self.reserved.max(2 * self.allocated));
        start
    }

    /// As [`Slab::grow`], but the memory is allocated later, by [`Slab::allocate`]: once for all pieces,
    /// without copies.
    pub fn reserve(&mut self, len: usize) -> usize {
        let start = self.reserved;
        self.reserved += len.div_ceil(Self::PER_LINE);
        start * Self::PER_LINE
    }

    pub fn all(&self) -> &[E] {
        bytemuck::cast_slice(&self.memory[self.skipped..][..self.allocated * LINE])
    }

    pub fn all_mut(&mut self) -> &mut [E] {
        bytemuck::cast_slice_mut(&mut self.memory[self.skipped..][..self.allocated * LINE])
    }
}

impl<E> Default for Slab<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Clone for Slab<E> {
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        copy.match_len(self);
        let of_self = &self.memory[self.skipped..][..self.allocated * LINE];
        copy.memory[copy.skipped..][..of_self.len()].copy_from_slice(of_self);
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_on_lines(slab: &Slab<f32>) -> bool {
        slab.all().as_ptr().addr().is_multiple_of(64)
    }

    #[test]
    fn pieces_begin_on_cache_lines_and_keep_their_numbers_as_it_grows() {
        let mut slab = Slab::<f32>::new();
        let mut starts = Vec::new();
        for len in 1..200 {
            let start = if len % 3 == 0 { slab.reserve(len) } else { slab.grow(len) };
            slab.allocate();
            assert!(is_on_lines(&slab) && start % 16 == 0);
            assert_eq!(slab.all()[start..], vec![0.0; len.next_multiple_of(16)]);
            slab.all_mut()[start..][..len].fill(len as f32);
            starts.push(start);
        }
        let copy = slab.clone();
        for (len, &start) in (1..).zip(&starts) {
            assert_eq!(slab.all()[start..][..len], vec![len as f32; len]);
        }
        assert_eq!(copy.all(), slab.all());
        assert!(is_on_lines(&copy));
    }

    #[test]
    fn what_is_reserved_is_allocated_at_once() {
        let (mut reserved, mut like) = (Slab::<f64>::new(), Slab::new());
        assert_eq!(
            [reserved.reserve(3), reserved.reserve(20), reserved.reserve(0), reserved.reserve(1)],
            [0, 8, 32, 32]
        );
        assert!(reserved.all().is_empty());
        reserved.allocate();
        like.match_len(&reserved);
        assert_eq!([reserved.all().len(), like.all().len(), reserved.memory.len()], [40, 40, 5 * 4 + 3]);
    }
}
