use super::zeros;
use charloom_tensor::{Element, Tape};

/// Gradient descent: `p -= lr v` with `v = momentum v + g + weight_decay p`.
///
/// # Source
/// `torch.optim.SGD` (without dampening or Nesterov's momentum)
#[derive(Clone, Debug)]
pub struct Sgd<E> {
    momentum: f64,
    weight_decay: f64,
    /// Empty without momentum.
    velocity: Vec<E>,
}

impl<E: Element> Sgd<E> {
    /// An optimizer of the parameters that `tape` has now.
    pub fn new(tape: &Tape<E>, momentum: f64, weight_decay: f64) -> Self {
        let velocity = if momentum == 0.0 { Vec::new() } else { zeros(tape) };
        Self { momentum, weight_decay, velocity }
    }

    /// Updates the parameters by their gradients.
    pub fn step(&mut self, tape: &Tape<E>, lr: f64) {
        let (lr, momentum, decay) = (E::of(lr), E::of(self.momentum), E::of(self.weight_decay));
        tape.with_parameters(|params, grads| {
            if !self.velocity.is_empty() {
                return E::momentum_step([lr, momentum, decay], grads, &mut self.velocity, params);
            }
            if self.weight_decay != 0.0 {
                E::add_scaled(decay, params, grads);
            }
            E::add_scaled(-lr, grads, params);
        });
    }

    /// Whether a step is `p -= lr g` and nothing else.
    pub(super) fn is_plain(&self) -> bool {
        self.velocity.is_empty() && self.weight_decay == 0.0
    }

    pub(super) fn slabs(&self) -> Vec<(&'static str, &[E])> {
        if self.velocity.is_empty() { Vec::new() } else { vec![("momentum", &self.velocity)] }
    }

    pub(super) fn slabs_mut(&mut self) -> Vec<(&'static str, &mut [E])> {
        if self.velocity.is_empty() { Vec::new() } else { vec![("momentum", &mut self.velocity)] }
    }
}
