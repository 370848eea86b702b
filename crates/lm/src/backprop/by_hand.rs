//! The backward pass, line by line from the end of the forward pass in `net.rs` to its start.
//!
//! Three rules do all of it. A line `y = f(x)` gives x the gradient of y times the slope of f. What the
//! forward line broadcasts (a row, a column), the backward line sums, and the other way round. A term that
//! several lines use gets the sum of their gradients.

use charloom_tensor::Element;

use super::{EPS, Matrix, Terms};

/// The gradient of the loss by every term, from the values `v` that the forward pass left.
///
/// A variable `d_x` is the gradient of the loss by `x`; `docs/backprop/` derives each block.
///
/// # Shapes
/// contexts (B, T), targets (B); each gradient as its term
pub fn by_hand<E: Element>(v: &Terms<Matrix<E>>, contexts: &[u32], targets: &[u32]) -> Terms<Matrix<E>> {
    let n = v.logits.rows() as f64;
    let one = E::one();

    // loss = -1/n sum_i log_probs[i, target_i]
    // Only the target of each row counts, by -1/n.
    let d_log_probs = Matrix::one_hot(targets, v.logits.columns()) * (-1.0 / n);

    // log_probs = ln probs
    // The slope of ln x is 1/x: the less likely a target, the larger its gradient.
    let d_probs = &d_log_probs / &v.probs;

    // probs = counts * sum_counts_inv
    // The inverse of a row is broadcast to all its characters, so their gradients are summed.
    let d_sum_counts_inv = (&v.counts * &d_probs).sum_columns();
    // counts are also used in sum_counts: this is the first part of their gradient.
    let d_counts = &v.sum_counts_inv * &d_probs;

    // sum_counts_inv = sum_counts^-1
    // The slope of 1/x is -1/x^2.
    let d_sum_counts = v.sum_counts.map(|x| -(x * x).recip()) * &d_sum_counts_inv;

    // sum_counts = sum_j counts[i, j]
    // The second part: the sum's gradient goes to each of its terms, all along the row.
    let d_counts = d_counts + &d_sum_counts;

    // counts = e^norm_logits
    // The slope of e^x is e^x, which is counts.
    let d_norm_logits = &v.counts * &d_counts;

    // norm_logits = logits - logit_maxes
    let d_logit_maxes = d_norm_logits.sum_columns() * -1.0;
    let d_logits = d_norm_logits.clone();

    // logit_maxes = max_j logits[i, j]
    // Only the largest logit changes the maximum. (Equal ones share its gradient evenly, as on the tape.)
    let is_max = (&v.logits - &v.logit_maxes).map(|x| if x == E::zero() { one } else { E::zero() });
    let d_logits = d_logits + &is_max / is_max.sum_columns() * &d_logit_maxes;

    // logits = h W2 + b2
    // logits[i, j] = sum_k h[i, k] W2[k, j] + b2[j]: each factor gets the gradient times the other factor.
    let d_h = d_logits.matmul(&v.w2.t());
    let d_w2 = v.h.t().matmul(&d_logits);
    let d_b2 = d_logits.sum_rows();

    // h = tanh h_preact_norm
    // The slope of tanh is 1 - tanh^2: a unit near -1 or 1 lets almost nothing through.
    let d_h_preact_norm = v.h.map(|h| one - h * h) * &d_h;

    // h_preact_norm = bn_gain * bn_raw + bn_bias
    let d_bn_gain = (&v.bn_raw * &d_h_preact_norm).sum_rows();
    let d_bn_bias = d_h_preact_norm.sum_rows();
    let d_bn_raw = &v.bn_gain * &d_h_preact_norm;

    // bn_raw = bn_diff * bn_var_inv
    let d_bn_var_inv = (&v.bn_diff * &d_bn_raw).sum_rows();
    // bn_diff is also used in bn_diff_sqr: this is the first part.
    let d_bn_diff = &v.bn_var_inv * &d_bn_raw;

    // bn_var_inv = (bn_var + eps)^-1/2
    // The slope of x^-1/2 is -1/2 x^-3/2.
    let d_bn_var = v.bn_var.map(|x| E::of(-0.5) * (x + E::of(EPS)).powf(E::of(-1.5))) * &d_bn_var_inv;

    // bn_var = 1/(n - 1) sum_i bn_diff_sqr[i]
    // Each row gets the same share.
    let d_bn_diff_sqr = Matrix::zeros(v.bn_diff.rows(), 1) + &d_bn_var * (1.0 / (n - 1.0));

    // bn_diff_sqr = bn_diff^2
    // The second part of bn_diff's gradient: the slope of x^2 is 2 x.
    let d_bn_diff = d_bn_diff + &v.bn_diff * 2.0 * &d_bn_diff_sqr;

    // bn_diff = h_preact - bn_mean
    // h_preact is also used in bn_mean: this is the first part.
    let d_bn_mean = d_bn_diff.sum_rows() * -1.0;
    let d_h_preact = d_bn_diff.clone();

    // bn_mean = 1/n sum_i h_preact[i]
    // The second part of h_preact's gradient: the same for each row.
    let d_h_preact = d_h_preact + &d_bn_mean * (1.0 / n);

    // h_preact = embed_cat W1 + b1
    let d_embed_cat = d_h_preact.matmul(&v.w1.t());
    let d_w1 = v.embed_cat.t().matmul(&d_h_preact);
    // Subtracting bn_mean removes b1, so its gradient is 0 but for rounding.
    let d_b1 = d_h_preact.sum_rows();

    // embed_cat = embed, its last two dimensions as one
    let d_embed = d_embed_cat.reshape(v.c.columns());

    // embed = C[contexts]
    // A character's row of C is used wherever the character occurs, and gets the sum of these gradients.
    let mut d_c = Matrix::zeros(v.c.rows(), v.c.columns());
    for (&character, d) in contexts.iter().zip(d_embed.data().chunks_exact(v.c.columns())) {
        let row = &mut d_c.data_mut()[character as usize * d.len()..][..d.len()];
        row.iter_mut().zip(d).for_each(|(row, &d)| *row += d);
    }

    Terms {
        log_probs: d_log_probs,
        probs: d_probs,
        sum_counts_inv: d_sum_counts_inv,
        sum_counts: d_sum_counts,
        counts: d_counts,
        norm_logits: d_norm_logits,
        logit_maxes: d_logit_maxes,
        logits: d_logits,
        h: d_h,
        w2: d_w2,
        b2: d_b2,
        h_preact_norm: d_h_preact_norm,
        bn_gain: d_bn_gain,
        bn_bias: d_bn_bias,
        bn_raw: d_bn_raw,
        bn_var_inv: d_bn_var_inv,
        bn_var: d_bn_var,
        bn_diff_sqr: d_bn_diff_sqr,
        bn_diff: d_bn_diff,
        bn_mean: d_bn_mean,
        h_preact: d_h_preact,
        embed_cat: d_embed_cat,
        w1: d_w1,
        b1: d_b1,
        embed: d_embed,
        c: d_c,
    }
}
