//! The backward pass of a recording.

use crate::kernels::{self, Epilogue};
use crate::op::{Grad, InputGrads, Inputs, ParamValues};
use crate::recording::{Storage, env};
use crate::{Element, Grads, NodeId, Params, Pass, Recording};
use std::ops::Range;

/// The backward pass from one node: worked out once, then run in every step.
pub(crate) struct BackwardPass {
    /// The node that it starts from, mostly the loss.
    from: usize,
    tasks: Vec<Task>,
    /// Per node and input: whether the input's gradient is added to, because an earlier task has written it.
    add: Vec<Box<[bool]>>,
    /// The nodes whose gradient is set to 0 before the first task.
    zeroed: Vec<usize>,
    /// The ranges of parameters that the recording does not use; their gradient is 0.
    unused: Vec<Range<usize>>,
    /// The parameters that gradient descent updates after the last task; the others are updated as soon as
    /// their gradient is computed.
    updated_last: Vec<usize>,
}

/// One task of a backward pass: a method to call on the operation of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    /// `Op::backward`
    Backward(usize),
    /// `Op::weight_grad`; the flag is true if the weight is a parameter and gets no other gradient.
    WeightGrad(usize, bool),
    /// `Op::receive`
    Receive(usize),
}

/// The parameters of a backward pass: read only, or updated by gradient descent with this learning rate.
enum Access<'a, E> {
    Read(&'a Params<E>),
    Descend(&'a mut Params<E>, E),
}

impl<E: Element> Access<'_, E> {
    fn params(&self) -> &Params<E> {
        match self {
            Self::Read(params) => params,
            Self::Descend(params, _) => params,
        }
    }
}

impl<E: Element> Recording<E> {
    /// Computes the gradient of the scalar `loss` with respect to everything that it depends on, after a
    /// forward pass.
    ///
    /// Gradients of an earlier backward pass are overwritten.
    ///
    /// # Panics
    /// If `loss` is not a single number that an operation computed; if parameters or gradients have another
    /// layout.
    pub fn backward(&mut self, params: &Params<E>, grads: &mut Grads<E>, loss: NodeId, pass: &Pass<'_>) {
        self.check_scalar(loss);
        self.run_backward(&mut Access::Read(params), grads, loss, &[E::one()], pass);
    }

    /// As [`Recording::backward`], with a step of gradient descent: every parameter p becomes `p - rate g`.
    /// The gradients of weights are not kept.
    ///
    /// # Panics
    /// As [`Recording::backward`].
    pub fn descend(
        &mut self,
        params: &mut Params<E>,
        grads: &mut Grads<E>,
        loss: NodeId,
        rate: E,
        pass: &Pass<'_>,
    ) {
        self.check_scalar(loss);
        self.run_backward(&mut Access::Descend(params, rate), grads, loss, &[E::one()], pass);
    }

    /// As [`Recording::backward`], but from any node that an operation computed, given the gradient with
    /// respect to it in row-major order.
    ///
    /// # Panics
    /// As [`Recording::backward`].
    pub fn backward_from(
        &mut self,
        params: &Params<E>,
        grads: &mut Grads<E>,
        node: NodeId,
        gradient: &[E],
        pass: &Pass<'_>,
    ) {
        self.run_backward(&mut Access::Read(params), grads, node, gradient, pass);
    }

    fn check_scalar(&self, loss: NodeId) {
        let shape = self.shape(loss);
        assert_eq!(shape.len(), 1, "backward starts from a single number, not from shape {shape:?}");
    }

