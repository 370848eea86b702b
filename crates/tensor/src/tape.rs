use crate::kernels::{self, Partners, Place};
use crate::op::{Batch, Env, Inputs, Op, Params};
use crate::plan::Plan;
use crate::slab::Slab;
use crate::state::Entry;
use crate::{Element, Kind, Layout, Shape, Var};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

/// Which node of a tape; a handle without its tape, to store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Id(pub(crate) usize);

/// Which index tensor of a tape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Indices(pub(crate) usize);

/// A place on a tape, to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    nodes: usize,
    values: usize,
    indices: usize,
}

/// A recorded stretch of a tape, to be replayed.
#[derive(Clone, Copy, Debug)]
pub struct Graph {
    start: usize,
    end: usize,
}

impl Graph {
    pub(crate) fn nodes(self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Home {
    Param,
    Local,
}

/// What is known of a node besides its operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub shape: Shape,
    pub layout: Layout,
    pub home: Home,
    /// The node whose memory this one looks at: itself, unless it is a view.
    pub root: usize,
    pub needs_grad: bool,
    /// Whether the first dimension is a batch whose equal rows may be merged.
    pub batched: bool,
}

impl Node {
    /// How many elements from its first to its last are in use.
    #[inline]
    pub fn stored(&self, rows: Option<usize>) -> usize {
        match rows {
            Some(rows) if self.batched => self.shape.len() / self.shape.dims()[0] * rows,
            _ => self.layout.extent(&self.shape),
        }
    }

    /// Where in its memory these are.
    #[inline]
    pub fn span(&self, rows: Option<usize>) -> Range<usize> {
        self.layout.offset..self.layout.offset + self.stored(rows)
    }
}

/// The memory and the record of a computation.
///
/// Nodes lie in the order of their creation, so an operation's inputs come before it: forward is one loop from the
/// start, backward one loop from the end.
pub struct Tape<E: Element> {
    pub(crate) inner: RefCell<Inner<E>>,
}

pub(crate) struct Inner<E: Element> {
    pub nodes: Vec<Node>,
    pub ops: Vec<Option<Box<dyn Op<E>>>>,
    pub inputs: Vec<Vec<usize>>,
    pub params: Slab<E>,
    pub param_grads: Slab<E>,
    pub entries: Vec<Entry>,
    pub values: Slab<E>,
    pub grads: Slab<E>,
    pub world: World<E>,
    pub rows: Option<usize>,
    pub plan: Option<Plan>,
}

/// What operations can see besides their inputs.
pub(crate) struct World<E> {
    pub training: bool,
    pub buffers: Slab<E>,
    pub step: u64,
    pub counts: Vec<E>,
    pub examples: Option<usize>,
    pub indices: Vec<(Shape, Vec<u32>)>,
    partner: Option<Partner<E>>,
}

impl<E: Element> World<E> {
    pub fn env(&mut self) -> Env<'_, E> {
        Env {
            training: self.training,
            buffers: self.buffers.all_mut(),
            step: self.step,
            counts: &self.counts,
            examples: self.examples,
            partnered: self.partner.is_some(),
            indices: &self.indices,
        }
    }
}

/// Which side of which partners' work a tape is, and at how many places it meets the other.
pub(crate) struct Partner<E> {
    side: usize,
    partners: Arc<Partners<E>>,
    meetings: usize,
}

impl<E: Element> Default for Tape<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Element> Tape<E> {
    /// An empty tape.
    pub fn new() -> Self {
        Self {
            inner: RefCell::new(Inner {
                nodes: Vec::new(),
                ops: Vec::new(),
                inputs: Vec::new(),
                params: Slab::new(),
                param_grads: Slab::new(),
                entries: Vec::new(),
                values: Slab::new(),
                grads: Slab::new(),
                world: World {
                    training: true,
                    buffers: Slab::new(),
                    step: 0,
                    counts: Vec::new(),
                    examples: None,
                    indices: Vec::new(),
                    partner: None,
                },
                rows: None,
                plan: None,
            }),
        }
    }

    /// An empty tape for side 0 or 1 of two partners' work. Both have to record the same operations.
    pub fn with_partner(side: usize, partners: &Arc<Partners<E>>) -> Self {
        let tape = Self::new();
        let partners = Arc::clone(partners);
        tape.inner.borrow_mut().world.partner = Some(Partner { side, partners, meetings: 0 });
        tape
    }

