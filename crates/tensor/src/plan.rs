//! The way of the gradient through a tape.

use crate::Element;
use crate::kernels::End;
use crate::op::{Grads, Inputs, Params};
use crate::tape::{Home, Inner};

/// The backward pass from one loss: worked out once, then followed every step.
pub(crate) struct Plan {
    pub loss: usize,
    pub tasks: Vec<Task>,
    pub add: Vec<u32>,
    pub zero: Vec<usize>,
    /// The parameters that a step of descent finds a gradient of; the others are stepped where their gradients arise.
    pub unstepped: Vec<usize>,
}

/// What is done with an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Task {
    /// `Op::backward`
    Pass(usize),
    /// `Op::weight_grad`; whether nothing else has a gradient for that weight, and it is a parameter.
    Weight(usize, bool),
    /// `Op::settle`
    Settle(usize),
}

impl<E: Element> Inner<E> {
    /// Makes the next backward pass work its way out anew.
    pub fn forget_plan(&mut self) {
        self.plan = None;
    }

    /// With a rate, every parameter makes a step of descent.
    pub fn backward(&mut self, from: usize, gradient: &[E], rate: Option<E>) {
        if self.plan.as_ref().is_none_or(|p| p.loss != from) {
            self.plan = Some(self.plan_from(from));
        }
        self.grads.match_len(&self.values);
        let plan = self.plan.take().expect("made above");
        for &root in &plan.zero {
            let node = self.nodes[root];
            self.grad_mut(node.home)[node.layout.offset..][..node.layout.extent(&node.shape)].fill(E::zero());
        }
        let node = self.nodes[from];
        assert!(node.home == Home::Local && node.root == from, "backward starts from an operation's output");
        self.grads.all_mut()[node.layout.offset..][..gradient.len()].copy_from_slice(gradient);
        for &task in &plan.tasks {
            self.follow(task, &plan, rate);
        }
        if let Some(rate) = rate {
            for &id in &plan.unstepped {
                let range = self.nodes[id].span(self.rows);
                let (grads, params) = (&self.param_grads.all()[range.clone()], self.params.all_mut());
                E::add_scaled(-rate, grads, &mut params[range]);
            }
        }
        self.plan = Some(plan);
    }

    fn follow(&mut self, task: Task, plan: &Plan, rate: Option<E>) {
        let (Task::Pass(id) | Task::Weight(id, _) | Task::Settle(id)) = task;
        let Some(op) = self.ops[id].as_mut() else { return };
        let node = &self.nodes[id];
        let (below, rest) = self.grads.all_mut().split_at_mut(node.layout.offset);
        let (values, grad) = (self.values.all(), &rest[..node.stored(self.rows)]);
        let (nodes, ids, rows) = (&self.nodes[..], &self.inputs[id][..], self.rows);
        let params = self.param_grads.all_mut();
        let mut grads = Grads { nodes, ids, params, values: below, add: plan.add[id], rows };
        match task {
            Task::Pass(_) => {
                let x = Inputs { nodes, ids, params: Params::all(self.params.all()), values, rows };
                op.backward(x, &values[node.span(rows)], grad, &mut grads, &self.world.env());
            }
            Task::Weight(_, sole) => {
                let k = op.weight().expect("it has one");
                let piece = if sole { nodes[ids[k]].span(rows) } else { 0..0 };
                let (weight, params) = Params::lend(self.params.all_mut(), piece);
                let x = Inputs { nodes, ids, params, values, rows };
                match (rate.filter(|_| sole), grads.get(k)) {
                    (Some(rate), _) => op.weight_grad(x, grad, weight, End::AddScaled(-rate)),
                    (None, Some(g)) => {
                        op.weight_grad(x, grad, g.data, if g.add { End::Add } else { End::Set });
                    }
                    (None, None) => {}
                }
            }
            Task::Settle(_) => op.settle(grad, &mut grads),
        }
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
        let (mut order, mut zero) = (Vec::new(), Vec::new());
        // The operation whose weight a parameter is, if nothing else has a gradient for it.
        let mut sole: Vec<Option<usize>> = vec![None; self.nodes.len()];
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
            let weight = self.ops[id].as_ref().and_then(|op| op.weight());
            let inputs = &self.inputs[id];
            // In the order in which the gradients are made: the weight's comes last.
            let others = (0..inputs.len()).filter(|&k| Some(k) != weight);
            for k in others.chain(weight) {
                let input = inputs[k];
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
                    sole[node.root] = None;
                } else if !whole {
                    zero.push(node.root);
                    add[id] |= 1 << k;
                } else if node.root == input && node.home == Home::Param && Some(k) == weight {
                    sole[input] = Some(id);
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
        let unstepped = (0..self.nodes.len()).filter(is_parameter).filter(|&id| sole[id].is_none()).collect();
        Plan { loss, tasks: self.tasks(&order, &sole), add, zero, unstepped }
    }

    /// All that is done with these operations. Nobody waits for a weight's gradient, so it is made while a partner's numbers are
    /// on their way, if any are still to come.
    fn tasks(&self, order: &[usize], sole: &[Option<usize>]) -> Vec<Task> {
        let (mut tasks, mut weights) = (Vec::new(), Vec::new());
        let op = |id: usize| self.ops[id].as_ref().expect("only operations are in order");
        let mut settling = order.iter().filter(|&&id| op(id).settles()).count();
        for &id in order {
            tasks.push(Task::Pass(id));
            if let Some(k) = op(id).weight() {
                let sole = sole[self.inputs[id][k]] == Some(id);
                // What others have gradients for as well keeps its turn.
                let list = if sole && settling > 0 { &mut weights } else { &mut tasks };
                list.push(Task::Weight(id, sole));
            }
            if op(id).settles() {
                tasks.append(&mut weights);
                tasks.push(Task::Settle(id));
                settling -= 1;
            }
        }
        tasks
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
    fn weights_come_at_once_or_while_a_partner_is_waited_for() {
        use super::Task::{Pass, Settle, Weight};
        use std::sync::Arc;

        for has_partner in [false, true] {
            let partners = Arc::default();
            let tape = if has_partner { Tape::<f32>::with_partner(0, &partners) } else { Tape::new() };
            let parameter = |name| tape.parameter(name, &[2, 2], &[1.0; 4]);
            let [x, first, second] = ["x", "first", "second"].map(parameter);
            let [x, first, second] = [x, first, second].map(|id| tape.var(id));
            let x = if has_partner { x.replicated() } else { x.tanh() };
            let (below, h) = (x.id().0, x.linear(first, None));
            let (h, y) = (h.id().0, h.linear(second, None));
            let loss = y.sum_all();
            tape.backward(loss.id());
            let tasks = tape.inner.borrow().plan.as_ref().unwrap().tasks.clone();
            let (y, loss) = (y.id().0, loss.id().0);
            let (of_y, of_h) = (Weight(y, true), Weight(h, true));
            match has_partner {
                false => assert_eq!(tasks, [Pass(loss), Pass(y), of_y, Pass(h), of_h, Pass(below)]),
                true => {
                    assert_eq!(tasks, [Pass(loss), Pass(y), Pass(h), Pass(below), of_y, of_h, Settle(below)])
                }
            }
        }
    }

    #[test]
    fn a_descent_is_the_gradient_and_a_step_to_the_bit() {
        check::<f32>(5);
        check::<f32>(300);
        check::<f64>(5);
    }
}
