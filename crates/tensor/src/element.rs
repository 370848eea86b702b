use crate::kernels::{self, Activation, Attention, Cache, CellBackward, CellForward, Gemm, Norm, Rotary};
use num_traits::Float;
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, DivAssign, MulAssign, SubAssign};

/// The kernels of a number type: plain loops (`reference`) or SIMD (`simd`).
macro_rules! kernels {
    (reference) => {
        kernels! { kernels::reference }
    };
    (simd) => {
        kernels! { kernels }
    };
    ($($from:tt)::+) => {
        /// C = A B (+ C), see [`Gemm`].
        fn gemm(call: Gemm<'_, Self>) {
            $($from)::+::gemm(call);
        }

        /// `count` products of equal shape; in product i the operands A, B and C begin at i times their
        /// `batch_strides`.
        fn gemm_batched(count: usize, batch_strides: [usize; 3], call: Gemm<'_, Self>) {
            $($from)::+::gemm_batched(count, batch_strides, call);
        }

        /// As [`Element::gemm`] for a `k` over the rows of a batch; the sum may be computed in another order.
        fn gemm_over_rows(call: Gemm<'_, Self>) {
            $($from)::+::gemm_over_rows(call);
        }

        /// Packs B, of `n` columns, for [`Element::gemm_packed`]; `to` has for each row of B as many numbers as
        /// `n` rounded up to a multiple of 16.
        fn pack(b: &[Self], n: usize, to: &mut [Self]) {
            $($from)::+::pack(b, n, to);
        }

        /// As [`Element::gemm`] with B packed beforehand, for several products with the same B.
        fn gemm_packed(call: Gemm<'_, Self>, packed: &[Self]) {
            $($from)::+::gemm_packed(call, packed);
        }

        /// The transpose of a (rows, cols) matrix.
        fn transpose(from: &[Self], rows: usize, cols: usize, to: &mut [Self]) {
            $($from)::+::transpose(from, rows, cols, to);
        }

        /// Applies an activation to every element of `x`.
        fn activate(activation: Activation, x: &[Self], y: &mut [Self]) {
            $($from)::+::activate(activation, x, y);
        }

        /// The gradient of [`Element::activate`]: `dx = dy f'(x)`, or with `add` `dx += dy f'(x)`.
        ///
        /// `x` may be empty if [`Activation::slope_is_of_x`] is false.
        fn activate_backward(kind: Activation, x: &[Self], y: &[Self], dy: &[Self], dx: &mut [Self], add: bool) {
            $($from)::+::activate_backward(kind, x, y, dy, dx, add);
        }

        /// `y[i] = exp(x[i])`.
        fn exp_slice(x: &[Self], y: &mut [Self]) {
            $($from)::+::exp(x, y);
        }

        /// The softmax of each row of `logits` (rows of `width`). `lse` gets each row's maximum m and
        /// `ln sum exp(x - m)`: their sum is the log-sum-exp.
        fn softmax_rows(logits: &[Self], width: usize, probs: &mut [Self], lse: &mut [[Self; 2]]) {
            $($from)::+::softmax_rows(logits, width, probs, lse);
        }

        /// The logarithm of the softmax of each row of `logits` (rows of `width`).
        fn log_softmax_rows(logits: &[Self], width: usize, y: &mut [Self]) {
            $($from)::+::log_softmax_rows(logits, width, y);
        }

        /// Attention. Per row and head, `stats` gets the largest score m and `1 / sum exp(score - m)`.
        fn attend(call: Attention<'_, Self>, y: &mut [Self], stats: &mut [[Self; 2]]) {
            $($from)::+::attend(call, y, stats);
        }

        /// Computes the gradient of [`Element::attend`] from its results `y`, `stats` and their gradient
        /// `dy`: writes it to `dx`, or adds it.
        fn attend_backward(
            call: Attention<'_, Self>, y: &[Self], stats: &[[Self; 2]], dy: &[Self], dx: &mut [Self], add: bool,
        ) {
            $($from)::+::attend_backward(call, y, stats, dy, dx, add);
        }

        /// Attention of the newest row of each sequence; `qkv` is (B, 3C).
        fn attend_cached(qkv: &[Self], width: usize, heads: usize, cache: Cache<'_, Self>, y: &mut [Self]) {
            $($from)::+::attend_cached(qkv, width, heads, cache, y);
        }

        /// Normalizes each row; `stats` gets its mean and 1 over its standard deviation.
        fn norm_rows(norm: Norm<'_, Self>, x: &[Self], y: &mut [Self], stats: &mut [[Self; 2]]) {
            $($from)::+::norm_rows(norm, x, y, stats);
        }

        /// The gradient of [`Element::norm_rows`], written to `dx`, or added.
        fn norm_rows_backward(
            norm: Norm<'_, Self>, x: &[Self], stats: &[[Self; 2]], dy: &[Self], dx: &mut [Self], add: bool,
        ) {
            $($from)::+::norm_rows_backward(norm, x, stats, dy, dx, add);
        }

        /// Adds the gradient of the weight of [`Element::norm_rows`].
        fn norm_rows_weight(x: &[Self], stats: &[[Self; 2]], dy: &[Self], dweight: &mut [Self]) {
            $($from)::+::norm_rows_weight(x, stats, dy, dweight);
        }

        /// Rotates each row by the angles of its position, or by their negatives if `back`; writes to `y`, or
        /// adds.
        fn rotate(rotary: Rotary<'_, Self>, positions: &[u32], x: &[Self], y: &mut [Self], back: bool, add: bool) {
            $($from)::+::rotate(rotary, positions, x, y, back, add);
        }

        /// `y = factor x`, row by row, or with `add` `y += factor x`.
        fn scale_rows(factors: &[Self], x: &[Self], y: &mut [Self], add: bool) {
            $($from)::+::scale_rows(factors, x, y, add);
        }

        /// Each row of `y` is the bias plus the `per_row` table rows that its slots name, under an activation
        /// (not one whose slope depends on x).
        fn gather_rows(
            table: &[Self], bias: &[Self], slots: &[u32], per_row: usize, activation: Option<Activation>,
            y: &mut [Self],
        ) {
            $($from)::+::gather_rows(table, bias, slots, per_row, activation, y);
        }

        /// Adds each row of `d`, multiplied by the activation's slope, to every table row that its slots
        /// name. `v` holds the sums before the activation if its slope depends on x, else the activation's
        /// values.
        fn scatter_rows(
            activation: Option<Activation>,
            v: &[Self], d: &[Self], width: usize, slots: &[u32], per_row: usize, table: &mut [Self],
        ) {
            $($from)::+::scatter_rows(activation, v, d, width, slots, per_row, table);
        }

        /// Per channel: the mean, and the sum of squared distances from it, where row i counts `counts[i]`
        /// times (once if `counts` is empty).
        fn channel_moments(x: &[Self], counts: &[Self], mean: &mut [Self], squares: &mut [Self]) {
            $($from)::+::channel_moments(x, counts, mean, squares);
        }

        /// `y = x scale + shift`, channel by channel.
        fn channel_affine(x: &[Self], scale: &[Self], shift: &[Self], y: &mut [Self]) {
            $($from)::+::channel_affine(x, scale, shift, y);
        }

        /// Per channel: the sums of `d` and of `d (x - mean) inv_std`.
        fn channel_sums(
            x: &[Self], d: &[Self], mean: &[Self], inv_std: &[Self], sum: &mut [Self], sum_hat: &mut [Self],
        ) {
            $($from)::+::channel_sums(x, d, mean, inv_std, sum, sum_hat);
        }

        /// `dx = a d + count (b x + c)`, channel by channel, or added to `dx`; row i counts `counts[i]` times
        /// (once if `counts` is empty).
        fn channel_backward(
            x: &[Self], d: &[Self], counts: &[Self], abc: [&[Self]; 3], dx: &mut [Self], add: bool,
        ) {
            $($from)::+::channel_backward(x, d, counts, abc, dx, add);
        }

        /// `y = x + z + bias`, row by row: rows of `x` are `stride` apart, rows of `z` and `y` are as long as
        /// `bias`.
        fn add_rows(x: &[Self], stride: usize, z: &[Self], bias: &[Self], y: &mut [Self]) {
            $($from)::+::add_rows(x, stride, z, bias, y);
        }

        /// Adds every row of `d` to `sum`.
        fn sum_rows(d: &[Self], sum: &mut [Self]) {
            $($from)::+::sum_rows(d, sum);
        }

        /// `v = momentum v + g + decay p; p -= lr v`, with `rates` lr, momentum, decay.
        fn momentum_step(rates: [Self; 3], g: &[Self], v: &mut [Self], p: &mut [Self]) {
            $($from)::+::momentum_step(rates, g, v, p);
        }

        /// A step of AdamW; see [`kernels::reference::adamw_step`] for the rates.
        fn adamw_step(rates: [Self; 7], g: &[Self], m: &mut [Self], v: &mut [Self], p: &mut [Self]) {
            $($from)::+::adamw_step(rates, g, m, v, p);
        }

        /// A step of a recurrent cell; see [`CellForward`].
        fn cell_forward(call: CellForward<'_, Self>) {
            $($from)::+::cell_forward(call);
        }

        /// The backward pass of a step of a recurrent cell; see [`CellBackward`].
        fn cell_backward(call: CellBackward<'_, Self>) {
            $($from)::+::cell_backward(call);
        }

        /// `y += scale x`
        fn add_scaled(scale: Self, x: &[Self], y: &mut [Self]) {
            $($from)::+::add_scaled(scale, x, y);
        }
    };
}

/// A number type of tensors: `f32` for training, `f64` for checking gradients.
///
/// The kernels are its methods: `f32` has the SIMD kernels, `f64` the plain loops of [`kernels::reference`].
pub trait Element:
    Float
    + bytemuck::Pod
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + Debug
    + Display
    + Default
    + Send
    + Sync
{
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest value to an `f64`.
    fn of(value: f64) -> Self;

    /// This value as an `f64`.
    fn f64(self) -> f64;

    /// The error function.
    fn erf(self) -> Self;

    kernels! { reference }
}

impl Element for f32 {
    const NAME: &'static str = "f32";

    fn of(value: f64) -> Self {
        value as f32
    }

    fn f64(self) -> f64 {
        f64::from(self)
    }

    fn erf(self) -> Self {
        libm::erff(self)
    }

    kernels! { simd }
}

impl Element for f64 {
    const NAME: &'static str = "f64";

    fn of(value: f64) -> Self {
        value
    }

    fn f64(self) -> f64 {
        self
    }

    fn erf(self) -> Self {
        libm::erf(self)
    }

    // The same as the trait's default methods, which would be compiled again in each crate that uses them.
    kernels! { reference }
}
