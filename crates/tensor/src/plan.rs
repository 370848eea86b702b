//! The way of the gradient through a tape.

use crate::Element;
use crate::tape::Inner;

/// The backward pass from one loss: worked out once, then followed every step.
pub(crate) struct Plan {
    pub loss: usize,
    pub order: Vec<usize>,
    pub add: Vec<u32>,
    pub zero: Vec<usize>,
}

impl<E: Element> Inner<E> {
    /// Which operations the gradient passes through, and whether each writes to an input's gradient or adds.
    pub fn plan_from(&self, loss: usize) -> Plan {
        let mut reached = vec![false; loss + 1];
        let mut touched = vec![false; self.nodes.len()];
        let mut add = vec![0u32; loss + 1];
        let (mut order, mut zero) = (Vec::new(), Vec::new());
        reached[loss] = true;
        touched[self.nodes[loss].root] = true;
        for id in (0..=loss).rev() {
            if !reached[id] || !self.nodes[id].needs_grad {
                continue;
            }
            // A view's gradient is the same view of its root's gradient: nothing to run, only to pass on.
            let is_op = self.ops[id].is_some();
            if is_op {
                order.push(id);
            }
            for (k, &input) in self.inputs[id].iter().enumerate() {
                reached[input] = true;
                if !is_op || !self.nodes[input].needs_grad {
                    continue;
                }
                let node = &self.nodes[input];
                let root = &self.nodes[node.root];
                let whole = node.layout.offset == root.layout.offset
                    && node.shape.len() == root.shape.len()
                    && node.layout.extent(&node.shape) == node.shape.len();
                if touched[node.root] {
                    add[id] |= 1 << k;
                } else if !whole {
                    zero.push(node.root);
                    add[id] |= 1 << k;
                }
                touched[node.root] = true;
            }
        }
        let untouched = |&id: &usize| {
            let node = &self.nodes[id];
            node.root == id && node.needs_grad && self.ops[id].is_none() && !touched[id]
        };
        zero.extend((0..self.nodes.len()).filter(untouched));
        Plan { loss, order, add, zero }
    }
}