    /// Whether it has a partner.
    pub fn has_partner(&self) -> bool {
        self.inner.borrow().world.partner.is_some()
    }

    /// Which of two partners' tapes it is.
    ///
    /// # Panics
    /// If it has no partner.
    pub(crate) fn side(&self) -> usize {
        self.inner.borrow().world.partner.as_ref().expect("a tape made by `with_partner`").side
    }

    /// The place where an operation of this tape meets the same one of the partner's, to give it at most `len` numbers at
    /// a time.
    ///
    /// # Panics
    /// If the tape has no partner.
    pub(crate) fn place(&self, len: usize) -> Place<E> {
        let inner = &mut *self.inner.borrow_mut();
        let partner = inner.world.partner.as_mut().expect("a tape made by `with_partner`");
        partner.meetings += 1;
        partner.partners.place(partner.meetings - 1, partner.side, len)
    }

    /// A tensor to be trained, from its elements in row-major order.
    pub fn parameter(&self, name: &str, shape: &[usize], data: &[E]) -> Id {
        let shape = Shape::new(shape);
        self.add_parameter(name, shape, Layout::contiguous(&shape, 0), data)
    }

    /// A matrix to be trained that lies in memory column by column, from its elements in row-major order.
    ///
    /// To everyone who looks it is an (out, in) matrix; the products of a linear layer like it stored as (in, out).
    pub fn parameter_by_columns(&self, name: &str, shape: [usize; 2], data: &[E]) -> Id {
        let mut layout = Layout { offset: 0, strides: [0; crate::MAX_DIMS] };
        layout.strides[0] = 1;
        layout.strides[1] = shape[0];
        self.add_parameter(name, Shape::new(&shape), layout, data)
    }

    fn add_parameter(&self, name: &str, shape: Shape, mut layout: Layout, data: &[E]) -> Id {
        let inner = &mut *self.inner.borrow_mut();
        layout.offset = inner.params.grow(shape.len());
        inner.param_grads.match_len(&inner.params);
        inner.entries.push(Entry { name: name.to_string(), kind: Kind::Parameter, shape, layout });
        let root = inner.nodes.len();
        let node = Node { shape, layout, home: Home::Param, root, needs_grad: true, batched: false };
        let id = inner.push(node, None, Vec::new());
        crate::state::scatter(data, &shape, &layout, inner.params.all_mut());
        id
    }

    /// A tensor that is kept but not trained, such as running statistics; read and written by operations.
    pub fn buffer(&self, name: &str, shape: &[usize], data: &[E]) -> usize {
        let inner = &mut *self.inner.borrow_mut();
        let shape = Shape::new(shape);
        let layout = Layout::contiguous(&shape, inner.world.buffers.grow(shape.len()));
        crate::state::scatter(data, &shape, &layout, inner.world.buffers.all_mut());
        inner.entries.push(Entry { name: name.to_string(), kind: Kind::Buffer, shape, layout });
        layout.offset
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
        let inner = &mut *self.inner.borrow_mut();
        let shape = Shape::new(shape);
        assert_eq!(data.len(), shape.len(), "a tensor of shape {shape:?} has {} elements", shape.len());
        let layout = Layout::contiguous(&shape, inner.values.grow(shape.len()));
        inner.values.all_mut()[layout.offset..][..data.len()].copy_from_slice(data);
        let node =
            Node { shape, layout, home: Home::Local, root: inner.nodes.len(), needs_grad, batched: false };
        let id = inner.push(node, None, Vec::new());
        self.var(id)
    }

    /// A tensor of integers: token ids, targets, rows.
    pub fn indices(&self, shape: &[usize], data: &[u32]) -> Indices {
        let inner = &mut *self.inner.borrow_mut();
        let shape = Shape::new(shape);
        assert_eq!(
            data.len(),
            shape.len(),
            "an index tensor of shape {shape:?} has {} elements",
            shape.len()
        );
        inner.world.indices.push((shape, data.to_vec()));
        Indices(inner.world.indices.len() - 1)
    }

    /// The shape of an index tensor.
    pub fn indices_shape(&self, which: Indices) -> Shape {
        self.inner.borrow().world.indices[which.0].0
    }

