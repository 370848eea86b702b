use crate::Element;

/// One cache line of bytes, so that every tensor starts on one.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Growing memory for numbers; every piece handed out starts on a cache line.
#[derive(Clone, Default)]
pub(crate) struct Slab<E> {
    lines: Vec<Line>,
    numbers: std::marker::PhantomData<E>,
}

impl<E: Element> Slab<E> {
    const PER_LINE: usize = 64 / size_of::<E>();

    pub fn new() -> Self {
        Self { lines: Vec::new(), numbers: std::marker::PhantomData }
    }

    /// Makes room for `len` more numbers, all zero, and returns where they start.
    pub fn grow(&mut self, len: usize) -> usize {
        let start = self.lines.len();
        let zero = bytemuck::Zeroable::zeroed();
        self.lines.resize(start + len.div_ceil(Self::PER_LINE), zero);
        start * Self::PER_LINE
    }

    /// As long as `other`, with zeros where it is longer.
    pub fn match_len(&mut self, other: &Slab<E>) {
        self.lines.resize(other.lines.len(), bytemuck::Zeroable::zeroed());
    }

    pub fn all(&self) -> &[E] {
        bytemuck::cast_slice(&self.lines)
    }

    pub fn all_mut(&mut self) -> &mut [E] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }
}
