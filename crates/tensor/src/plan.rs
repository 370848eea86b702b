//! The way of the gradient through a tape.

use crate::Element;
use crate::op::{Grads, Inputs};
use crate::tape::{Home, Inner};

/// The backward pass from one loss: worked out once, then followed every step.
pub(crate) struct Plan {
    pub loss: usize,
    pub order: Vec<usize>,
    pub add: Vec<u32>,
    pub zero: Vec<usize>,
    /// Which inputs of each operation are parameters that no other operation has a gradient for.
    pub sole: Vec<u32>,
    pub parameters: Vec<usize>,
    /// In a step of descent: which parameters have made it.
    pub stepped: Vec<bool>,
}

impl<E: Element> Inner<E> {
    /// Makes the next backward pass work its way out anew.
    pub fn forget_plan(&mut self) {
        self.plan = None;
    }

    /// With a rate, leaves not the gradients of the parameters but the parameters after a step of descent.
    pub fn backward(&mut self, from: usize, gradient: &[E], rate: Option<E>) {
        if self.plan.as_ref().is_none_or(|p| p.loss != from) {
            self.plan = Some(self.plan_from(from));
        }
        self.grads.match_len(&self.values);
        let mut plan = self.plan.take().expect("made above");
        for &root in &plan.zero {
            let node = self.nodes[root];
            self.grad_mut(node.home)[node.layout.offset..][..node.layout.extent(&node.shape)].fill(E::zero());
        }
        let node = self.nodes[from];
        assert!(node.home == Home::Local && node.root == from, "backward starts from an operation's output");
        self.grads.all_mut()[node.layout.offset..][..gradient.len()].copy_from_slice(gradient);
        for &id in &plan.order {
            let Some(op) = self.ops[id].as_mut() else { continue };
            let node = &self.nodes[id];
            let stored = node.stored(self.rows);
            let (below, rest) = self.grads.all_mut().split_at_mut(node.layout.offset);
            let values = self.values.all();
            let (nodes, ids) = (&self.nodes[..], &self.inputs[id][..]);
            let x = Inputs { nodes, ids, params: self.params.all(), values, rows: self.rows };
            let params = self.param_grads.all_mut();
            let mut grads = Grads {
                nodes,
                ids,
                params,
                values: below,
                add: plan.add[id],
                rows: self.rows,
                descent: rate.map(|rate| (x.params, rate)),
                sole: plan.sole[id],
                descended: 0,
            };
            let env = self.world.env();
            op.backward(x, &values[node.layout.offset..][..stored], &rest[..stored], &mut grads, &env);
            let descended = grads.descended;
            for (k, &input) in ids.iter().enumerate() {
                plan.stepped[input] |= descended >> k & 1 == 1;
            }
        }
        if let Some(rate) = rate {
            for &id in &plan.parameters {
                let node = &self.nodes[id];
                let range = node.layout.offset..node.layout.offset + node.shape.len();
                if !std::mem::take(&mut plan.stepped[id]) {
                    E::scale_onto(
                        -rate,
                        &self.params.all()[range.clone()],
                        &mut self.param_grads.all_mut()[range],
                    );
                }
            }
        }
        self.plan = Some(plan);
    }

    fn grad_mut(&mut self, home: Home) -> &mut [E] {
        match home {
            Home::Param => self.param_grads.all_mut(),
            Home::Local => self.grads.all_mut(),
        }
    }

    /// Which operations the gradient passes through, and whether each writes to an input's gradient or adds.
    fn plan_from(&self, loss: usize) -> Plan {
        let mut reached = vec![false; loss + 1];
        let mut touched = vec![false; self.nodes.len()];
        let mut add = vec![0u32; loss + 1];
        let (mut order, mut zero, mut sole) = (Vec::new(), Vec::new(), vec![0u32; loss + 1]);
        let mut only: Vec<Option<(usize, usize)>> = vec![None; self.nodes.len()];
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
                    if let Some((first, k)) = only[node.root].take() {
                        sole[first] &= !(1 << k);
                    }
                } else if !whole {
                    zero.push(node.root);
                    add[id] |= 1 << k;
                } else if node.root == input && node.home == Home::Param {
                    only[input] = Some((id, k));
                    sole[id] |= 1 << k;
                }
                touched[node.root] = true;
            }
        }
        let untouched = |&id: &usize| {
            let node = &self.nodes[id];
            node.root == id && node.needs_grad && self.ops[id].is_none() && !touched[id]
        };
        zero.extend((0..self.nodes.len()).filter(untouched));
        let is_parameter = |&id: &usize| self.nodes[id].root == id && self.nodes[id].home == Home::Param;
        let parameters = (0..self.nodes.len()).filter(is_parameter).collect();
        Plan { loss, order, add, zero, sole, parameters, stepped: vec![false; self.nodes.len()] }
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::tests::numbers;
    use crate::ops::Targets;
    use crate::{Element, Id, Tape};

    /// A net in which one weight is used twice, one is seen through a view, and one not at all.
    fn net<E: Element>(rows: usize, tape: &Tape<E>) -> (Vec<Id>, Id) {
        let parameters = vec![
            tape.parameter_by_columns("first", [20, 6], &numbers(120, 1)),
            tape.parameter_by_columns("twice", [20, 20], &numbers(400, 2)),
            tape.parameter("viewed", &[20, 7], &numbers(140, 3)),
            tape.parameter("bias", &[20], &numbers(20, 4)),
            tape.parameter("unused", &[3], &numbers(3, 5)),
            tape.parameter("table", &[7, 3], &numbers(21, 6)),
        ];
        let contexts: Vec<u32> = (0..2 * rows as u32).map(|i| i * 5 % 7).collect();
        let targets: Vec<u32> = (0..rows as u32).map(|i| i * 3 % 7).collect();
        let (contexts, targets) = (tape.indices(&[rows, 2], &contexts), tape.indices(&[rows], &targets));
        let var = |i: usize| tape.var(parameters[i]);
        let mark = tape.mark();
        let h = var(5).embedding(contexts).flatten(1).linear(var(0), Some(var(3))).tanh();
        let h = h.linear(var(1), None).tanh().linear(var(1), None).tanh();
        let loss = h.linear(var(2).transpose(0, 1), None).cross_entropy(Targets::from(targets)).id();
        tape.fuse(tape.graph_since(mark), &[loss]);
        tape.replay(tape.graph_since(mark));
        (parameters, loss)
    }

    fn check<E: Element>(rows: usize) {
        let (tape, other) = (Tape::<E>::new(), Tape::<E>::new());
        let (parameters, loss) = net(rows, &tape);
        net(rows, &other);
        let before: Vec<Vec<E>> = parameters.iter().map(|&p| tape.var(p).data()).collect();
        tape.backward(loss);
        tape.with_parameters(|params, grads| E::add_scaled(E::of(-0.3), grads, params));
        other.descend(loss, E::of(0.3));
        for (i, &p) in parameters.iter().enumerate() {
            assert_eq!(tape.var(p).data(), other.var(p).data(), "parameter {i} of {rows} rows");
            assert_eq!(tape.var(p).data() == before[i], i == 4, "parameter {i} moves unless it is unused");
        }
    }

    #[test]
    fn a_descent_is_the_gradient_and_a_step_to_the_bit() {
        check::<f32>(5);
        check::<f32>(300);
        check::<f64>(5);
    }
}