    /// Lets `f` write the integers of an index tensor.
    pub fn set_indices(&self, which: Indices, f: impl FnOnce(&mut [u32])) {
        f(&mut self.inner.borrow_mut().world.indices[which.0].1);
    }

    /// Lets `f` write a leaf's elements, which lie row-major.
    pub fn set(&self, id: Id, f: impl FnOnce(&mut [E])) {
        let inner = &mut *self.inner.borrow_mut();
        let node = inner.nodes[id.0];
        assert!(inner.ops[id.0].is_none() && node.root == id.0, "only a leaf can be set");
        let memory = match node.home {
            Home::Param => inner.params.all_mut(),
            Home::Local => inner.values.all_mut(),
        };
        f(&mut memory[node.layout.offset..][..node.shape.len()]);
    }

    /// The handle of a node.
    pub fn var(&self, id: Id) -> Var<'_, E> {
        Var { tape: self, id }
    }

    /// Records an operation and computes its value.
    pub fn record(&self, op: impl Op<E> + 'static, inputs: &[Id], shape: Shape) -> Var<'_, E> {
        let inner = &mut *self.inner.borrow_mut();
        let layout = Layout::contiguous(&shape, inner.values.grow(shape.len()));
        let needs_grad = inputs.iter().any(|i| inner.nodes[i.0].needs_grad);
        let batched = match op.batch() {
            Batch::Starts => true,
            Batch::Rows => inputs.iter().any(|i| inner.nodes[i.0].batched),
            Batch::Ends | Batch::Mixes => false,
        };
        let node = Node { shape, layout, home: Home::Local, root: inner.nodes.len(), needs_grad, batched };
        let id = inner.push(node, Some(Box::new(op)), inputs.iter().map(|i| i.0).collect());
        inner.run(id.0);
        self.var(id)
    }

    /// Records a view: the memory of `of`, seen with another shape and other steps.
    pub(crate) fn view(&self, of: Id, shape: Shape, layout: Layout) -> Var<'_, E> {
        let inner = &mut *self.inner.borrow_mut();
        let base = inner.nodes[of.0];
        let same_rows = layout.is_contiguous(&shape)
            && layout.offset == base.layout.offset
            && shape.rank() > 0
            && shape.dims()[0] == base.shape.dims()[0];
        let node = Node { shape, layout, batched: base.batched && same_rows, ..base };
        let id = inner.push(node, None, vec![of.0]);
        self.var(id)
    }

    /// Where the tape is now.
    pub fn mark(&self) -> Mark {
        let inner = self.inner.borrow();
        Mark { nodes: inner.nodes.len(), values: inner.values.len(), indices: inner.world.indices.len() }
    }

    /// Forgets everything recorded since `mark`, keeping the memory for what comes next.
    ///
    /// # Panics
    /// If a parameter was made since.
    pub fn truncate(&self, mark: Mark) {
        let inner = &mut *self.inner.borrow_mut();
        let param = (mark.nodes..inner.nodes.len())
            .any(|i| inner.nodes[i].home == Home::Param && inner.nodes[i].root == i);
        assert!(!param, "a parameter cannot be forgotten");
        inner.nodes.truncate(mark.nodes);
        inner.ops.truncate(mark.nodes);
        inner.inputs.truncate(mark.nodes);
        inner.values.truncate(mark.values);
        inner.world.indices.truncate(mark.indices);
        inner.plan = None;
    }

    /// The stretch recorded since `mark`.
    pub fn graph_since(&self, mark: Mark) -> Graph {
        Graph { start: mark.nodes, end: self.inner.borrow().nodes.len() }
    }

    /// Computes every value of a recorded stretch again, from the leaves' present values.
    pub fn replay(&self, graph: Graph) {
        let inner = &mut *self.inner.borrow_mut();
        kernels::keep_rows(inner.keeps_rows(graph));
        for id in graph.nodes() {
            inner.run(id);
        }
    }

    /// Whether equal rows of the batch may be merged in this stretch; see [`Batch`].
    pub fn mergeable(&self, graph: Graph) -> bool {
        let inner = self.inner.borrow();
        graph.nodes().all(|id| {
            let from_batch = inner.inputs[id].iter().any(|&i| inner.nodes[i].batched);
            match &inner.ops[id] {
                Some(op) => !from_batch || op.batch() != Batch::Mixes,
                None => !from_batch || inner.nodes[id].batched,
            }
        })
    }

    /// From now on only the first rows of every batch are computed, one for each of `counts`, which says how many of
    /// the batch's examples that row stands for. An empty `counts` means every row, once each.
    pub fn set_rows(&self, counts: &[u32]) {
        let inner = &mut *self.inner.borrow_mut();
        inner.rows = (!counts.is_empty()).then_some(counts.len());
        inner.world.examples = (!counts.is_empty()).then(|| counts.iter().map(|&c| c as usize).sum());
        inner.world.counts.clear();
        inner.world.counts.extend(counts.iter().map(|&c| E::of(f64::from(c))));
    }

    /// Computes only the first `rows` rows of every batch from now on, each counted once.
    pub fn set_row_limit(&self, rows: Option<usize>) {
        let inner = &mut *self.inner.borrow_mut();
        inner.rows = rows;
        inner.world.examples = rows;
        inner.world.counts.clear();
    }

    /// Whether batch norm and dropout behave as in training.
    pub fn is_training(&self) -> bool {
        self.inner.borrow().world.training
    }

    /// Makes batch norm and dropout behave as in training, or as in evaluation.
    pub fn set_training(&self, training: bool) {
        self.inner.borrow_mut().world.training = training;
    }

    /// Says which step of a training this is; dropout's masks follow from it.
    pub fn set_step(&self, step: u64) {
        self.inner.borrow_mut().world.step = step;
    }

    /// Lets `f` see all parameters and their gradients, each one flat slab of the same layout.
    pub fn with_parameters<R>(&self, f: impl FnOnce(&mut [E], &mut [E]) -> R) -> R {
        let inner = &mut *self.inner.borrow_mut();
        f(inner.params.all_mut(), inner.param_grads.all_mut())
    }

    /// Computes the gradient of the scalar `loss` with respect to everything it depends on.
    ///
    /// Gradients of an earlier backward pass are overwritten.
    ///
    /// # Panics
    /// If `loss` is not a single number.
    pub fn backward(&self, loss: Id) {
        let inner = &mut *self.inner.borrow_mut();
        assert_eq!(inner.nodes[loss.0].shape.len(), 1, "backward starts from a single number");
        inner.backward(loss.0, &[E::one()], None);
    }

    /// The same, and a step of gradient descent: every parameter p becomes `p - rate g`. The gradients of weights are not kept.
    ///
    /// # Panics
    /// As [`Tape::backward`].
    pub fn descend(&self, loss: Id, rate: E) {
        let inner = &mut *self.inner.borrow_mut();
        assert_eq!(inner.nodes[loss.0].shape.len(), 1, "a descent starts from a single number");
        inner.backward(loss.0, &[E::one()], Some(rate));
    }

    /// The same from any node, given the gradient that arrives there, in row-major order.
    pub fn backward_from(&self, node: Id, gradient: &[E]) {
        self.inner.borrow_mut().backward(node.0, gradient, None);
    }
}

