use super::Slabs;
use charloom_tensor::Element;

/// Gradient descent: `p -= lr v` with `v = momentum v + g + weight_decay p`; with Nesterov momentum
/// `p -= lr (g + weight_decay p + momentum v)`.
///
/// # Source
/// `torch.optim.SGD` (without dampening)
///
/// ```
/// use charloom_nn::{Optimizer, Sgd};
/// use charloom_tensor::{Grads, Params};
///
/// let mut params = Params::<f64>::new();
/// let w = params.add("w", &[1], &[1.0]);
/// let mut grads = Grads::zeros(&params);
/// let mut sgd = Optimizer::sgd(&params, Sgd { momentum: 0.5, nesterov: false }, 0.0);
/// for wanted in [0.9, 0.75] {
///     grads.values_mut().fill(1.0);
///     sgd.step(&mut params, &mut grads, 0.1);
///     assert!((params.read(w)[0] - wanted).abs() < 1e-12);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Sgd {
    /// The decay factor of the velocity v; 0: no velocity is kept.
    pub momentum: f64,
    /// Whether the momentum is Nesterov's.
    pub nesterov: bool,
}

impl Sgd {
    /// One step of a range of parameters.
    pub(super) fn step<E: Element>(self, lr: f64, decay: f64, slabs: Slabs<'_, E>) {
        let Slabs { params, grads, first: velocity, .. } = slabs;
        let (lr, momentum, weight_decay) = (E::of(lr), E::of(self.momentum), E::of(decay));
        if self.momentum == 0.0 {
            if decay != 0.0 {
                E::add_scaled(weight_decay, params, grads);
            }
            return E::add_scaled(-lr, grads, params);
        }
        if !self.nesterov {
            return E::momentum_step([lr, momentum, weight_decay], grads, velocity, params);
        }
        for ((p, g), v) in params.iter_mut().zip(grads).zip(velocity) {
            let slope = *g + weight_decay * *p;
            *v = momentum * *v + slope;
            *p -= lr * (slope + momentum * *v);
        }
    }
}
