use charloom_tensor::{Element, Grads};

/// Scales all gradients down so that their joint norm is at most `max_norm`; returns the norm before.
///
/// They are multiplied by `max_norm / (norm + 1e-6)` if that is less than 1.
///
/// # Source
/// Pascanu, Mikolov and Bengio 2013; `torch.nn.utils.clip_grad_norm_`
///
/// ```
/// use charloom_nn::{clip_grad_norm, clip_grad_value};
/// use charloom_tensor::{Grads, Params};
///
/// let mut params = Params::<f64>::new();
/// let w = params.add("w", &[2], &[0.0; 2]);
/// let mut grads = Grads::zeros(&params);
/// grads.values_mut()[..2].copy_from_slice(&[3.0, -4.0]);
/// assert_eq!(clip_grad_norm(&mut grads, 1.0), 5.0);
/// assert!((grads.read(&params, w)[0] - 0.6).abs() < 1e-6);
/// clip_grad_value(&mut grads, 0.5);
/// assert_eq!(grads.read(&params, w), [0.5, -0.5]);
/// ```
pub fn clip_grad_norm<E: Element>(grads: &mut Grads<E>, max_norm: f64) -> f64 {
    let grads = grads.values_mut();
    let norm = squares(grads).sqrt();
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        let factor = E::of(factor);
        grads.iter_mut().for_each(|g| *g *= factor);
    }
    norm
}

/// Clamps each element of the gradients to +-`max`.
///
/// # Source
/// `torch.nn.utils.clip_grad_value_`
pub fn clip_grad_value<E: Element>(grads: &mut Grads<E>, max: f64) {
    let max = E::of(max);
    // NaN passes through unchanged, so that it can be detected later.
    let clipped = |g: E| {
        if g > max {
            max
        } else if g < -max {
            -max
        } else {
            g
        }
    };
    grads.values_mut().iter_mut().for_each(|g| *g = clipped(*g));
}

/// The sum of squares.
pub(super) fn squares<E: Element>(numbers: &[E]) -> f64 {
    // Eight independent sums, which the compiler can vectorize.
    let mut sums = [0.0f64; 8];
    let mut add = |some: &[E]| sums.iter_mut().zip(some).for_each(|(sum, &x)| *sum += x.f64() * x.f64());
    let (eights, rest) = numbers.as_chunks::<8>();
    eights.iter().for_each(|eight| add(eight));
    add(rest);
    sums.iter().sum()
}
