use crate::Scope;
use charloom_tensor::{Element, Indices, ParamId, Tape, Var};

/// A table with a row for each token: `y = weight[index]`.
///
/// # Shapes
/// indices (B, T) -> (B, T, E); weight (V, E)
///
/// # Source
/// `torch.nn.Embedding`
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    /// (V, E)
    pub weight: ParamId,
}

impl Embedding {
    /// A table of `count` rows of `width` numbers drawn by the scope, whose tensor is `weight`.
    pub fn new(scope: &mut Scope<'_>, count: usize, width: usize) -> Self {
        Self { weight: scope.tensor("weight", &[count, width], |init| init.embedding(count, width)) }
    }

    /// Records the choice of rows.
    pub fn forward<'t, E: Element>(&self, tape: &'t Tape<'t, E>, indices: Indices) -> Var<'t, E> {
        tape.param(self.weight).embedding(indices)
    }
}
