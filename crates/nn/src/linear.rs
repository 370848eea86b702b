use crate::Scope;
use charloom_tensor::{Element, ParamId, Var};

/// The number of f32 lanes in the widest vectors.
const WIDEST: usize = 16;

/// `y = x W^T + b`.
///
/// # Shapes
/// x (..., in) -> (..., out); weight (out, in), bias (out)
///
/// # Source
/// `torch.nn.Linear`
///
/// ```
/// use charloom_nn::{Init, Initializer, Linear, Scope};
/// use charloom_tensor::{Params, Tape, rng::TorchGenerator};
///
/// let mut params = Params::<f32>::new();
/// let mut generator = TorchGenerator::new(42);
/// let mut scope = Scope::draw(&mut params, Initializer::new(Init::Torch, &mut generator));
/// let layer = Linear::new(&mut scope.at("output"), 3, 2, true);
/// let tape = Tape::with(&params);
/// let y = layer.forward(tape.input(&[4, 3], &[0.0; 12]));
/// assert_eq!(y.shape().dims(), [4, 2]);
/// // With zeros as input, the output is the bias.
/// assert_eq!(y.data()[..2], params.read(layer.bias.unwrap()));
/// assert_eq!(params.entry(layer.weight).name, "output.weight");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// (out, in)
    pub weight: ParamId,
    /// (out)
    pub bias: Option<ParamId>,
}

impl Linear {
    /// A layer drawn by the scope, with tensors `weight` and `bias`.
    pub fn new(scope: &mut Scope<'_>, inputs: usize, outputs: usize, bias: bool) -> Self {
        let weight = scope.weight("weight", inputs, outputs);
        Self::with(weight, scope, inputs, outputs, bias)
    }

    /// As [`Linear::new`] for a net's last layer, on hidden units. If `classes` is no multiple of 16, the
    /// weight lies row by row in memory: the gradient's rows are then of length `inputs`, not `classes`, and
    /// fill vectors better.
    pub fn to_logits(scope: &mut Scope<'_>, inputs: usize, classes: usize, bias: bool) -> Self {
        let weight = match classes.is_multiple_of(WIDEST) {
            true => scope.weight("weight", inputs, classes),
            false => scope.weight_by_rows("weight", inputs, classes),
        };
        Self::with(weight, scope, inputs, classes, bias)
    }

    fn with(weight: ParamId, scope: &mut Scope<'_>, inputs: usize, outputs: usize, bias: bool) -> Self {
        let bias = bias.then(|| scope.tensor("bias", &[outputs], |init| init.bias(inputs, outputs)));
        Self { weight, bias }
    }

    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        let tape = x.tape();
        x.linear(tape.param(self.weight), self.bias.map(|b| tape.param(b)))
    }
}
