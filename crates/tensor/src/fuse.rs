use crate::ops::activation::Activate;
use crate::ops::embedding::Embedding;
use crate::ops::linear::Linear;
use crate::ops::one_hot::OneHot;
use crate::ops::table_linear::{Source, TableLinear, TableLinearOptions};
use crate::recording::Storage;
use crate::{Element, Indices, NodeId, Recording};

impl<E: Element> Recording<E> {
    /// Replaces patterns of operations by single operations with the same result and less work.
    ///
    /// From then on, a pass computes the values of `outputs` and of what they need; other values and
    /// gradients may be stale. The only pattern: a linear layer on a flattened embedding or on flattened
    /// one-hot vectors, with or without an activation, becomes sums of table rows.
    ///
    /// # Panics
    /// If an output is of another recording.
    pub fn fuse(&mut self, outputs: &[NodeId]) {
        let mut uses = vec![0; self.nodes.len()];
        self.inputs.iter().flatten().for_each(|&i| uses[i] += 1);
        outputs.iter().for_each(|&output| uses[self.at(output)] += 2);
        for id in 0..self.nodes.len() {
            self.fuse_table_linear(id, &uses);
        }
        self.backward_pass = None;
    }

    /// The operation of a node, if it has this type.
    fn op_mut<O: 'static>(&mut self, id: usize) -> Option<&mut O> {
        self.ops[id].as_mut()?.as_any()?.downcast_mut()
    }

    /// Follows a chain of views to the node below them, if each of these nodes is used only once.
    fn through_views(&self, mut id: usize, uses: &[usize]) -> Option<usize> {
        while self.ops[id].is_none() && uses[id] == 1 && self.inputs[id].len() == 1 {
            id = self.inputs[id][0];
        }
        (uses[id] == 1).then_some(id)
    }

    /// If this node ends a linear layer on looked-up vectors, with or without an activation, replaces the
    /// layer.
    fn fuse_table_linear(&mut self, id: usize, uses: &[usize]) -> Option<()> {
        let activation = self.op_mut::<Activate>(id).map(|a| a.0);
        let linear = if activation.is_some() { self.inputs[id][0] } else { id };
        if activation.is_some() && uses[linear] != 1 {
            return None;
        }
        if activation.is_none() && self.only_user_is_activation(id, uses) {
            return None;
        }
        let &mut Linear::<E> { inputs, outputs, bias, by_columns: true, .. } = self.op_mut(linear)? else {
            return None;
        };
        let looked_up = self.through_views(self.inputs[linear][0], uses)?;
        let (source, indices): (Source, Indices) = if let Some(e) = self.op_mut::<Embedding>(looked_up) {
            (Source::Embedding(e.width), e.indices)
        } else {
            let o = self.op_mut::<OneHot>(looked_up)?;
            (Source::OneHot, o.indices)
        };
        let (width, tokens) = match source {
            Source::Embedding(width) => (width, self.nodes[self.inputs[looked_up][0]].shape.dims()[0]),
            Source::OneHot => (self.nodes[looked_up].shape.last(), self.nodes[looked_up].shape.last()),
        };
        let of = self.fed.indices[indices.index].shape;
        // Each row of the layer must hold consecutive tokens of one example: all of them or, where the
        // vectors were reshaped to more rows than examples, some.
        let (shape, rows) = (self.nodes[linear].shape, self.nodes[linear].shape.len() / outputs);
        let by_example = shape.rank() > 1 && shape.dims()[0] == *of.dims().first()?;
        if !by_example || rows == 0 || inputs * rows != of.len() * width {
            return None;
        }
        let size = [rows, of.len() / rows, tokens, outputs];
        let mut ids = self.inputs[linear][1..].to_vec();
        if let Source::Embedding(_) = source {
            ids.insert(0, self.inputs[looked_up][0]);
        }
        for dead in [looked_up, linear] {
            self.ops[dead] = None;
            self.inputs[dead].clear();
            self.nodes[dead].needs_grad &= dead == id;
        }
        // If the table is computed by another layer, its rows are not split into two halves.
        let is_param = ids.first().is_some_and(|&table| self.nodes[table].storage == Storage::Params);
        let (axis, cut) = (self.fed.indices[indices.index].axis, self.cut(outputs).filter(|_| is_param));
        let op = TableLinear::new(source, indices, size, TableLinearOptions { bias, activation, axis, cut });
        self.ops[id] = Some(Box::new(op));
        self.inputs[id] = ids;
        Some(())
    }

    fn only_user_is_activation(&mut self, id: usize, uses: &[usize]) -> bool {
        let user = (id + 1..self.nodes.len()).find(|&n| self.inputs[n].contains(&id));
        uses[id] == 1 && user.is_some_and(|n| self.op_mut::<Activate>(n).is_some())
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::Activation;
    use crate::kernels::tests::numbers;
    use crate::ops::Targets;
    use crate::{Element, Grads, Params, Pass, Recording};

    /// Loss and all gradients of a two-layer net on seven examples, some of them equal.
    fn results<E: Element>(
        embed: usize,
        activation: Option<Activation>,
        bias: bool,
        fused: bool,
    ) -> Vec<Vec<E>> {
        let (b, t, v, h) = (7, 3, 5, 20);
        let mut params = Params::<E>::new();
        let width = if embed == 0 { v } else { embed };
        let mut ids = vec![
            params.add_by_columns("w1", [h, t * width], &numbers(h * t * width, 1)),
            params.add_by_columns("w2", [v, h], &numbers(v * h, 2)),
        ];
        if bias {
            ids.push(params.add("b1", &[h], &numbers(h, 3)));
        }
        if embed > 0 {
            ids.push(params.add("e", &[v, embed], &numbers(v * embed, 4)));
        }
        let (mut recording, (contexts, loss)) = Recording::new(&params, |tape| {
            let contexts = tape.indices(&[b, t], &[0; 21]);
            let targets = tape.indices(&[b], &[1, 0, 4, 4, 2, 3, 0]);
            let p = |i: usize| tape.param(ids[i]);
            let looked_up = match embed {
                0 => tape.one_hot(contexts, v),
                _ => p(ids.len() - 1).embedding(contexts),
            };
            let mut x = looked_up.flatten(1).linear(p(0), bias.then(|| p(2)));
            if let Some(kind) = activation {
                x = x.activate(kind);
            }
            (contexts, x.linear(p(1), None).cross_entropy(Targets::from(targets)).id())
        });
        if fused {
            recording.fuse(&[loss]);
        }
        let mut grads = Grads::zeros(&params);
        for step in 0..3 {
            recording.set_indices(contexts, |c| {
                c.iter_mut().enumerate().for_each(|(i, c)| *c = ((i / 2 + step) % v) as u32)
            });
            recording.forward(&params, &Pass::training());
            recording.backward(&params, &mut grads, loss, &Pass::training());
        }
        let names: Vec<&str> = recording.ops.iter().flatten().map(|op| op.name()).collect();
        assert_eq!(names.contains(&"table_linear"), fused, "{names:?}");
        assert_eq!(names.contains(&"embedding") || names.contains(&"one_hot"), !fused, "{names:?}");
        let loss = vec![recording.item(loss)];
        ids.iter().map(|&id| grads.read(&params, id)).chain([loss]).collect()
    }

    fn check<E: Element>(tolerance: f64) {
        // The widest embedding tests the path that transposes the gradient's smaller matrices.
        for embed in [0, 4, 12] {
            for activation in [None, Some(Activation::Tanh), Some(Activation::Relu), Some(Activation::Gelu)] {
                for bias in [false, true] {
                    let plain = results::<E>(embed, activation, bias, false);
                    let fused = results::<E>(embed, activation, bias, true);
                    for (p, f) in plain.iter().flatten().zip(fused.iter().flatten()) {
                        let close = (p.f64() - f.f64()).abs() <= tolerance;
                        assert!(close, "embed {embed}, {activation:?}, bias {bias}: {f} instead of {p}");
                    }
                }
            }
        }
    }

    #[test]
    fn fused_equals_unfused() {
        check::<f64>(1e-12);
        check::<f32>(1e-5);
    }
}