    fn run_backward(
        &mut self,
        access: &mut Access<'_, E>,
        grads: &mut Grads<E>,
        from: NodeId,
        gradient: &[E],
        pass: &Pass<'_>,
    ) {
        let from = self.at(from);
        assert!(access.params().fingerprint() == self.fingerprint, "recorded with other parameters");
        grads.check(self.fingerprint);
        let backward = match self.backward_pass.take().filter(|backward| backward.from == from) {
            Some(backward) => backward,
            None => self.prepare_backward(from, access.params()),
        };
        self.grads.match_len(&self.values);
        for &base in &backward.zeroed {
            let node = self.nodes[base];
            let memory = match node.storage {
                Storage::Params => grads.values_mut(),
                Storage::Recording => self.grads.all_mut(),
            };
            bytemuck::fill_zeroes(&mut memory[node.layout.offset..][..node.layout.extent(&node.shape)]);
        }
        for range in &backward.unused {
            bytemuck::fill_zeroes(&mut grads.values_mut()[range.clone()]);
        }
        let node = self.nodes[from];
        assert!(
            node.storage == Storage::Recording && node.base == from,
            "backward starts from an operation's output"
        );
        self.grads.all_mut()[node.layout.offset..][..gradient.len()].copy_from_slice(gradient);
        kernels::enter(pass.pool, self.keeps_rows(), || {
            for &task in &backward.tasks {
                self.run_task(task, &backward, access, grads, pass);
            }
        });
        if let Access::Descend(params, rate) = access {
            for &id in &backward.updated_last {
                let range = self.nodes[id].span(&self.fed.used);
                E::add_scaled(-*rate, &grads.values()[range.clone()], &mut params.values_mut()[range]);
            }
        }
        self.backward_pass = Some(backward);
    }

    fn run_task(
        &mut self,
        task: Task,
        backward: &BackwardPass,
        access: &mut Access<'_, E>,
        grads: &mut Grads<E>,
        pass: &Pass<'_>,
    ) {
        let (Task::Backward(id) | Task::WeightGrad(id, _) | Task::Receive(id)) = task;
        let Some(op) = self.ops[id].as_mut() else { return };
        let (nodes, ids, used) = (&self.nodes[..], &self.inputs[id][..], &self.fed.used[..]);
        let node = &nodes[id];
        let (below, rest) = self.grads.all_mut().split_at_mut(node.layout.offset);
        let (values, grad) = (self.values.all(), &rest[..node.stored(used)]);
        let add = &backward.add[id][..];
        let mut grads = InputGrads { nodes, ids, params: grads.values_mut(), values: below, add, used };
        match task {
            // No row is in use, so forward did nothing (see `Recording::run`); inputs' gradients start as
            // zeros.
            Task::Backward(_) if grad.is_empty() && !op.receives() => {
                for k in (0..ids.len()).filter(|&k| op.weight() != Some(k)) {
                    grads.get(k).map(Grad::zeroed);
                }
            }
            Task::Backward(_) => {
                let params = access.params();
                let x = Inputs { nodes, ids, params: ParamValues::all(params.values()), values, used };
                op.backward(x, &values[node.span(used)], grad, &mut grads, &env(&self.fed, params, pass));
            }
            Task::WeightGrad(_, only_user) => {
                let k = op.weight().expect("it has one");
                match access {
                    Access::Descend(params, rate) if only_user => {
                        let piece = nodes[ids[k]].span(used);
                        let (weight, params) = ParamValues::lend(params.values_mut(), piece);
                        let x = Inputs { nodes, ids, params, values, used };
                        op.weight_grad(x, grad, weight, Epilogue::AddScaled(-*rate));
                    }
                    _ => {
                        let params = ParamValues::all(access.params().values());
                        let x = Inputs { nodes, ids, params, values, used };
                        if let Some(g) = grads.get(k) {
                            op.weight_grad(
                                x,
                                grad,
                                g.data,
                                if g.add { Epilogue::Add } else { Epilogue::Set },
                            );
                        }
                    }
                }
            }
            Task::Receive(_) => op.receive(grad, &mut grads),
        }
    }

