use charloom_tensor::{Element, Var};

/// Merges all dimensions but the first.
///
/// # Shapes
/// (B, T, C) -> (B, T C)
///
/// # Source
/// `torch.nn.Flatten`
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl Flatten {
    /// Records the view.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        x.flatten(1)
    }
}

/// Puts `n` neighbouring positions side by side, for the next layer to combine; if only one position remains,
/// its dimension is removed.
///
/// # Shapes
/// (B, T, C) -> (B, T/n, C n), or (B, C n) where T = n
///
/// # Source
/// van den Oord et al. 2016 ("WaveNet"): a stack of these is its tree of dilated convolutions.
#[derive(Clone, Copy, Debug)]
pub struct FlattenConsecutive {
    /// How many positions are merged into one.
    pub n: usize,
}

impl FlattenConsecutive {
    /// Records the view.
    ///
    /// # Panics
    /// If T is no multiple of n.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        let shape = x.shape();
        let &[b, t, c] = shape.dims() else {
            panic!("flatten_consecutive takes (B, T, C), not shape {shape:?}")
        };
        assert!(self.n > 0 && t % self.n == 0, "flatten_consecutive: {t} positions in groups of {}", self.n);
        if t == self.n { x.reshape(&[b, t * c]) } else { x.reshape(&[b, t / self.n, c * self.n]) }
    }
}
