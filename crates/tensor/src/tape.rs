//! Recording: operations are computed as they are recorded, or only recorded.

use crate::kernels::{Communicator, Endpoint};
use crate::op::{Op, RowRule, can_be_cut};
use crate::recording::{IndexTensor, Node, Storage};
use crate::slab::Slab;
use crate::{Axis, Element, Grads, Indices, Layout, NodeId, ParamId, Params, Pass, Recording, Shape, Var};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// A recording in the making.
///
/// [`Tape::new`] and [`Tape::with`] compute each operation as it is recorded, so that its value can be read
/// at once; [`Recording::new`] only records, for a computation that is run many times.
///
/// ```
/// use charloom_tensor::{Params, Tape};
///
/// let mut params = Params::<f64>::new();
/// let w = params.add("w", &[2], &[1.0, -2.0]);
/// let tape = Tape::with(&params);
/// let loss = (tape.param(w) * tape.input(&[2], &[3.0, 0.5])).sum_all();
/// assert_eq!(loss.item(), 2.0);
/// tape.backward(loss.id());
/// assert_eq!(tape.param(w).grad(), [3.0, 0.5]);
/// ```
pub struct Tape<'p, E: Element> {
    params: Option<&'p Params<E>>,
    none: Params<E>,
    /// Per parameter: its node, once the parameter was used.
    param_nodes: RefCell<Vec<Option<NodeId>>>,
    pub(crate) recording: RefCell<Recording<E>>,
    /// The gradients of the last backward pass.
    pub(crate) grads: RefCell<Option<Grads<E>>>,
    computes: bool,
    training: Cell<bool>,
    step: Cell<u64>,
    shard: Option<Shard<E>>,
}

/// Which half of every layer's units a tape has, 0 or 1, and how it exchanges numbers with the other half.
struct Shard<E> {
    side: usize,
    communicator: Arc<Communicator<E>>,
    /// How many endpoints were made so far.
    endpoints: Cell<usize>,
}

