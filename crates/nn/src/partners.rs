use charloom_tensor::{Element, Id, Var};

/// The sum of both partners' inputs, plus a bias, for both: what ends a layer whose input each has a half of.
///
/// # Shapes
/// (B, C) -> (B, C); bias (C)
///
/// # Source
/// Shoeybi et al. 2019, "Megatron-LM"
#[derive(Clone, Copy, Debug)]
pub struct AllReduce {
    /// (C)
    pub bias: Option<Id>,
}

impl AllReduce {
    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        x.all_reduce(self.bias.map(|b| x.tape().var(b)))
    }
}

/// The same, of which each partner gets its half of the columns.
///
/// # Shapes
/// (B, C) -> (B, C / 2); bias (C / 2)
///
/// # Source
/// As [`AllReduce`].
#[derive(Clone, Copy, Debug)]
pub struct ReduceScatter {
    /// (C / 2)
    pub bias: Option<Id>,
}

impl ReduceScatter {
    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        x.reduce_scatter(self.bias.map(|b| x.tape().var(b)))
    }
}
