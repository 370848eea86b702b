//! A recorded computation: its operations, its own memory, and how it is run.

use crate::kernels;
use crate::op::{Env, Inputs, Op, ParamValues, RowRule};
use crate::plan::Plan;
use crate::slab::Slab;
use crate::{Element, Layout, Params, Pass, Rows, Shape};
use std::ops::Range;

/// A node of a recording: a handle to store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct NodeId {
    pub(crate) recording: u64,
    pub(crate) index: usize,
}

/// An index tensor of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Indices {
    pub(crate) recording: u64,
    pub(crate) index: usize,
}

/// A number of rows that varies from pass to pass: of a batch's examples, of the nodes of a trie, of one of its levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Axis {
    pub(crate) recording: u64,
    pub(crate) index: usize,
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
    /// The axis of its first dimension, if the number of its rows varies.
    pub axis: Option<usize>,
}

impl Node {
    /// How many elements from its first to its last are in use.
    #[inline]
    pub fn stored(&self, used: &[usize]) -> usize {
        match self.axis {
            Some(axis) => self.shape.len() / self.shape.dims()[0].max(1) * used[axis],
            None => self.layout.extent(&self.shape),
        }
    }

    /// Where in its memory these are.
    #[inline]
    pub fn span(&self, used: &[usize]) -> Range<usize> {
        self.layout.offset..self.layout.offset + self.stored(used)
    }
}

/// What is given to a recording from outside, besides the elements of its leaves.
pub(crate) struct Fed<E> {
    pub indices: Vec<IndexTensor>,
    /// Of each axis: the most rows, those in use, and how often each counts (empty: once).
    pub most: Vec<usize>,
    pub used: Vec<usize>,
    pub counts: Vec<Vec<E>>,
}

pub(crate) struct IndexTensor {
    pub shape: Shape,
    pub axis: Option<usize>,
    pub data: Vec<u32>,
}

impl<E> Fed<E> {
    #[inline]
    pub fn indices(&self, which: usize) -> &[u32] {
        let IndexTensor { shape, axis, data } = &self.indices[which];
        match axis {
            Some(axis) => &data[..data.len() / shape.dims()[0].max(1) * self.used[*axis]],
            None => data,
        }
    }
}

/// A recorded computation.
///
/// Nodes lie in the order of their creation, so an operation's inputs come before it: forward is one loop from the start,
/// backward one from the end. A recording has all the memory that its passes need, and no parameters: those are given to
/// each pass, so that several recordings can share them.
///
/// ```
/// use charloom_tensor::{Grads, Params, Pass, Recording};
///
/// let mut params = Params::<f64>::new();
/// let w = params.add("w", &[2], &[1.0, -2.0]);
/// let (mut recording, (x, y)) = Recording::new(&params, |tape| {
///     let x = tape.input(&[2], &[0.0; 2]);
///     (x.id(), (tape.param(w) * x).sum_all().id())
/// });
/// recording.set(x, |x| x.copy_from_slice(&[3.0, 0.5]));
/// recording.forward(&params, &Pass::training());
/// assert_eq!(recording.item(y), 2.0);
/// let mut grads = Grads::zeros(&params);
/// recording.backward(&params, &mut grads, y, &Pass::training());
/// assert_eq!(grads.read(&params, w), [3.0, 0.5]);
/// ```
pub struct Recording<E: Element> {
    pub(crate) id: u64,
    /// The fingerprint of the parameters it was recorded with.
    pub(crate) fingerprint: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) ops: Vec<Option<Box<dyn Op<E>>>>,
    pub(crate) inputs: Vec<Vec<usize>>,
    pub(crate) values: Slab<E>,
    pub(crate) grads: Slab<E>,
    pub(crate) fed: Fed<E>,
    pub(crate) plan: Option<Plan>,
    /// Whether it has only half of every layer's units, and another recording the others.
    pub(crate) halved: bool,
}

/// From so many rows on a thread's part of them is worth the way to it and back.
const KEPT_FROM: usize = 128;