    /// Finds the operations that the gradient passes through, and whether each writes an input's gradient or
    /// adds to it.
    fn prepare_backward(&self, loss: usize, params: &Params<E>) -> BackwardPass {
        let mut reached = vec![false; loss + 1];
        let mut touched = vec![false; self.nodes.len()];
        let mut add: Vec<Box<[bool]>> =
            self.inputs[..=loss].iter().map(|inputs| vec![false; inputs.len()].into()).collect();
        let (mut order, mut zeroed) = (Vec::new(), Vec::new());
        // Per parameter: the operation whose weight it is, if no other operation has a gradient for it.
        let mut only_user: Vec<Option<usize>> = vec![None; self.nodes.len()];
        reached[loss] = true;
        touched[self.nodes[loss].base] = true;
        for id in (0..=loss).rev() {
            if !reached[id] || !self.nodes[id].needs_grad {
                continue;
            }
            // A view's gradient is the same view of its base's gradient: nothing to run, only to pass on.
            let is_op = self.ops[id].is_some();
            if is_op {
                order.push(id);
            }
            let weight = self.ops[id].as_ref().and_then(|op| op.weight());
            let inputs = &self.inputs[id];
            // In the order in which the gradients are computed: the weight's comes last.
            let others = (0..inputs.len()).filter(|&k| Some(k) != weight);
            for k in others.chain(weight) {
                let input = inputs[k];
                reached[input] = true;
                if !is_op || !self.nodes[input].needs_grad {
                    continue;
                }
                let node = &self.nodes[input];
                let base = &self.nodes[node.base];
                let whole = node.layout.offset == base.layout.offset
                    && node.shape.len() == base.shape.len()
                    && node.layout.extent(&node.shape) == node.shape.len();
                if touched[node.base] {
                    add[id][k] = true;
                    only_user[node.base] = None;
                } else if !whole {
                    zeroed.push(node.base);
                    add[id][k] = true;
                } else if node.base == input && node.storage == Storage::Params && Some(k) == weight {
                    only_user[input] = Some(id);
                }
                touched[node.base] = true;
            }
        }
        let untouched = |&id: &usize| {
            let node = &self.nodes[id];
            node.base == id && node.needs_grad && self.ops[id].is_none() && !touched[id]
        };
        zeroed.extend((0..self.nodes.len()).filter(untouched));
        let is_parameter =
            |&id: &usize| self.nodes[id].base == id && self.nodes[id].storage == Storage::Params;
        let updated_last =
            (0..self.nodes.len()).filter(is_parameter).filter(|&id| only_user[id].is_none()).collect();
        let recorded = |range: &Range<usize>| {
            self.nodes.iter().any(|node| node.storage == Storage::Params && node.layout.offset == range.start)
        };
        let unused = params.trained().map(|entry| entry.range()).filter(|range| !recorded(range)).collect();
        BackwardPass { from: loss, tasks: self.tasks(&order, &only_user), add, zeroed, unused, updated_last }
    }

