use super::zeros;
use charloom_tensor::{Element, Tape};

/// Adam with decoupled weight decay.
///
/// After step t: `m` and `v` are decaying means of g and g^2, and
/// `p = p (1 - lr weight_decay) - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)`.
///
/// # Source
/// Loshchilov and Hutter 2019; `torch.optim.AdamW`
#[derive(Clone, Debug)]
pub struct AdamW<E> {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    steps: u64,
    first: Vec<E>,
    second: Vec<E>,
}

impl<E: Element> AdamW<E> {
    /// An optimizer of the parameters that `tape` has now. torch's defaults: betas 0.9 and 0.999, eps 1e-8,
    /// weight decay 0.01.
    pub fn new(tape: &Tape<E>, betas: [f64; 2], eps: f64, weight_decay: f64) -> Self {
        let [beta1, beta2] = betas;
        Self { beta1, beta2, eps, weight_decay, steps: 0, first: zeros(tape), second: zeros(tape) }
    }

    /// Updates the parameters by their gradients.
    pub fn step(&mut self, tape: &Tape<E>, lr: f64) {
        self.steps += 1;
        let t = self.steps as f64;
        let keep = E::of(1.0 - lr * self.weight_decay);
        let size = E::of(lr / (1.0 - self.beta1.powf(t)));
        let root = E::of((1.0 - self.beta2.powf(t)).sqrt());
        let (new1, beta2, new2) = (E::of(1.0 - self.beta1), E::of(self.beta2), E::of(1.0 - self.beta2));
        let eps = E::of(self.eps);
        let rates = [keep, size, root, new1, beta2, new2, eps];
        tape.with_parameters(|params, grads| {
            E::adamw_step(rates, grads, &mut self.first, &mut self.second, params);
        });
    }

    pub(super) fn slabs(&self) -> Vec<(&'static str, &[E])> {
        vec![("adam.m", &self.first), ("adam.v", &self.second)]
    }

    /// The state to be overwritten by that after `steps` steps.
    pub(super) fn slabs_mut(&mut self, steps: u64) -> Vec<(&'static str, &mut [E])> {
        self.steps = steps;
        vec![("adam.m", &mut self.first), ("adam.v", &mut self.second)]
    }
}