impl<E: Element> Recording<E> {
    pub(crate) fn empty(fingerprint: u64, halved: bool) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            fingerprint,
            nodes: Vec::new(),
            ops: Vec::new(),
            inputs: Vec::new(),
            values: Slab::new(),
            grads: Slab::new(),
            fed: Fed { indices: Vec::new(), most: Vec::new(), used: Vec::new(), counts: Vec::new() },
            plan: None,
            halved,
        }
    }

    pub(crate) fn push(&mut self, node: Node, op: Option<Box<dyn Op<E>>>, inputs: Vec<usize>) -> NodeId {
        self.nodes.push(node);
        self.ops.push(op);
        self.inputs.push(inputs);
        self.plan = None;
        NodeId { recording: self.id, index: self.nodes.len() - 1 }
    }

    /// Where a node is.
    #[inline]
    pub(crate) fn at(&self, id: NodeId) -> usize {
        assert!(id.recording == self.id, "this node is of another recording");
        id.index
    }

    /// Where an index tensor is.
    #[inline]
    pub(crate) fn index_tensor(&self, which: Indices) -> usize {
        assert!(which.recording == self.id, "these indices are of another recording");
        which.index
    }

    /// Lets `f` write the integers of an index tensor.
    ///
    /// # Panics
    /// If it is of another recording.
    #[inline]
    pub fn set_indices(&mut self, which: Indices, f: impl FnOnce(&mut [u32])) {
        let which = self.index_tensor(which);
        f(&mut self.fed.indices[which].data);
    }

    /// Lets `f` write a leaf's elements, which lie row-major.
    ///
    /// # Panics
    /// If it is no leaf, or of another recording.
    pub fn set(&mut self, id: NodeId, f: impl FnOnce(&mut [E])) {
        let at = self.at(id);
        let node = self.nodes[at];
        let is_leaf = self.ops[at].is_none() && node.root == at && node.home == Home::Local;
        assert!(is_leaf, "only a leaf can be set");
        f(&mut self.values.all_mut()[node.layout.offset..][..node.shape.len()]);
    }

    /// Lets `f` see a node's elements after a pass, of its rows in use, row-major.
    ///
    /// # Panics
    /// If it is a parameter or a view whose elements do not lie so, or of another recording.
    pub fn with_data<R>(&self, id: NodeId, f: impl FnOnce(&[E]) -> R) -> R {
        f(&self.values.all()[self.plain_span(id)])
    }

    /// Lets `f` see its gradient after a backward pass.
    ///
    /// # Panics
    /// As [`Recording::with_data`].
    pub fn with_grad<R>(&self, id: NodeId, f: impl FnOnce(&[E]) -> R) -> R {
        f(&self.grads.all()[self.plain_span(id)])
    }

    fn plain_span(&self, id: NodeId) -> Range<usize> {
        let node = &self.nodes[self.at(id)];
        let plain = node.home == Home::Local && node.layout.is_contiguous(&node.shape);
        assert!(plain, "the elements do not lie row-major in the recording");
        node.span(&self.fed.used)
    }

    /// A node's only element after a pass.
    ///
    /// # Panics
    /// If it has more, or as [`Recording::with_data`].
    #[inline]
    pub fn item(&self, id: NodeId) -> E {
        let node = &self.nodes[self.at(id)];
        let one = node.shape.len() == 1 && node.home == Home::Local;
        assert!(one, "item() is for a computed tensor of one element, not of shape {:?}", node.shape);
        self.values.all()[node.layout.offset]
    }

    /// A node's sizes.
    ///
    /// # Panics
    /// If it is of another recording.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.nodes[self.at(id)].shape
    }

    /// Takes over what a pass says of the rows in use.
    pub(crate) fn use_rows(&mut self, rows: &[Rows], often: &[u32]) {
        let Fed { most, used, counts, .. } = &mut self.fed;
        assert!(rows.len() <= used.len(), "the recording has {} axes, not {}", used.len(), rows.len());
        for (axis, (used, counts)) in used.iter_mut().zip(counts).enumerate() {
            counts.clear();
            *used = rows.get(axis).map_or(most[axis], |rows| rows.used());
            assert!(*used <= most[axis], "{used} rows of an axis of at most {}", most[axis]);
            if let Some(&Rows::Counted { rows, from }) = rows.get(axis) {
                counts.extend(often[from..from + rows].iter().map(|&c| E::of(f64::from(c))));
            }
        }
    }

    /// Computes every value from the leaves' present ones.
    ///
    /// # Panics
    /// If these are not the parameters that it was recorded with, or ones like them; if more rows are in use than the
    /// recording has.
    pub fn forward(&mut self, params: &Params<E>, pass: &Pass<'_>) {
        assert!(params.fingerprint() == self.fingerprint, "recorded with other parameters");
        self.use_rows(pass.rows, pass.counts);
        let keep_rows = self.keeps_rows();
        kernels::enter(pass.pool, keep_rows, || {
            for id in 0..self.nodes.len() {
                self.run(id, params, pass);
            }
        });
    }

    /// Whether every operation works on the rows of one batch that is not small, and leaves a thread the same ones.
    pub(crate) fn keeps_rows(&self) -> bool {
        // Those of the logits: of the last matrix.
        let last = self.nodes.iter().rev().find(|node| node.home == Home::Local && node.shape.rank() > 1);
        let rows = last.map_or(0, |node| node.stored(&self.fed.used) / node.shape.last().max(1));
        rows >= KEPT_FROM && self.ops.iter().flatten().all(|op| op.keeps_rows())
    }

    pub(crate) fn run(&mut self, id: usize, params: &Params<E>, pass: &Pass<'_>) {
        let Some(op) = self.ops[id].as_mut() else { return };
        let node = &self.nodes[id];
        let (values, rest) = self.values.all_mut().split_at_mut(node.layout.offset);
        let used = &self.fed.used[..];
        // An axis of which no row is in use, such as a level that no word of a batch reaches.
        let stored = node.stored(used);
        if stored == 0 {
            return;
        }
        let params_values = ParamValues::all(params.values());
        let x = Inputs { nodes: &self.nodes, ids: &self.inputs[id], params: params_values, values, used };
        op.forward(x, &mut rest[..stored], &env(&self.fed, params, pass));
    }

    /// Writes what a forward pass in training found out for the buffers, such as new running statistics.
    ///
    /// # Panics
    /// As [`Recording::forward`].
    pub fn store_buffers(&self, params: &mut Params<E>) {
        assert!(params.fingerprint() == self.fingerprint, "recorded with other parameters");
        self.ops.iter().flatten().for_each(|op| op.store_buffers(params.buffers_mut()));
    }

    /// Whether equal rows can be computed once; see [`RowRule`].
    #[must_use]
    pub fn is_mergeable(&self) -> bool {
        (0..self.nodes.len()).all(|id| {
            let from_rows = self.inputs[id].iter().any(|&i| self.nodes[i].axis.is_some());
            match &self.ops[id] {
                Some(op) => !from_rows || !matches!(op.row_rule(), RowRule::Mixes | RowRule::KeepsApart),
                None => !from_rows || self.nodes[id].axis.is_some(),
            }
        })
    }
}

/// What operations see besides their inputs.
pub(crate) fn env<'a, E: Element>(fed: &'a Fed<E>, params: &'a Params<E>, pass: &Pass<'_>) -> Env<'a, E> {
    let &Pass { training, step, replica, .. } = pass;
    Env { training, step, replica, buffers: params.buffers(), fed }
}