impl<E: Element> Inner<E> {
    fn push(&mut self, node: Node, op: Option<Box<dyn Op<E>>>, inputs: Vec<usize>) -> Id {
        assert!(inputs.len() <= 32, "an operation has at most 32 inputs");
        self.nodes.push(node);
        self.ops.push(op);
        self.inputs.push(inputs);
        self.plan = None;
        Id(self.nodes.len() - 1)
    }

    /// Whether every operation of this stretch works on the rows of one large batch, and leaves a thread the same ones.
    fn keeps_rows(&self, graph: Graph) -> bool {
        let batched = graph.nodes().map(|id| &self.nodes[id]).find(|node| node.batched);
        let rows = batched.map_or(0, |node| self.rows.unwrap_or(node.shape.dims()[0]));
        rows >= kernels::MANY_ROWS
            && graph.nodes().all(|id| self.ops[id].as_ref().is_none_or(|op| op.keeps_rows()))
    }

    fn run(&mut self, id: usize) {
        let Some(op) = self.ops[id].as_mut() else { return };
        let node = &self.nodes[id];
        let (values, rest) = self.values.all_mut().split_at_mut(node.layout.offset);
        let x = Inputs {
            nodes: &self.nodes,
            ids: &self.inputs[id],
            params: Params::all(self.params.all()),
            values,
            rows: self.rows,
        };
        op.forward(x, &mut rest[..node.stored(self.rows)], &mut self.world.env());
    }
}
