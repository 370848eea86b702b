use crate::Scope;
use charloom_tensor::{Element, ParamId, Var};

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
    pub weight: ParamId,
    /// (out)
    pub bias: Option<ParamId>,
}

impl Linear {
    /// A layer drawn by the scope, whose tensors are `weight` and `bias`.
    pub fn new(scope: &mut Scope<'_>, inputs: usize, outputs: usize, bias: bool) -> Self {
        let weight = scope.weight("weight", inputs, outputs);
        Self {
            weight,
            bias: bias.then(|| scope.tensor("bias", &[outputs], |init| init.bias(inputs, outputs))),
        }
    }

    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        let tape = x.tape();
        x.linear(tape.param(self.weight), self.bias.map(|b| tape.param(b)))
    }
}
