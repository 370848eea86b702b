//! Named tensors that outlive a computation: parameters, their gradients, and buffers.

use crate::shape::for_each;
use crate::slab::Slab;
use crate::{Element, Layout, Shape};

/// The role of a named tensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Trained by gradients.
    Parameter,
    /// As `Parameter`, and the weight of a linear or recurrent layer, (out, in).
    Weight,
    /// Not trained, such as running statistics.
    Buffer,
}

/// A named tensor of [`Params`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its path, such as `layers.0.weight`.
    pub name: String,
    /// Its role.
    pub kind: Kind,
    /// Its shape.
    pub shape: Shape,
    /// Where it lies in the slab of its kind.
    pub layout: Layout,
}

impl Entry {
    /// Reads this tensor's elements, in row-major order, from a slab with the layout of its own: gradients,
    /// moments.
    pub fn read<E: Element>(&self, slab: &[E]) -> Vec<E> {
        gather(slab, &self.shape, &self.layout)
    }

    /// Writes elements in row-major order to this tensor's range of such a slab.
    ///
    /// # Panics
    /// If their number is not the tensor's.
    pub fn write<E: Element>(&self, data: &[E], slab: &mut [E]) {
        scatter(data, &self.shape, &self.layout, slab);
    }

    /// Whether it is trained by gradients.
    pub fn is_trained(&self) -> bool {
        self.kind != Kind::Buffer
    }

    /// Whether a matrix lies in memory column by column.
    pub fn is_by_columns(&self) -> bool {
        self.kind == Kind::Weight && self.layout.strides[..2] == [1, self.shape.dims()[0]]
    }

    /// Where its elements lie in its slab; nothing else lies between them.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.layout.offset..self.layout.offset + self.shape.len()
    }
}

/// The handle of a named tensor: its index, and a fingerprint of all tensors up to it.
///
/// It is valid for the [`Params`] it came from, for copies of them, and for others with the same tensors;
/// elsewhere it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct ParamId {
    pub(crate) index: usize,
    fingerprint: u64,
}

impl ParamId {
    /// The handle of no tensor, for a layer whose tensors are only listed; refused by all parameters.
    pub fn placeholder() -> Self {
        Self { index: usize::MAX, fingerprint: 0 }
    }
}

/// Named tensors: the parameters in one slab, the buffers in another.
///
/// They do not depend on the computations that use them, so threads, recordings and models can share them.
///
/// ```
/// use charloom_tensor::Params;
///
/// let mut params = Params::<f32>::new();
/// let w = params.add("w", &[2], &[1.0, -2.0]);
/// params.write(w, &[0.5, 0.25]);
/// assert_eq!((params.read(w), params.parameter_count()), (vec![0.5, 0.25], 2));
/// ```
#[derive(Clone, Default)]
pub struct Params<E> {
    values: Slab<E>,
    buffers: Slab<E>,
    entries: Vec<Entry>,
    /// Per entry: the fingerprint of all names, kinds and shapes up to it.
    fingerprints: Vec<u64>,
}

impl<E: Element> Params<E> {
    /// Parameters without any tensor yet.
    pub fn new() -> Self {
        Self { values: Slab::new(), buffers: Slab::new(), entries: Vec::new(), fingerprints: Vec::new() }
    }

    /// Adds a tensor to be trained, from its elements in row-major order.
    ///
    /// # Panics
    /// If the number of elements is not the shape's.
    pub fn add(&mut self, name: &str, shape: &[usize], data: &[E]) -> ParamId {
        self.add_contiguous(Kind::Parameter, name, shape, data)
    }

    /// Adds the weight of a linear layer, (out, in), which lies in memory row by row.
    ///
    /// # Panics
    /// As [`Params::add`].
    pub fn add_by_rows(&mut self, name: &str, shape: [usize; 2], data: &[E]) -> ParamId {
        self.add_contiguous(Kind::Weight, name, &shape, data)
    }

    /// Adds the weight of a linear layer, (out, in), which lies in memory column by column; `data` is in
    /// row-major order nevertheless.
    ///
    /// Most products of a linear layer are fastest in this layout.
    ///
    /// # Panics
    /// As [`Params::add`].
    pub fn add_by_columns(&mut self, name: &str, shape: [usize; 2], data: &[E]) -> ParamId {
        let [rows, columns] = shape;
        let shape = Shape::new(&[rows, columns]);
        let mut layout = Layout { offset: self.values.grow(shape.len()), strides: [0; crate::MAX_DIMS] };
        (layout.strides[0], layout.strides[1]) = (1, rows);
        self.push(Entry { name: name.to_owned(), kind: Kind::Weight, shape, layout }, data)
    }