impl<E: Element> Default for Tape<'_, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Element> Recording<E> {
    /// Records what `f` does, without computing it; returns the recording and what `f` returns, such as the
    /// nodes to read.
    pub fn new<R>(params: &Params<E>, f: impl FnOnce(&Tape<'_, E>) -> R) -> (Self, R) {
        let tape = Tape::make(Some(params), false, None);
        let result = f(&tape);
        (tape.finish(), result)
    }

    /// As [`Recording::new`], for a computation with half of every layer's units, side 0 or 1, which
    /// exchanges numbers with the other half by `communicator` (tensor parallelism). Both must record the same
    /// operations.
    pub fn shard<R>(
        params: &Params<E>,
        side: usize,
        communicator: &Arc<Communicator<E>>,
        f: impl FnOnce(&Tape<'_, E>) -> R,
    ) -> (Self, R) {
        let shard = Shard { side, communicator: Arc::clone(communicator), endpoints: Cell::new(0) };
        let tape = Tape::make(Some(params), false, Some(shard));
        let result = f(&tape);
        (tape.finish(), result)
    }
}

impl<'p, E: Element> Tape<'p, E> {
    /// An empty tape without parameters, which computes operations as they are recorded.
    pub fn new() -> Self {
        Self::make(None, true, None)
    }

    /// An empty tape with these parameters, which computes operations as they are recorded.
    pub fn with(params: &'p Params<E>) -> Self {
        Self::make(Some(params), true, None)
    }

    fn make(params: Option<&'p Params<E>>, computes: bool, shard: Option<Shard<E>>) -> Self {
        let fingerprint = params.map_or(0, Params::fingerprint);
        Self {
            params,
            none: Params::new(),
            param_nodes: RefCell::new(vec![None; params.map_or(0, |params| params.entries().len())]),
            recording: RefCell::new(Recording::empty(fingerprint, shard.is_some())),
            grads: RefCell::new(None),
            computes,
            training: Cell::new(true),
            step: Cell::new(0),
            shard,
        }
    }

    /// The recording, to be run again.
    pub fn finish(self) -> Recording<E> {
        let mut recording = self.recording.into_inner();
        recording.values.allocate();
        recording
    }

    fn params(&self) -> &Params<E> {
        self.params.unwrap_or(&self.none)
    }

    fn pass(&self) -> Pass<'static> {
        Pass { training: self.training.get(), step: self.step.get(), ..Pass::default() }
    }

    /// Makes the batch norm and dropout recorded from now on behave as in training, or as in evaluation.
    pub fn set_training(&self, training: bool) {
        self.training.set(training);
    }

    /// Sets the step of the training; dropout's masks depend on it.
    pub fn set_step(&self, step: u64) {
        self.step.set(step);
    }

    /// A parameter as a tensor on the tape.
    ///
    /// # Panics
    /// If the handle is of other parameters, or of a buffer.
    pub fn param(&self, id: ParamId) -> Var<'_, E> {
        let entry = self.params().entry(id);
        assert!(entry.is_trained(), "{} is not trained", entry.name);
        let mut nodes = self.param_nodes.borrow_mut();
        let node = nodes[id.index].unwrap_or_else(|| {
            let mut recording = self.recording.borrow_mut();
            let base = recording.nodes.len();
            let (shape, layout) = (entry.shape, entry.layout);
            let node = Node { shape, layout, storage: Storage::Params, base, needs_grad: true, axis: None };
            recording.push(node, None, Vec::new())
        });
        nodes[id.index] = Some(node);
        self.var(node)
    }

    /// The range of a buffer in the slab of all buffers.
    ///
    /// # Panics
    /// If the handle is of other parameters, or of a trained tensor.
    pub(crate) fn buffer(&self, id: ParamId) -> std::ops::Range<usize> {
        let entry = self.params().entry(id);
        assert!(entry.kind == crate::Kind::Buffer, "{} is no buffer", entry.name);
        entry.range()
    }

    /// A tensor given from outside, without a gradient.
    pub fn input(&self, shape: &[usize], data: &[E]) -> Var<'_, E> {
        self.leaf(shape, data, false)
    }

    /// A tensor given from outside, with a gradient.
    pub fn variable(&self, shape: &[usize], data: &[E]) -> Var<'_, E> {
        self.leaf(shape, data, true)
    }

    fn leaf(&self, shape: &[usize], data: &[E], needs_grad: bool) -> Var<'_, E> {
        let shape = Shape::new(shape);
        assert_eq!(data.len(), shape.len(), "a tensor of shape {shape:?} has {} elements", shape.len());
        let id = self.new_leaf(shape, needs_grad, None);
        let mut recording = self.recording.borrow_mut();
        recording.values.allocate();
        recording.set(id, |to| to.copy_from_slice(data));
        drop(recording);
        self.var(id)
    }

    /// Reserves memory for `len` values and returns where it starts. It is allocated at once if the tape computes,
    /// else when the recording is finished.
    fn reserve(&self, values: &mut Slab<E>, len: usize) -> usize {
        if self.computes { values.grow(len) } else { values.reserve(len) }
    }

    fn new_leaf(&self, shape: Shape, needs_grad: bool, axis: Option<usize>) -> NodeId {
        let mut recording = self.recording.borrow_mut();
        let layout = Layout::contiguous(&shape, self.reserve(&mut recording.values, shape.len()));
        let base = recording.nodes.len();
        recording.push(
            Node { shape, layout, storage: Storage::Recording, base, needs_grad, axis },
            None,
            Vec::new(),
        )
    }

    /// A number of rows that varies from pass to pass, at most `capacity`.
    pub fn axis(&self, capacity: usize) -> Axis {
        let mut recording = self.recording.borrow_mut();
        let fed = &mut recording.fed;
        fed.capacity.push(capacity);
        fed.used.push(capacity);
        fed.counts.push(Vec::with_capacity(capacity));
        Axis { recording: recording.id, index: recording.fed.capacity.len() - 1 }
    }

    /// A tensor of zeros with a row for each row of an axis, to be [set](Recording::set) later.
    ///
    /// # Shapes
    /// `row` is the shape of one row.
    pub fn rows(&self, axis: Axis, row: &[usize]) -> Var<'_, E> {
        let shape = Shape::new(&[&[self.capacity(axis)], row].concat());
        self.var(self.new_leaf(shape, false, Some(axis.index)))
    }

    /// A tensor of integers: token ids, targets, rows.
    pub fn indices(&self, shape: &[usize], data: &[u32]) -> Indices {
        let shape = Shape::new(shape);
        assert_eq!(
            data.len(),
            shape.len(),
            "an index tensor of shape {shape:?} has {} elements",
            shape.len()
        );
        self.push_indices(IndexTensor { shape, axis: None, data: data.to_vec() })
    }

    /// Integers, initially 0, with a row for each row of an axis.
    ///
    /// # Shapes
    /// `row` is the shape of one row: `[]` for one integer, `[T]` for a context.
    pub fn index_rows(&self, axis: Axis, row: &[usize]) -> Indices {
        let shape = Shape::new(&[&[self.capacity(axis)], row].concat());
        self.push_indices(IndexTensor { shape, axis: Some(axis.index), data: vec![0; shape.len()] })
    }

    fn push_indices(&self, tensor: IndexTensor) -> Indices {
        let mut recording = self.recording.borrow_mut();
        recording.fed.indices.push(tensor);
        Indices { recording: recording.id, index: recording.fed.indices.len() - 1 }
    }

    /// The maximum number of rows of an axis.
    pub(crate) fn capacity(&self, axis: Axis) -> usize {
        let recording = self.recording.borrow();
        assert!(axis.recording == recording.id, "this axis is of another recording");
        recording.fed.capacity[axis.index]
    }

    /// The shape of an index tensor.
    pub fn indices_shape(&self, which: Indices) -> Shape {
        let recording = self.recording.borrow();
        recording.fed.indices[recording.index_tensor(which)].shape
    }

    /// The axis of an index tensor's first dimension.
    pub(crate) fn indices_axis(&self, which: Indices) -> Option<usize> {
        let recording = self.recording.borrow();
        recording.fed.indices[recording.index_tensor(which)].axis
    }

    /// The handle of a node.
    ///
    /// # Panics
    /// If it is of another recording.
    pub fn var(&self, id: NodeId) -> Var<'_, E> {
        self.recording.borrow().at(id);
        Var { tape: self, id }
    }

    /// Records an operation, and computes its value unless the tape only records.
    ///
    /// # Panics
    /// If an input is of another recording.
    pub fn record(&self, op: impl Op<E> + 'static, inputs: &[NodeId], shape: Shape) -> Var<'_, E> {
        let mut recording = self.recording.borrow_mut();
        let inputs: Vec<usize> = inputs.iter().map(|&id| recording.at(id)).collect();
        let layout = Layout::contiguous(&shape, self.reserve(&mut recording.values, shape.len()));
        let needs_grad = inputs.iter().any(|&i| recording.nodes[i].needs_grad);
        let axis = match op.row_rule() {
            RowRule::AlongAxis(axis) => axis,
            RowRule::PerRow | RowRule::PerRowIndex => inputs.iter().find_map(|&i| recording.nodes[i].axis),
            RowRule::WeightedReduction | RowRule::AcrossRows => None,
        };
        let base = recording.nodes.len();
        let node = Node { shape, layout, storage: Storage::Recording, base, needs_grad, axis };
        let id = recording.push(node, Some(Box::new(op)), inputs);
        if self.computes {
            recording.run(id.index, self.params(), &self.pass());
        }
        drop(recording);
        self.var(id)
    }

    /// Records a view: the memory of `of` with another shape and other strides.
    pub(crate) fn view(&self, of: NodeId, shape: Shape, layout: Layout) -> Var<'_, E> {
        let mut recording = self.recording.borrow_mut();
        let of = recording.at(of);
        let viewed = recording.nodes[of];
        let same_rows = layout.is_contiguous(&shape)
            && layout.offset == viewed.layout.offset
            && shape.rank() > 0
            && shape.dims()[0] == viewed.shape.dims()[0];
        let node = Node { shape, layout, axis: viewed.axis.filter(|_| same_rows), ..viewed };
        let id = recording.push(node, None, vec![of]);
        drop(recording);
        self.var(id)
    }

    /// Where sums over this number of units are split into two sums. A computation in two halves splits
    /// there, and a whole one must do the same to get the same bits.
    pub(crate) fn cut(&self, units: usize) -> Option<usize> {
        self.recording.borrow().cut(units)
    }

    /// Which half of a computation this is: 0 or 1.
    ///
    /// # Panics
    /// If the tape is not one of [`Recording::shard`].
    pub(crate) fn side(&self) -> usize {
        self.shard.as_ref().expect("a tape of `Recording::shard`").side
    }

    /// An endpoint for an operation that exchanges at most `len` numbers at a time with the same operation of the
    /// other half.
    ///
    /// # Panics
    /// As [`Tape::side`].
    pub(crate) fn endpoint(&self, len: usize) -> Endpoint<E> {
        let shard = self.shard.as_ref().expect("a tape of `Recording::shard`");
        shard.endpoints.set(shard.endpoints.get() + 1);
        shard.communicator.endpoint(shard.endpoints.get() - 1, shard.side, len)
    }

    /// Computes the gradient of the scalar `loss` with respect to everything that it depends on. Gradients of
    /// an earlier backward pass are overwritten.
    ///
    /// # Panics
    /// If `loss` is not a single number.
    pub fn backward(&self, loss: NodeId) {
        let shape = self.var(loss).shape();
        assert_eq!(shape.len(), 1, "backward starts from a single number, not from shape {shape:?}");
        self.backward_from(loss, &[E::one()]);
    }

    /// As [`Tape::backward`], but from any node, given the gradient with respect to it in row-major order.
    pub fn backward_from(&self, node: NodeId, gradient: &[E]) {
        let mut grads = self.grads.borrow_mut();
        let grads = grads.get_or_insert_with(|| Grads::zeros(self.params()));
        self.recording.borrow_mut().backward_from(self.params(), grads, node, gradient, &self.pass());
    }

    /// A node's elements in row-major order, whether it is a parameter or not.
    pub(crate) fn read(&self, id: NodeId) -> Vec<E> {
        let mut recording = self.recording.borrow_mut();
        recording.values.allocate();
        let node = &recording.nodes[recording.at(id)];
        let memory = match node.storage {
            Storage::Params => self.params().values(),
            Storage::Recording => recording.values.all(),
        };
        crate::params::gather(memory, &node.shape, &node.layout)
    }

    /// A node's gradient in row-major order, whether it is a parameter or not.
    pub(crate) fn read_grad(&self, id: NodeId) -> Vec<E> {
        let (recording, grads) = (self.recording.borrow(), self.grads.borrow());
        let grads = grads.as_ref().expect("a backward pass comes before its gradients are read");
        let node = &recording.nodes[recording.at(id)];
        let memory = match node.storage {
            Storage::Params => grads.values(),
            Storage::Recording => recording.grads.all(),
        };
        crate::params::gather(memory, &node.shape, &node.layout)
    }
}

impl<E: Element> Recording<E> {
    pub(crate) fn cut(&self, units: usize) -> Option<usize> {
        (!self.is_shard && can_be_cut(units)).then_some(units / 2)
    }
}
