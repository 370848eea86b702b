use charloom_tensor::{Element, Var};

/// Each element set to 0 with probability p, the others divided by 1 - p; in evaluation nothing happens.
///
/// # Source
/// Srivastava et al. 2014; `torch.nn.Dropout`. The masks are our own: they follow from seed, layer and step, not from a
/// generator, so that a step that is done again has the same.
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
    /// The probability.
    pub p: f64,
    /// The seed of the masks.
    pub seed: u64,
    /// Which of a model's dropouts it is: each has masks of its own.
    pub layer: u64,
}

impl Dropout {
    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        x.dropout(self.p, self.seed, self.layer)
    }
}
