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
            let pairs = params.iter_mut().zip(&*grads);
            match (self.velocity.is_empty(), self.weight_decay == 0.0) {
                (true, true) => pairs.for_each(|(p, &g)| *p -= lr * g),
                (true, false) => pairs.for_each(|(p, &g)| *p -= lr * (g + decay * *p)),
                (false, _) => pairs.zip(&mut self.velocity).for_each(|((p, &g), v)| {
                    *v = momentum * *v + (g + decay * *p);
                    *p -= lr * *v;
                }),
            }
        });
    }

    pub(super) fn slabs(&self) -> Vec<(&'static str, &[E])> {
        if self.velocity.is_empty() { Vec::new() } else { vec![("momentum", &self.velocity)] }
    }

    pub(super) fn slabs_mut(&mut self) -> Vec<(&'static str, &mut [E])> {
        if self.velocity.is_empty() { Vec::new() } else { vec![("momentum", &mut self.velocity)] }
    }
}
