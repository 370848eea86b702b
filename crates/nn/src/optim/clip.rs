use charloom_tensor::{Element, Grads};

/// Scales all gradients down so that their norm, taken as one vector, is at most `max_norm`; returns the norm before.
///
/// They are multiplied by `max_norm / (norm + 1e-6)` where that is less than 1.
///
/// # Source
/// Pascanu, Mikolov and Bengio 2013; `torch.nn.utils.clip_grad_norm_`
pub fn clip_grad_norm<E: Element>(grads: &mut Grads<E>, max_norm: f64) -> f64 {
    let grads = grads.values_mut();
    // Eight sums side by side, which the processor adds up at once. Nothing lies beside whole cache lines.
    let mut sums = [0.0f64; 8];
    for eight in grads.chunks_exact(8) {
        sums.iter_mut().zip(eight).for_each(|(sum, &g)| *sum += g.f64() * g.f64());
    }
    let norm = sums.iter().sum::<f64>().sqrt();
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        let factor = E::of(factor);
        grads.iter_mut().for_each(|g| *g *= factor);
    }
    norm
}