    /// Adds a tensor with the name, kind and memory order of `other`.
    ///
    /// # Panics
    /// As [`Params::add`].
    pub fn add_like(&mut self, other: &Entry, shape: &[usize], data: &[E]) -> ParamId {
        match (other.kind, shape) {
            (Kind::Buffer, shape) => self.add_buffer(&other.name, shape, data),
            (_, &[rows, columns]) if other.is_by_columns() => {
                self.add_by_columns(&other.name, [rows, columns], data)
            }
            (Kind::Weight, &[rows, columns]) => self.add_by_rows(&other.name, [rows, columns], data),
            (_, shape) => self.add(&other.name, shape, data),
        }
    }

    /// Adds a tensor that is kept but not trained, such as running statistics.
    ///
    /// # Panics
    /// As [`Params::add`].
    pub fn add_buffer(&mut self, name: &str, shape: &[usize], data: &[E]) -> ParamId {
        self.add_contiguous(Kind::Buffer, name, shape, data)
    }

    fn add_contiguous(&mut self, kind: Kind, name: &str, shape: &[usize], data: &[E]) -> ParamId {
        let shape = Shape::new(shape);
        let layout = Layout::contiguous(&shape, self.slab_mut(kind).grow(shape.len()));
        self.push(Entry { name: name.to_owned(), kind, shape, layout }, data)
    }

    fn push(&mut self, entry: Entry, data: &[E]) -> ParamId {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (self.fingerprint(), &entry.name, entry.is_trained(), entry.is_by_columns()).hash(&mut hasher);
        entry.shape.dims().hash(&mut hasher);
        let fingerprint = hasher.finish();
        entry.write(data, self.slab_mut(entry.kind).all_mut());
        self.entries.push(entry);
        self.fingerprints.push(fingerprint);
        ParamId { index: self.entries.len() - 1, fingerprint }
    }

    /// The fingerprint of all entries: equal if names, shapes, layouts and what is trained are equal.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprints.last().copied().unwrap_or(0)
    }

    /// The named tensors, in the order in which they were added.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of a handle.
    ///
    /// # Panics
    /// If the handle came from other parameters.
    pub fn entry(&self, id: ParamId) -> &Entry {
        let known = self.fingerprints.get(id.index) == Some(&id.fingerprint);
        assert!(known, "this handle is of other parameters");
        &self.entries[id.index]
    }

    /// The handle of the entry with this name.
    pub fn find(&self, name: &str) -> Option<ParamId> {
        let index = self.entries.iter().position(|entry| entry.name == name)?;
        Some(ParamId { index, fingerprint: self.fingerprints[index] })
    }

    /// The handles of all entries, in their order.
    pub fn ids(&self) -> impl Iterator<Item = ParamId> {
        self.fingerprints.iter().enumerate().map(|(index, &fingerprint)| ParamId { index, fingerprint })
    }

    /// The same tensors in another precision; handles are valid for both.
    pub fn cast<F: Element>(&self) -> Params<F> {
        let mut cast = Params::new();
        for (id, entry) in self.ids().zip(&self.entries) {
            let data: Vec<F> = self.read(id).into_iter().map(|x| F::of(x.f64())).collect();
            cast.add_like(entry, entry.shape.dims(), &data);
        }
        cast
    }

    /// How many numbers are trained.
    pub fn parameter_count(&self) -> usize {
        self.trained().map(|entry| entry.shape.len()).sum()
    }

    /// The entries that are trained, in their order.
    pub fn trained(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_trained())
    }

    /// A tensor's elements in row-major order.
    ///
    /// # Panics
    /// As [`Params::entry`].
    pub fn read(&self, id: ParamId) -> Vec<E> {
        let entry = self.entry(id);
        entry.read(match entry.kind {
            Kind::Parameter | Kind::Weight => self.values.all(),
            Kind::Buffer => self.buffers.all(),
        })
    }

    /// Overwrites a tensor with elements in row-major order.
    ///
    /// # Panics
    /// As [`Params::entry`]; if their number is not the tensor's.
    pub fn write(&mut self, id: ParamId, data: &[E]) {
        let entry = self.entry(id).clone();
        entry.write(data, self.slab_mut(entry.kind).all_mut());
    }

    fn slab_mut(&mut self, kind: Kind) -> &mut Slab<E> {
        match kind {
            Kind::Parameter | Kind::Weight => &mut self.values,
            Kind::Buffer => &mut self.buffers,
        }
    }

    /// All parameters, one flat slab; see [`Entry::range`].
    pub fn values(&self) -> &[E] {
        self.values.all()
    }

    /// All parameters, mutable.
    pub fn values_mut(&mut self) -> &mut [E] {
        self.values.all_mut()
    }

    /// All buffers, one flat slab.
    pub fn buffers(&self) -> &[E] {
        self.buffers.all()
    }

    /// All buffers, mutable.
    pub fn buffers_mut(&mut self) -> &mut [E] {
        self.buffers.all_mut()
    }
}

