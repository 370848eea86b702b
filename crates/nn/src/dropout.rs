use charloom_tensor::{Element, Var};

/// Sets each element to 0 with probability p and divides the others by 1 - p; in evaluation it changes
/// nothing.
///
/// # Source
/// Srivastava et al. 2014; `torch.nn.Dropout`. The masks are not torch's: they are a function of seed, layer
/// and step, not of a generator's state, so that a repeated step has the same mask.
///
/// ```
/// use charloom_nn::Dropout;
/// use charloom_tensor::Tape;
///
/// let dropout = Dropout { p: 0.25, seed: 42, layer: 0 };
/// let tape = Tape::<f32>::new();
/// let x = tape.input(&[3], &[3.0; 3]);
/// assert!(dropout.forward(x).data().iter().all(|&y| y == 0.0 || y == 4.0));
/// tape.set_training(false);
/// assert_eq!(dropout.forward(x).data(), [3.0; 3]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// The probability of a 0.
    pub p: f64,
    /// The seed of the masks.
    pub seed: u64,
    /// The index of this dropout in the model: each has its own masks.
    pub layer: u64,
}

impl Dropout {
    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        x.dropout(self.p, self.seed, self.layer)
    }
}
