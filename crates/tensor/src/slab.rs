use crate::Element;

/// Growing memory for numbers; every piece handed out starts on a cache line.
///
/// Memory is asked for without an alignment, and begins at the first cache line in it: what was freed fits again when
/// as much is asked for, which it does not where an allocator looks for more to align in; and zeros cost nothing before
/// they are used.
pub(crate) struct Slab<E> {
    /// What was asked for.
    memory: Vec<u128>,
    /// How much of `memory` comes before the first cache line.
    skipped: usize,
    /// How many cache lines are there, and how many were asked for.
    made: usize,
    planned: usize,
    numbers: std::marker::PhantomData<E>,
}

/// How much of it is a cache line.
const LINE: usize = 64 / size_of::<u128>();

impl<E> Slab<E> {
    pub fn new() -> Self {
        Self { memory: Vec::new(), skipped: 0, made: 0, planned: 0, numbers: std::marker::PhantomData }
    }

    /// Makes the room that was planned, and no more.
    pub fn make(&mut self) {
        self.make_of(self.planned);
    }

    /// Makes the room that was planned; if new memory is needed for it, so many cache lines.
    fn make_of(&mut self, lines: usize) {
        if self.skipped + self.planned * LINE > self.memory.len() {
            let old = std::mem::replace(&mut self.memory, vec![0; lines * LINE + LINE - 1]);
            let used = self.skipped..self.skipped + self.made * LINE;
            self.skipped = self.memory.as_ptr().addr().wrapping_neg() % 64 / size_of::<u128>();
            self.memory[self.skipped..][..used.len()].copy_from_slice(&old[used]);
        }
        self.made = self.planned;
    }

    /// As long as `other`, with zeros where it is longer.
    pub fn match_len(&mut self, other: &Self) {
        self.planned = other.planned;
        self.make();
    }
}

impl<E: Element> Slab<E> {
    const PER_LINE: usize = 64 / size_of::<E>();

    /// Makes room for `len` more numbers, all zero, and returns where they start.
    pub fn grow(&mut self, len: usize) -> usize {
        let start = self.plan(len);
        // Twice as much at a time, so that many small pieces cost few copies; what is not used yet is not touched.
        self.make_of(self.planned.max(2 * self.made));
        start
    }

    /// As [`Slab::grow`], but the room is made later, by [`Slab::make`]: once for all that was planned, without copies.
    pub fn plan(&mut self, len: usize) -> usize {
        let start = self.planned;
        self.planned += len.div_ceil(Self::PER_LINE);
        start * Self::PER_LINE
    }

    pub fn all(&self) -> &[E] {
        bytemuck::cast_slice(&self.memory[self.skipped..][..self.made * LINE])
    }

    pub fn all_mut(&mut self) -> &mut [E] {
        bytemuck::cast_slice_mut(&mut self.memory[self.skipped..][..self.made * LINE])
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
        let of_self = &self.memory[self.skipped..][..self.made * LINE];
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
            let start = if len % 3 == 0 { slab.plan(len) } else { slab.grow(len) };
            slab.make();
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
    fn what_is_planned_is_made_at_once() {
        let (mut planned, mut like) = (Slab::<f64>::new(), Slab::new());
        assert_eq!([planned.plan(3), planned.plan(20), planned.plan(0), planned.plan(1)], [0, 8, 32, 32]);
        assert!(planned.all().is_empty());
        planned.make();
        like.match_len(&planned);
        assert_eq!([planned.all().len(), like.all().len(), planned.memory.len()], [40, 40, 5 * 4 + 3]);
    }
}