/// The gradients of parameters, in the same layout.
///
/// ```
/// use charloom_tensor::{Grads, Params};
///
/// let mut params = Params::<f32>::new();
/// let (w, b) = (params.add("w", &[2], &[1.0, -2.0]), params.add("b", &[1], &[0.5]));
/// let mut grads = Grads::zeros(&params);
/// grads.values_mut().fill(0.5);
/// assert_eq!((grads.read(&params, w), grads.read(&params, b)), (vec![0.5; 2], vec![0.5]));
/// ```
#[derive(Clone)]
pub struct Grads<E> {
    slab: Slab<E>,
    fingerprint: u64,
}

impl<E: Element> Grads<E> {
    /// Zeros for these parameters.
    pub fn zeros(params: &Params<E>) -> Self {
        let mut slab = Slab::new();
        slab.match_len(&params.values);
        Self { slab, fingerprint: params.fingerprint() }
    }

    /// A parameter's gradient in row-major order.
    ///
    /// # Panics
    /// If these are the gradients of other parameters, or the tensor is not trained.
    pub fn read(&self, params: &Params<E>, id: ParamId) -> Vec<E> {
        self.check(params.fingerprint());
        let entry = params.entry(id);
        assert!(entry.is_trained(), "{} is not trained", entry.name);
        entry.read(self.slab.all())
    }

    /// All gradients, one flat slab.
    pub fn values(&self) -> &[E] {
        self.slab.all()
    }

    /// All gradients, mutable.
    pub fn values_mut(&mut self) -> &mut [E] {
        self.slab.all_mut()
    }

    pub(crate) fn check(&self, fingerprint: u64) {
        assert!(self.fingerprint == fingerprint, "these are the gradients of other parameters");
    }
}

/// Reads the elements of a tensor in row-major order.
pub(crate) fn gather<E: Element>(memory: &[E], shape: &Shape, layout: &Layout) -> Vec<E> {
    let mut out = Vec::with_capacity(shape.len());
    for_each(shape, [layout.strides], |[at]| out.push(memory[layout.offset + at]));
    out
}

/// Writes elements given in row-major order to a tensor's memory.
fn scatter<E: Element>(data: &[E], shape: &Shape, layout: &Layout, memory: &mut [E]) {
    assert_eq!(data.len(), shape.len(), "a tensor of shape {shape:?} has {} elements", shape.len());
    let mut data = data.iter();
    for_each(shape, [layout.strides], |[at]| {
        memory[layout.offset + at] = *data.next().expect("counted above")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Params<f64>, ParamId) {
        let mut params = Params::new();
        params.add("a", &[2], &[1.0, 2.0]);
        let b = params.add_by_columns("b", [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        (params, b)
    }

    #[test]
    fn a_handle_is_good_for_copies_and_for_no_others() {
        let (params, b) = two();
        assert_eq!(params.clone().read(b), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(two().0.find("b"), Some(b));
        let mut other = Params::<f64>::new();
        other.add("a", &[2], &[1.0, 2.0]);
        other.add("b", &[3, 2], &[0.0; 6]);
        let said = std::panic::catch_unwind(|| other.read(b)).unwrap_err();
        assert_eq!(said.downcast_ref(), Some(&"this handle is of other parameters"));
    }

    #[test]
    fn a_copy_lies_as_the_original_does() {
        let mut params = Params::<f32>::new();
        for shape in [[2, 3], [64, 1], [1, 64]] {
            let numbers: Vec<f32> = (0..shape[0] * shape[1]).map(|i| i as f32).collect();
            params.add_by_columns("columns", shape, &numbers);
            params.add_by_rows("rows", shape, &numbers);
        }
        let cast = params.cast::<f64>();
        for (id, (of, entry)) in params.ids().zip(params.entries().iter().zip(cast.entries())) {
            assert_eq!((&entry.name, entry.kind, entry.shape), (&of.name, of.kind, of.shape));
            for entry in [of, entry] {
                assert_eq!(entry.is_by_columns(), entry.name == "columns", "{:?}", entry.shape);
            }
            assert_eq!(cast.read(id), params.read(id).iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn parameters_can_be_shared_by_threads() {
        fn shared<T: Send + Sync>(_: &T) {}
        shared(&two().0);
        shared(&Grads::zeros(&two().0));
    }

    #[test]
    #[should_panic(expected = "the gradients of other parameters")]
    fn gradients_are_of_their_parameters() {
        let (params, b) = two();
        Grads::zeros(&Params::new()).read(&params, b);
    }
}