    /// The tasks of these operations. No other gradient depends on a weight's, so it is computed while this
    /// thread waits for the other half's numbers, if it will still wait for any.
    fn tasks(&self, order: &[usize], only_user: &[Option<usize>]) -> Vec<Task> {
        let (mut tasks, mut weights) = (Vec::new(), Vec::new());
        let op = |id: usize| self.ops[id].as_ref().expect("only operations are in order");
        let mut receiving = order.iter().filter(|&&id| op(id).receives()).count();
        for &id in order {
            tasks.push(Task::Backward(id));
            if let Some(k) = op(id).weight() {
                let only_user = only_user[self.inputs[id][k]] == Some(id);
                // A weight that other operations have gradients for keeps its place in the order.
                let list = if only_user && receiving > 0 { &mut weights } else { &mut tasks };
                list.push(Task::WeightGrad(id, only_user));
            }
            if op(id).receives() {
                tasks.append(&mut weights);
                tasks.push(Task::Receive(id));
                receiving -= 1;
            }
        }
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::Task::{Backward, Receive, WeightGrad};
    use crate::kernels::Communicator;
    use crate::kernels::tests::numbers;
    use crate::ops::Targets;
    use crate::{Element, Grads, NodeId, ParamId, Params, Pass, Recording};
    use std::sync::Arc;

    /// A net in which one weight is used twice, one is used through a view, and one is not used.
    fn net<E: Element>(rows: usize) -> (Params<E>, Vec<ParamId>, Recording<E>, NodeId) {
        let mut params = Params::new();
        let ids = vec![
            params.add_by_columns("first", [20, 6], &numbers(120, 1)),
            params.add_by_columns("twice", [20, 20], &numbers(400, 2)),
            params.add_by_columns("turned", [20, 5], &numbers(100, 3)),
            params.add("bias", &[20], &numbers(20, 4)),
            params.add("unused", &[3], &numbers(3, 5)),
            params.add("embedding", &[5, 3], &numbers(15, 6)),
        ];
        let some: Vec<u32> = (0..3 * rows as u32).map(|i| i * i % 5).collect();
        let (mut recording, loss) = Recording::new(&params, |tape| {
            let contexts = tape.indices(&[rows, 2], &some[..2 * rows]);
            let targets = tape.indices(&[rows], &some[2 * rows..]);
            let p = |i: usize| tape.param(ids[i]);
            let h = p(5).embedding(contexts).flatten(1).linear(p(0), Some(p(3))).tanh();
            let h = h.linear(p(1), None).tanh().linear(p(1), None).tanh();
            h.linear(p(2).transpose(0, 1), None).cross_entropy(Targets::from(targets)).id()
        });
        recording.fuse(&[loss]);
        recording.forward(&params, &Pass::training());
        (params, ids, recording, loss)
    }

    fn check<E: Element>(rows: usize) {
        let (mut params, ids, mut recording, loss) = net::<E>(rows);
        let (mut descended, _, mut other, other_loss) = net::<E>(rows);
        let before = params.clone();
        let mut grads = Grads::zeros(&params);
        // Left over from another recording.
        grads.values_mut().fill(E::one());
        recording.backward(&params, &mut grads, loss, &Pass::training());
        E::add_scaled(E::of(-0.3), grads.values(), params.values_mut());
        other.descend(&mut descended, &mut grads, other_loss, E::of(0.3), &Pass::training());
        for (i, &id) in ids.iter().enumerate() {
            assert_eq!(params.read(id), descended.read(id), "parameter {i} of {rows} rows");
            assert_eq!(params.read(id) == before.read(id), i == 4, "parameter {i} moves unless it is unused");
        }
    }

    #[test]
    fn weights_come_at_once_or_while_the_other_half_is_waited_for() {
        for halved in [false, true] {
            let mut params = Params::<f32>::new();
            let ids = ["x", "first", "second"].map(|name| params.add(name, &[2, 2], &[1.0; 4]));
            let record = |tape: &crate::Tape<'_, f32>| {
                let [x, first, second] = ids.map(|id| tape.param(id));
                let x = if halved { x.replicated() } else { x.tanh() };
                let h = x.linear(first, None);
                let y = h.linear(second, None);
                [x, h, y, y.sum_all()].map(|var| var.id())
            };
            let (mut recording, nodes) = match halved {
                true => Recording::shard(&params, 0, &Arc::new(Communicator::default()), record),
                false => Recording::new(&params, record),
            };
            recording.forward(&params, &Pass::training());
            let [.., last] = nodes;
            recording.backward(&params, &mut Grads::zeros(&params), last, &Pass::training());
            let [below, h, y, loss] = nodes.map(|id| id.index);
            let (of_y, of_h) = (WeightGrad(y, true), WeightGrad(h, true));
            let tasks = recording.backward_pass.unwrap().tasks;
            match halved {
                false => {
                    assert_eq!(
                        tasks,
                        [Backward(loss), Backward(y), of_y, Backward(h), of_h, Backward(below)]
                    );
                }
                true => {
                    let waiting = [of_y, of_h, Receive(below)];
                    let first = [Backward(loss), Backward(y), Backward(h), Backward(below)];
                    assert_eq!(tasks, [&first[..], &waiting[..]].concat());
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

    #[test]
    fn there_is_no_most_of_inputs() {
        let tape = crate::Tape::<f64>::new();
        let parts: Vec<_> = (0..40).map(|i| tape.variable(&[1, 2], &[f64::from(i), 1.0])).collect();
        let all = crate::Var::cat(&parts, 0);
        (all * all).sum_all().backward();
        assert_eq!(parts[39].grad(), [78.0, 2.0]);
    }
}
