//! The graph: every number of a computation, in the order of creation.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;

use crate::Value;
use crate::ops::Op;

/// All nodes of a computation. A [`Value`] is the handle of one node.
///
/// A node can only use nodes made before it, so the order of creation is a topological order, and the backward
/// pass is one loop from the end to the start.
///
/// ```
/// use charloom_scalar::Graph;
/// let graph = Graph::new();
/// let (a, b) = (graph.value(2.0), graph.value(-3.0));
/// let y = a * b + 10.0;
/// y.backward();
/// assert_eq!((y.data(), a.grad(), b.grad()), (4.0, -3.0, 2.0));
/// ```
#[derive(Default)]
pub struct Graph {
    nodes: RefCell<Nodes>,
}

/// One entry per node in `values`, `grads`, `ops` and `births`.
#[derive(Default)]
pub(crate) struct Nodes {
    pub values: Vec<f64>,
    pub grads: Vec<f64>,
    pub ops: Vec<Op>,
    /// The epoch in which each node was made: tells a handle's node from a later node with the same id.
    births: Vec<u32>,
    /// Operands of ops with more than two.
    pub operands: Vec<u32>,
    pub labels: BTreeMap<u32, String>,
    /// Whether the present backward pass has reached a node.
    reached: Vec<bool>,
    /// How often the graph has been truncated.
    epoch: u32,
}

/// A position in a graph to which [`Graph::truncate`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    nodes: usize,
    operands: usize,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new leaf: an input or a parameter, which has a gradient.
    pub fn value(&self, data: f64) -> Value<'_> {
        self.push(data, Op::Leaf)
    }

    /// A new constant, which has no gradient.
    pub fn constant(&self, data: f64) -> Value<'_> {
        self.push(data, Op::Constant)
    }

    /// A constant for each number, such as the inputs of a [`crate::Mlp`].
    pub fn constants(&self, data: &[f64]) -> Vec<Value<'_>> {
        data.iter().map(|&x| self.constant(x)).collect()
    }

    /// 0 + v0 + v1 + ..., added from the left like Python's `sum`.
    pub fn sum<'g>(&'g self, values: impl IntoIterator<Item = Value<'g>>) -> Value<'g> {
        values.into_iter().fold(self.constant(0.0), |sum, v| sum + v)
    }

    /// b + w0 x0 + w1 x1 + ... as one node, added from the left: the same bits as with single ops.
    ///
    /// # Panics
    /// If `w` and `x` differ in length.
    pub fn affine<'g>(&'g self, w: &[Value<'g>], x: &[Value<'g>], b: Value<'g>) -> Value<'g> {
        assert_eq!(w.len(), x.len(), "affine: as many weights as inputs are needed");
        let ids = |v: &Value<'g>| self.id_of(*v);
        let b = ids(&b);
        let mut nodes = self.nodes.borrow_mut();
        let start = id_of_index(nodes.operands.len());
        nodes.operands.push(b);
        let mut y = nodes.values[b as usize];
        for (w, x) in w.iter().zip(x) {
            let (w, x) = (nodes.checked(self, *w), nodes.checked(self, *x));
            y += nodes.values[w as usize] * nodes.values[x as usize];
            nodes.operands.extend([w, x]);
        }
        let len = id_of_index(nodes.operands.len()) - start;
        drop(nodes);
        self.push(y, Op::Affine { start, len })
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.borrow().values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The present end of the graph.
    pub fn mark(&self) -> Mark {
        let nodes = self.nodes.borrow();
        Mark { nodes: nodes.values.len(), operands: nodes.operands.len() }
    }

    /// Removes all nodes made after `mark`, and keeps their memory for later ones.
    ///
    /// A training loop makes its parameters, takes a mark, and returns to it in each step. Using a handle of
    /// a removed node panics.
    ///
    /// ```
    /// # use charloom_scalar::Graph;
    /// let graph = Graph::new();
    /// let w = graph.value(1.0);
    /// let mark = graph.mark();
    /// for _ in 0..3 {
    ///     (w * 2.0).backward();
    ///     graph.truncate(mark);
    /// }
    /// assert_eq!((w.grad(), graph.len()), (6.0, 1));
    /// ```
    pub fn truncate(&self, mark: Mark) {
        let nodes = &mut *self.nodes.borrow_mut();
        if mark.nodes >= nodes.values.len() {
            return;
        }
        nodes.values.truncate(mark.nodes);
        nodes.grads.truncate(mark.nodes);
        nodes.ops.truncate(mark.nodes);
        nodes.births.truncate(mark.nodes);
        nodes.operands.truncate(mark.operands);
        nodes.labels.split_off(&id_of_index(mark.nodes));
        nodes.epoch = nodes.epoch.wrapping_add(1);
    }

    /// Sets every gradient to 0.
    pub fn zero_grad(&self) {
        self.nodes.borrow_mut().grads.fill(0.0);
    }

    pub(crate) fn push(&self, value: f64, op: Op) -> Value<'_> {
        let mut nodes = self.nodes.borrow_mut();
        let id = id_of_index(nodes.values.len());
        let epoch = nodes.epoch;
        nodes.values.push(value);
        nodes.grads.push(0.0);
        nodes.ops.push(op);
        nodes.births.push(epoch);
        Value::new(self, id, epoch)
    }

    pub(crate) fn nodes(&self) -> Ref<'_, Nodes> {
        self.nodes.borrow()
    }

    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Nodes) -> R) -> R {
        change(&mut self.nodes.borrow_mut())
    }

    /// The id of a value; panics if it is of another graph or was removed.
    pub(crate) fn id_of(&self, value: Value<'_>) -> u32 {
        self.nodes.borrow().checked(self, value)
    }
}

