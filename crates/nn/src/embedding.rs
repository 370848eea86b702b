use crate::Scope;
use charloom_tensor::{Element, Indices, ParamId, Tape, Var};

/// A table with a row for each token: `y = weight[index]`.
///
/// # Shapes
/// indices (B, T) -> (B, T, E); weight (V, E)
///
/// # Source
/// `torch.nn.Embedding`
///
/// ```
/// use charloom_nn::{Embedding, Init, Initializer, Scope};
/// use charloom_tensor::{Params, Tape, rng::TorchGenerator};
///
/// let mut params = Params::<f32>::new();
/// let mut generator = TorchGenerator::new(42);
/// let mut scope = Scope::draw(&mut params, Initializer::new(Init::Torch, &mut generator));
/// let table = Embedding::new(&mut scope.at("embedding"), 27, 2);
/// let tape = Tape::with(&params);
/// let rows = table.forward(&tape, tape.indices(&[1, 3], &[5, 0, 5]));
/// assert_eq!(rows.shape().dims(), [1, 3, 2]);
/// assert_eq!(rows.data()[..2], params.read(table.weight)[10..12]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    /// (V, E)
    pub weight: ParamId,
}

impl Embedding {
    /// A table of `count` rows of `width` numbers drawn by the scope, with tensor `weight`.
    pub fn new(scope: &mut Scope<'_>, count: usize, width: usize) -> Self {
        Self { weight: scope.tensor("weight", &[count, width], |init| init.embedding(count, width)) }
    }

    /// Records the lookup.
    pub fn forward<'t, E: Element>(&self, tape: &'t Tape<'t, E>, indices: Indices) -> Var<'t, E> {
        tape.param(self.weight).embedding(indices)
    }
}
