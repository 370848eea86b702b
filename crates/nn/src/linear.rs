use crate::{Initializer, path};
use charloom_tensor::{Element, Id, Tape, Var};

/// `y = x W^T + b`.
///
/// # Shapes
/// x (..., in) -> (..., out); weight (out, in), bias (out)
///
/// # Source
/// `torch.nn.Linear`
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// (out, in)
    pub weight: Id,
    /// (out)
    pub bias: Option<Id>,
}

impl Linear {
    /// A layer drawn by `init`, whose state is `name.weight` and `name.bias`.
    pub fn new<E: Element>(
        tape: &Tape<E>,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
        init: &mut Initializer<'_>,
    ) -> Self {
        let of = |drawn: Vec<f32>| -> Vec<E> { drawn.into_iter().map(|x| E::of(x.into())).collect() };
        let (weight, bias) = init.linear(inputs, outputs, bias);
        Self {
            weight: tape.parameter_by_columns(&path(name, "weight"), [outputs, inputs], &of(weight)),
            bias: bias.map(|b| tape.parameter(&path(name, "bias"), &[outputs], &of(b))),
        }
    }

    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        let tape = x.tape();
        x.linear(tape.var(self.weight), self.bias.map(|b| tape.var(b)))
    }
}