impl Nodes {
    /// The id of `value`, if its node is in `graph` and was not removed; panics otherwise.
    fn checked(&self, graph: &Graph, value: Value<'_>) -> u32 {
        assert!(std::ptr::eq(graph, value.graph()), "a value of another graph; values of one graph only mix");
        let (id, epoch) = value.handle();
        assert!(
            self.births.get(id as usize) == Some(&epoch),
            "value {id} was forgotten by Graph::truncate; make it again, or before the mark"
        );
        id
    }

    /// Computes d root / d node for every node that root depends on.
    ///
    /// Leaves add to the gradient they have; all other gradients are of this pass alone.
    pub fn backward(&mut self, root: u32) {
        let Nodes { values, grads, ops, operands, reached, .. } = self;
        for (grad, op) in grads.iter_mut().zip(ops.iter()) {
            if !matches!(op, Op::Leaf) {
                *grad = 0.0;
            }
        }
        let end = root as usize + 1;
        reached.clear();
        reached.resize(end, false);
        grads[root as usize] += 1.0;
        reached[root as usize] = true;
        for i in (0..end).rev() {
            // Skip nodes that root does not depend on: 0 times an infinite derivative would be NaN.
            if !reached[i] {
                continue;
            }
            let (g, y) = (grads[i], values[i]);
            let mut flow = |to: u32, g: f64| {
                grads[to as usize] += g;
                reached[to as usize] = true;
            };
            match ops[i] {
                Op::Leaf => {}
                Op::Constant => grads[i] = 0.0,
                Op::Unary(op, x) => flow(x, (op.backward)(g, values[x as usize], y)),
                Op::Binary(op, a, b) => {
                    let (da, db) = (op.backward)(g, values[a as usize], values[b as usize], y);
                    flow(a, da);
                    flow(b, db);
                }
                Op::Affine { start, len } => {
                    let operands = &operands[start as usize..(start + len) as usize];
                    flow(operands[0], g);
                    for pair in operands[1..].chunks_exact(2) {
                        let (w, x) = (pair[0], pair[1]);
                        flow(w, g * values[x as usize]);
                        flow(x, g * values[w as usize]);
                    }
                }
            }
        }
    }

    /// The operands of a node, in order.
    pub fn inputs(&self, id: u32) -> Vec<u32> {
        match self.ops[id as usize] {
            Op::Leaf | Op::Constant => Vec::new(),
            Op::Unary(_, x) => vec![x],
            Op::Binary(_, a, b) => vec![a, b],
            Op::Affine { start, len } => self.operands[start as usize..(start + len) as usize].to_vec(),
        }
    }
}

/// An index as an id of 32 bits; a larger graph would not fit into most memories.
fn id_of_index(n: usize) -> u32 {
    u32::try_from(n).expect("a graph holds at most 2^32 nodes; cut it back with Graph::truncate")
}

#[cfg(test)]
mod tests {
    use crate::{Graph, Mlp, Random, Style};

    #[test]
    fn steps_use_the_memory_of_the_step_before() {
        let graph = Graph::new();
        let mlp = Mlp::new(&graph, &mut Random::seed(1), 3, &[4, 4, 1], Style::NOTEBOOK);
        let mark = graph.mark();
        let step = || {
            graph.truncate(mark);
            mlp.forward(&graph.constants(&[2.0, 3.0, -1.0]))[0].label("y").backward();
            let nodes = graph.nodes();
            (
                nodes.values.as_ptr(),
                nodes.grads.as_ptr(),
                nodes.operands.as_ptr(),
                nodes.reached.as_ptr(),
                nodes.values.len(),
                nodes.operands.len(),
                nodes.labels.len(),
            )
        };
        let first = step();
        assert!((0..100).all(|_| step() == first));
    }
}
