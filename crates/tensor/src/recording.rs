//! A recorded computation: its operations, its own memory, and how it is run.

use crate::backward::BackwardPass;
use crate::kernels;
use crate::op::{Env, Inputs, Op, ParamValues, RowRule};
use crate::slab::Slab;
use crate::{Element, Layout, Params, Pass, Rows, Shape};
use std::ops::Range;

/// A node of a recording: a handle that can be stored.
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

/// A number of rows that varies from pass to pass, such as of a batch's examples, or of a trie's nodes on one
/// level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Axis {
    pub(crate) recording: u64,
    pub(crate) index: usize,
}

/// Where a node's elements lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Storage {
    /// In the parameters that a pass is given.
    Params,
    /// In the recording's own memory.
    Recording,
}

/// A node's properties, apart from its operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub shape: Shape,
    pub layout: Layout,
    pub storage: Storage,
    /// The node whose memory it uses: its own, unless it is a view.
    pub base: usize,
    pub needs_grad: bool,
    /// The axis of its first dimension, if its number of rows varies.
    pub axis: Option<usize>,
}

impl Node {
    /// How many elements are in use, from the first to the last.
    #[inline]
    pub fn stored(&self, used: &[usize]) -> usize {
        match self.axis {
            Some(axis) => self.shape.len() / self.shape.dims()[0].max(1) * used[axis],
            None => self.layout.extent(&self.shape),
        }
    }

    /// The range of these elements in the node's memory.
    #[inline]
    pub fn span(&self, used: &[usize]) -> Range<usize> {
        self.layout.offset..self.layout.offset + self.stored(used)
    }
}

/// What a pass is given besides the elements of leaves: index tensors, and the rows in use of each axis.
pub(crate) struct Fed<E> {
    pub indices: Vec<IndexTensor>,
    /// Per axis: the maximum number of rows, the number in use, and each row's count (empty: 1 each).
    pub capacity: Vec<usize>,
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

/// A recorded computation, to be run many times.
///
/// Nodes are in the order of their creation, so an operation's inputs come before it: forward is one loop
/// from the start, backward one from the end. A recording owns all memory that its passes need except the
/// parameters, which are given to each pass, so that several recordings can share them.
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
    pub(crate) backward_pass: Option<BackwardPass>,
    /// Whether it has only half of every layer's units, and another recording the other half.
    pub(crate) is_shard: bool,
}

/// From this number of rows on it pays to give each thread its own part of the rows for a whole pass.
const MIN_ROWS_TO_KEEP: usize = 128;

