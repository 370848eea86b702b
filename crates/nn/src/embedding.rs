use crate::{Initializer, path};
use charloom_tensor::{Element, Id, Indices, Tape, Var};

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
    pub weight: Id,
}

impl Embedding {
    /// A table of `count` rows of `width` numbers drawn by `init`, whose state is `name.weight`.
    pub fn new<E: Element>(
        tape: &Tape<E>,
        name: &str,
        count: usize,
        width: usize,
        init: &mut Initializer<'_>,
    ) -> Self {
        let drawn: Vec<E> = init.embedding(count, width).into_iter().map(|x| E::of(x.into())).collect();
        Self { weight: tape.parameter(&path(name, "weight"), &[count, width], &drawn) }
    }

    /// Records the choice of rows. Of two partners both have the whole table.
    pub fn forward<'t, E: Element>(&self, tape: &'t Tape<E>, indices: Indices) -> Var<'t, E> {
        let weight = tape.var(self.weight);
        let weight = if tape.has_partner() { weight.replicated() } else { weight };
        weight.embedding(indices)
    }
}
