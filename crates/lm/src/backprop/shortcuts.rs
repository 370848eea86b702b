//! The gradients of cross-entropy and batch norm in one formula each, instead of ten and seven lines: on
//! paper most terms cancel.

use charloom_tensor::Element;

use super::Matrix;

/// The gradient of cross-entropy by the logits: `(softmax(logits) - one_hot(target)) / n`.
///
/// A step of descent lowers each logit in proportion to its probability, and raises the target's in
/// proportion to 1.
///
/// # Shapes
/// logits (B, V), targets (B) -> (B, V)
///
/// # Source
/// `docs/backprop/cross-entropy.md`
pub fn cross_entropy<E: Element>(logits: &Matrix<E>, targets: &[u32]) -> Matrix<E> {
    let columns = logits.columns();
    let maxes =
        logits.data().chunks_exact(columns).map(|row| row.iter().copied().fold(E::neg_infinity(), E::max));
    let counts = (logits - Matrix::new(1, maxes.collect())).map(E::exp);
    let softmax = &counts / counts.sum_columns();
    (softmax - Matrix::one_hot(targets, columns)) / logits.rows() as f64
}

/// The gradient through batch norm, from that of its output to that of its input:
/// `gain var_inv / n (n d - sum d - n/(n - 1) raw sum(d raw))`, with the unbiased variance.
///
/// # Shapes
/// d, raw (B, H); gain, var_inv (1, H) -> (B, H)
///
/// # Source
/// `docs/backprop/batch-norm.md`
pub fn batch_norm<E: Element>(
    d: &Matrix<E>,
    raw: &Matrix<E>,
    gain: &Matrix<E>,
    var_inv: &Matrix<E>,
) -> Matrix<E> {
    let n = d.rows() as f64;
    let along_raw = raw * (d * raw).sum_rows() * (n / (n - 1.0));
    gain * var_inv / n * (d * n - d.sum_rows() - along_raw)
}