impl<E: Element> Recording<E> {
    pub(crate) fn empty(fingerprint: u64, is_shard: bool) -> Self {
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
            fed: Fed { indices: Vec::new(), capacity: Vec::new(), used: Vec::new(), counts: Vec::new() },
            backward_pass: None,
            is_shard,
        }
    }

    pub(crate) fn push(&mut self, node: Node, op: Option<Box<dyn Op<E>>>, inputs: Vec<usize>) -> NodeId {
        self.nodes.push(node);
        self.ops.push(op);
        self.inputs.push(inputs);
        self.backward_pass = None;
        NodeId { recording: self.id, index: self.nodes.len() - 1 }
    }

    /// The index of a node.
    #[inline]
    pub(crate) fn at(&self, id: NodeId) -> usize {
        assert!(id.recording == self.id, "this node is of another recording");
        id.index
    }

    /// The index of an index tensor.
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
        let is_leaf = self.ops[at].is_none() && node.base == at && node.storage == Storage::Recording;
        assert!(is_leaf, "only a leaf can be set");
        f(&mut self.values.all_mut()[node.layout.offset..][..node.shape.len()]);
    }

    /// Lets `f` read a node's elements after a pass, row-major; only the rows in use.
    ///
    /// # Panics
    /// If it is a parameter, a view that is not contiguous, or of another recording.
    pub fn with_data<R>(&self, id: NodeId, f: impl FnOnce(&[E]) -> R) -> R {
        f(&self.values.all()[self.plain_span(id)])
    }

    /// Lets `f` read a node's gradient after a backward pass.
    ///
    /// # Panics
    /// As [`Recording::with_data`].
    pub fn with_grad<R>(&self, id: NodeId, f: impl FnOnce(&[E]) -> R) -> R {
        f(&self.grads.all()[self.plain_span(id)])
    }

    fn plain_span(&self, id: NodeId) -> Range<usize> {
        let node = &self.nodes[self.at(id)];
        let plain = node.storage == Storage::Recording && node.layout.is_contiguous(&node.shape);
        assert!(plain, "the elements do not lie row-major in the recording");
        node.span(&self.fed.used)
    }

    /// A node's only element after a pass.
    ///
    /// # Panics
    /// If it has more than one, or as [`Recording::with_data`].
    #[inline]
    pub fn item(&self, id: NodeId) -> E {
        let node = &self.nodes[self.at(id)];
        let one = node.shape.len() == 1 && node.storage == Storage::Recording;
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

    /// Sets the rows in use, and their counts, to those of a pass.
    pub(crate) fn use_rows(&mut self, rows: &[Rows], row_counts: &[u32]) {
        let Fed { capacity, used, counts, .. } = &mut self.fed;
        assert!(rows.len() <= used.len(), "the recording has {} axes, not {}", used.len(), rows.len());
        for (axis, (used, counts)) in used.iter_mut().zip(counts).enumerate() {
            counts.clear();
            *used = rows.get(axis).map_or(capacity[axis], |rows| rows.used());
            assert!(*used <= capacity[axis], "{used} rows of an axis of at most {}", capacity[axis]);
            if let Some(&Rows::Counted { rows, from }) = rows.get(axis) {
                counts.extend(row_counts[from..from + rows].iter().map(|&c| E::of(f64::from(c))));
            }
        }
    }

    /// Computes the value of every node from the present values of the leaves.
    ///
    /// # Panics
    /// If the parameters differ in name, shape or layout from those it was recorded with; if more rows are in
    /// use than the recording has.
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

    /// Whether the batch is large enough, and every operation divides its rows in the same way among the
    /// threads.
    pub(crate) fn keeps_rows(&self) -> bool {
        // The number of rows of the logits, the last matrix.
        let last =
            self.nodes.iter().rev().find(|node| node.storage == Storage::Recording && node.shape.rank() > 1);
        let rows = last.map_or(0, |node| node.stored(&self.fed.used) / node.shape.last().max(1));
        rows >= MIN_ROWS_TO_KEEP && self.ops.iter().flatten().all(|op| op.keeps_rows())
    }

    pub(crate) fn run(&mut self, id: usize, params: &Params<E>, pass: &Pass<'_>) {
        let Some(op) = self.ops[id].as_mut() else { return };
        let node = &self.nodes[id];
        let (values, rest) = self.values.all_mut().split_at_mut(node.layout.offset);
        let used = &self.fed.used[..];
        // No row of the axis is in use, as on a trie level that no word of the batch reaches.
        let stored = node.stored(used);
        if stored == 0 {
            return;
        }
        let params_values = ParamValues::all(params.values());
        let x = Inputs { nodes: &self.nodes, ids: &self.inputs[id], params: params_values, values, used };
        op.forward(x, &mut rest[..stored], &env(&self.fed, params, pass));
    }

    /// Writes what a forward pass in training computed for the buffers, such as new running statistics.
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
                Some(op) => {
                    !from_rows || !matches!(op.row_rule(), RowRule::AcrossRows | RowRule::PerRowIndex)
                }
                None => !from_rows || self.nodes[id].axis.is_some(),
            }
        })
    }
}

/// What operations can read besides their inputs.
pub(crate) fn env<'a, E: Element>(fed: &'a Fed<E>, params: &'a Params<E>, pass: &Pass<'_>) -> Env<'a, E> {
    let &Pass { training, step, replica, .. } = pass;
    Env { training, step, replica, buffers: params.buffers(), fed }
}
