use super::Slabs;
use charloom_tensor::Element;

/// Divides each gradient by the root of the moving mean of its squares: `v = alpha v + (1 - alpha) g^2`,
/// `p -= lr g / (sqrt(v) + eps)`, where g includes the weight decay, `g + weight_decay p`.
///
/// # Source
/// Tieleman and Hinton 2012, lecture 6.5; `torch.optim.RMSprop` (not centred, without momentum)
///
/// ```
/// use charloom_nn::{Optimizer, RmsProp};
/// use charloom_tensor::{Grads, Params};
///
/// let mut params = Params::<f64>::new();
/// let w = params.add("w", &[1], &[1.0]);
/// let mut grads = Grads::zeros(&params);
/// let mut rmsprop = Optimizer::rmsprop(&params, RmsProp { alpha: 0.75, eps: 0.0 }, 0.0);
/// grads.values_mut().fill(1000.0);
/// rmsprop.step(&mut params, &mut grads, 0.1);
/// // The mean of squares is a quarter of the first square, so the step is twice the learning rate.
/// assert!((params.read(w)[0] - 0.8).abs() < 1e-9);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RmsProp {
    /// The decay factor of the mean of squares.
    pub alpha: f64,
    /// Added to the square root.
    pub eps: f64,
}

impl RmsProp {
    /// One step of a range of parameters.
    pub(super) fn step<E: Element>(self, lr: f64, decay: f64, slabs: Slabs<'_, E>) {
        let Slabs { params, grads, first: squares, .. } = slabs;
        let (lr, decay, eps) = (E::of(lr), E::of(decay), E::of(self.eps));
        let (keep, new) = (E::of(self.alpha), E::of(1.0 - self.alpha));
        for ((p, g), v) in params.iter_mut().zip(grads).zip(squares) {
            let slope = *g + decay * *p;
            *v = keep * *v + new * slope * slope;
            *p -= lr * slope / (v.sqrt() + eps);
        }
    }
}
