use super::Slabs;
use charloom_tensor::Element;

/// Adam with decoupled weight decay.
///
/// After step t: `m` and `v` are decaying means of g and g^2, and
/// `p = p (1 - lr weight_decay) - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)`.
///
/// # Source
/// Loshchilov and Hutter 2019; `torch.optim.AdamW`
///
/// ```
/// use charloom_nn::{AdamW, Optimizer};
/// use charloom_tensor::{Grads, Params};
///
/// let mut params = Params::<f64>::new();
/// let w = params.add("w", &[1], &[1.0]);
/// let mut grads = Grads::zeros(&params);
/// let mut adamw = Optimizer::adamw(&params, AdamW::default(), 0.0);
/// // The first step has the length of the learning rate, whatever the gradient.
/// grads.values_mut().fill(1000.0);
/// adamw.step(&mut params, &mut grads, 0.1);
/// assert!((params.read(w)[0] - 0.9).abs() < 1e-9);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// The decay factors of the means of g and of g^2.
    pub betas: [f64; 2],
    /// Added to the square root.
    pub eps: f64,
}

impl Default for AdamW {
    /// torch's defaults.
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8 }
    }
}

impl AdamW {
    /// Step t, counted from 1.
    pub(super) fn step<E: Element>(self, t: u64, lr: f64, decay: f64, slabs: Slabs<'_, E>) {
        let [beta1, beta2] = self.betas;
        let t = t as f64;
        let keep = E::of(1.0 - lr * decay);
        let size = E::of(lr / (1.0 - libm::pow(beta1, t)));
        let root = E::of((1.0 - libm::pow(beta2, t)).sqrt());
        let (new1, new2) = (E::of(1.0 - beta1), E::of(1.0 - beta2));
        let rates = [keep, size, root, new1, E::of(beta2), new2, E::of(self.eps)];
        let Slabs { params, grads, first, second } = slabs;
        E::adamw_step(rates, grads, first, second, params);
    }
}
