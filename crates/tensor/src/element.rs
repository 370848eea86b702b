use crate::kernels::{self, Activation, Gemm};
use num_traits::Float;
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, DivAssign, MulAssign, SubAssign};

/// A number that tensors are made of: `f32` to train, `f64` to check gradients.
///
/// The kernels hang here: `f32` runs on the machine's SIMD units, `f64` on the plain loops of
/// [`kernels::reference`].
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

    /// C = A B (+ C), see [`Gemm`].
    fn gemm(call: Gemm<'_, Self>) {
        kernels::reference::gemm(call);
    }

    /// Applies an activation to every element of `x`.
    fn activate(activation: Activation, x: &[Self], y: &mut [Self]) {
        kernels::reference::activate(activation, x, y);
    }

    /// The gradient of [`Element::activate`]: `dx = dy f'(x)`, or added to `dx`.
    ///
    /// Only gelu looks at `x`; for the others it may be empty.
    fn activate_backward(kind: Activation, x: &[Self], y: &[Self], dy: &[Self], dx: &mut [Self], add: bool) {
        kernels::reference::activate_backward(kind, x, y, dy, dx, add);
    }

    /// `y[i] = exp(x[i])`.
    fn exp_slice(x: &[Self], y: &mut [Self]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x.exp();
        }
    }

    /// Each row of `logits` (rows of `width`) becomes its softmax; `lse` gets each row's log-sum-exp.
    fn softmax_rows(logits: &[Self], width: usize, probs: &mut [Self], lse: &mut [Self]) {
        kernels::reference::softmax_rows(logits, width, probs, lse);
    }
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

    fn gemm(call: Gemm<'_, Self>) {
        kernels::gemm(call);
    }

    fn activate(activation: Activation, x: &[Self], y: &mut [Self]) {
        kernels::activate(activation, x, y);
    }

    fn activate_backward(kind: Activation, x: &[Self], y: &[Self], dy: &[Self], dx: &mut [Self], add: bool) {
        kernels::activate_backward(kind, x, y, dy, dx, add);
    }

    fn exp_slice(x: &[Self], y: &mut [Self]) {
        kernels::exp(x, y);
    }

    fn softmax_rows(logits: &[Self], width: usize, probs: &mut [Self], lse: &mut [Self]) {
        kernels::softmax_rows(logits, width, probs, lse);
    }
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
}
