use super::{AdamW, Slabs};
use charloom_tensor::Element;
use charloom_tensor::kernels::{Epilogue, Gemm};

/// Momentum with orthogonalized updates: all directions of a weight matrix move equally far.
///
/// For the weight of a linear layer, with momentum `b = momentum b + (1 - momentum) g` and Nesterov's
/// `u = momentum b + (1 - momentum) g`:
/// `w = w (1 - lr weight_decay) - lr 0.2 sqrt(max(out, in)) orthogonal(u)`.
/// The factor gives updates the size of AdamW's, so that both have the same learning rate. AdamW updates all
/// other parameters, embeddings too.
///
/// # Source
/// Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the factor: Liu et al.
/// 2025, "Muon is scalable for LLM training"; `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, here
/// in single precision
///
/// ```
/// use charloom_nn::{AdamW, Muon, Optimizer};
/// use charloom_tensor::{Grads, Params};
///
/// let mut params = Params::<f64>::new();
/// let w = params.add_by_rows("w", [2, 2], &[0.0; 4]);
/// let mut grads = Grads::zeros(&params);
/// let mut muon = Optimizer::muon(&params, Muon { momentum: 0.95, adamw: AdamW::default() }, 0.0);
/// // One direction's gradient is a hundred times the other's, yet both move about equally far.
/// grads.values_mut()[..4].copy_from_slice(&[100.0, 0.0, 0.0, 1.0]);
/// muon.step(&mut params, &mut grads, 0.1);
/// let moved = params.read(w);
/// assert!(moved[0] / moved[3] > 0.5 && moved[0] / moved[3] < 2.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Muon {
    /// The decay factor of the momentum.
    pub momentum: f64,
    /// The rule for all other parameters.
    pub adamw: AdamW,
}

/// The quintic `a x + b x^3 + c x^5`: its fifth iterate is near 1 on (0, 1], and it is steepest at 0.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// The number of iterations.
const ITERATIONS: usize = 5;
/// The smallest norm that an update is divided by.
const LEAST_NORM: f64 = 1e-7;

/// Working memory of a matrix's step.
#[derive(Clone, Debug)]
pub(super) struct Scratch<E> {
    /// X (r, c) with r <= c, its transpose, and the next X.
    x: Vec<E>,
    transposed: Vec<E>,
    next: Vec<E>,
    /// X X^T and its square, (r, r).
    gram: Vec<E>,
    square: Vec<E>,
}

impl<E: Element> Scratch<E> {
    /// Enough for matrices of each of these (rows, columns).
    pub fn new(matrices: impl Iterator<Item = [usize; 2]>) -> Self {
        let (mut len, mut square) = (0, 0);
        matrices.for_each(|[a, b]| (len, square) = (len.max(a * b), square.max(a.min(b).pow(2))));
        let [x, transposed, next] = [(); 3].map(|()| vec![E::zero(); len]);
        let [gram, squared] = [(); 2].map(|()| vec![E::zero(); square]);
        Self { x, transposed, next, gram, square: squared }
    }
}

impl Muon {
    /// One step of a (rows, columns) matrix.
    pub(super) fn step<E: Element>(
        self,
        lr: f64,
        decay: f64,
        slabs: Slabs<'_, E>,
        [rows, columns]: [usize; 2],
        scratch: &mut Scratch<E>,
    ) {
        let Slabs { params, grads, first: momentum, .. } = slabs;
        let (keep, new) = (E::of(self.momentum), E::of(1.0 - self.momentum));
        for (g, b) in grads.iter_mut().zip(momentum) {
            *b += new * (*g - *b);
            *g += keep * (*b - *g);
        }
        orthogonalize(grads, [rows, columns], scratch);
        let (keep, size) = (E::of(1.0 - lr * decay), E::of(lr * 0.2 * (rows.max(columns) as f64).sqrt()));
        for (p, u) in params.iter_mut().zip(grads) {
            *p = *p * keep - size * *u;
        }
    }
}

/// Brings all singular values of a (rows, columns) matrix near 1 by the Newton-Schulz iteration
/// `X = a X + (b X X^T + c (X X^T)^2) X`, which starts with X divided by its norm.
fn orthogonalize<E: Element>(matrix: &mut [E], [rows, columns]: [usize; 2], scratch: &mut Scratch<E>) {
    let (r, c) = (rows.min(columns), rows.max(columns));
    let norm = super::clip::squares(matrix).sqrt().max(LEAST_NORM);
    matrix.iter_mut().for_each(|x| *x /= E::of(norm));
    let x = &mut scratch.x[..r * c];
    match rows <= columns {
        true => x.copy_from_slice(matrix),
        false => E::transpose(matrix, rows, columns, x),
    }
    let (transposed, next) = (&mut scratch.transposed[..r * c], &mut scratch.next[..r * c]);
    let (gram, square) = (&mut scratch.gram[..r * r], &mut scratch.square[..r * r]);
    let [of_x, of_gram, of_square] = COEFFICIENTS.map(E::of);
    for _ in 0..ITERATIONS {
        E::transpose(x, r, c, transposed);
        product([r, r, c], x, transposed, gram);
        product([r, r, r], gram, gram, square);
        gram.iter_mut().zip(&*square).for_each(|(g, &s)| *g = of_gram * *g + of_square * s);
        product([r, c, r], gram, x, next);
        x.iter_mut().zip(&*next).for_each(|(x, &n)| *x = of_x * *x + n);
    }
    match rows <= columns {
        true => matrix.copy_from_slice(x),
        false => E::transpose(x, r, c, matrix),
    }
}

/// C = A B of (m, k) and (k, n)
fn product<E: Element>([m, n, k]: [usize; 3], a: &[E], b: &[E], c: &mut [E]) {
    E::gemm(Gemm {
        m,
        n,
        k,
        a,
        a_strides: [k, 1],
        b,
        b_strides: [n, 1],
        c,
        c_stride: n,
        epilogue: Epilogue::Set,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_values_come_near_1() {
        for [rows, columns] in [[3, 5], [5, 3], [1, 4]] {
            let mut x: Vec<f64> = (0..rows * columns).map(|i| ((i * i) as f64 * 2.399).sin()).collect();
            orthogonalize(&mut x, [rows, columns], &mut Scratch::new([[rows, columns]].into_iter()));
            let (r, c) = (rows.min(columns), rows.max(columns));
            let at = |i: usize, j: usize| if rows <= columns { x[i * c + j] } else { x[j * r + i] };
            for i in 0..r {
                for j in 0..r {
                    let dot: f64 = (0..c).map(|k| at(i, k) * at(j, k)).sum();
                    // The iteration brings singular values between 0.7 and 1.2.
                    let wanted = if i == j { 0.4..1.5 } else { -0.5..0.5 };
                    assert!(wanted.contains(&dot), "{rows} x {columns}: {dot} at {i}, {j}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_left_nothing() {
        let mut x = [0.0; 6];
        orthogonalize(&mut x, [2, 3], &mut Scratch::new([[2, 3]].into_iter()));
        assert_eq!(x, [0.0; 6]);
    }
}
