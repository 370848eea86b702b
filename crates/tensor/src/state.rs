use crate::shape::for_each;
use crate::{Element, Layout, Shape, Tape};

/// Whether a kept tensor is trained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Trained by gradients.
    Parameter,
    /// Kept beside them, such as running statistics.
    Buffer,
}

/// A named tensor of a tape's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its path, such as `layers.0.weight`.
    pub name: String,
    /// Whether it is trained.
    pub kind: Kind,
    /// Its sizes.
    pub shape: Shape,
    /// Where it lies in its slab.
    pub layout: Layout,
}

impl Entry {
    /// The elements, in row-major order, of this tensor in a slab laid out as its own: gradients, moments.
    pub fn read<E: Element>(&self, slab: &[E]) -> Vec<E> {
        gather(slab, &self.shape, &self.layout)
    }

    /// Puts elements in row-major order to this tensor's places in such a slab.
    ///
    /// # Panics
    /// If their number is not the tensor's.
    pub fn write<E: Element>(&self, data: &[E], slab: &mut [E]) {
        scatter(data, &self.shape, &self.layout, slab);
    }
}

impl<E: Element> Tape<E> {
    /// The kept tensors, in the order they were made.
    pub fn entries(&self) -> Vec<Entry> {
        self.inner.borrow().entries.clone()
    }

    /// How many numbers are trained.
    pub fn parameter_count(&self) -> usize {
        let inner = self.inner.borrow();
        inner.entries.iter().filter(|e| e.kind == Kind::Parameter).map(|e| e.shape.len()).sum()
    }

    /// A kept tensor's elements in row-major order.
    pub fn read_entry(&self, entry: &Entry) -> Vec<E> {
        let inner = self.inner.borrow();
        let memory = match entry.kind {
            Kind::Parameter => inner.params.all(),
            Kind::Buffer => inner.world.buffers.all(),
        };
        gather(memory, &entry.shape, &entry.layout)
    }

    /// Overwrites a kept tensor with elements in row-major order.
    ///
    /// # Panics
    /// If their number is not the tensor's.
    pub fn write_entry(&self, entry: &Entry, data: &[E]) {
        let inner = &mut *self.inner.borrow_mut();
        let memory = match entry.kind {
            Kind::Parameter => inner.params.all_mut(),
            Kind::Buffer => inner.world.buffers.all_mut(),
        };
        scatter(data, &entry.shape, &entry.layout, memory);
    }
}

/// The elements of a tensor in row-major order.
pub(crate) fn gather<E: Element>(memory: &[E], shape: &Shape, layout: &Layout) -> Vec<E> {
    let mut out = Vec::with_capacity(shape.len());
    for_each(shape, [layout.strides], |[at]| out.push(memory[layout.offset + at]));
    out
}

/// Puts elements in row-major order to their places.
pub(crate) fn scatter<E: Element>(data: &[E], shape: &Shape, layout: &Layout, memory: &mut [E]) {
    assert_eq!(data.len(), shape.len(), "a tensor of shape {shape:?} has {} elements", shape.len());
    let mut data = data.iter();
    for_each(shape, [layout.strides], |[at]| {
        memory[layout.offset + at] = *data.next().expect("counted above")
    });
}
