//! Operations on two tensors, element by element, with broadcasting.

use crate::kernels::parallel_rows;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::shape::for_each;
use crate::{Element, MAX_DIMS, Shape, Var};

/// Estimated operations per element, including reading and writing it.
const WORK: usize = 30;

/// A function of two numbers and its two partial derivatives.
trait Function<E: Element>: Send + 'static {
    const NAME: &'static str;

    fn value(a: E, b: E) -> E;

    /// The derivatives by `a` and by `b`, where the value is `y`.
    fn slopes(a: E, b: E, y: E) -> [E; 2];
}

macro_rules! function {
    ($name:ident, $label:literal, |$a:ident, $b:ident| $value:expr, |$y:ident| $slopes:expr) => {
        struct $name;
        impl<E: Element> Function<E> for $name {
            const NAME: &'static str = $label;
            #[inline(always)]
            fn value($a: E, $b: E) -> E {
                $value
            }
            #[inline(always)]
            #[allow(unused_variables)]
            fn slopes($a: E, $b: E, $y: E) -> [E; 2] {
                $slopes
            }
        }
    };
}

function!(Add, "add", |a, b| a + b, |y| [E::one(), E::one()]);
function!(Sub, "sub", |a, b| a - b, |y| [E::one(), -E::one()]);
function!(Mul, "mul", |a, b| a * b, |y| [b, a]);
function!(Div, "div", |a, b| a / b, |y| [b.recip(), -y / b]);
// d/da a^b = b a^(b-1); d/db a^b = a^b ln a, which is 0 where a is 0 and b is not below it.
function!(Pow, "pow", |a, b| a.powf(b), |y| [
    if b == E::zero() { E::zero() } else { b * a.powf(b - E::one()) },
    if a == E::zero() && b >= E::zero() { E::zero() } else { y * a.ln() }
]);

struct Binary<F> {
    shape: Shape,
    /// Strides of a, b, and the output.
    strides: [[usize; MAX_DIMS]; 3],
    /// Whether all three have the same layout, so that one plain loop suffices; and the length of a row.
    alike: bool,
    width: usize,
    row_rule: RowRule,
    function: std::marker::PhantomData<F>,
}

impl<E: Element, F: Function<E>> Op<E> for Binary<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn row_rule(&self) -> RowRule {
        self.row_rule
    }

    // Broadcasting runs on one thread, since it is seldom a large part of the work.
    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let (a, b) = (x.get(0), x.get(1));
        if self.alike {
            parallel_rows(out, self.width, WORK * out.len(), |at, y| {
                let (a, b) = (&a[at..][..y.len()], &b[at..][..y.len()]);
                y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (&a, &b))| *y = F::value(a, b));
            });
        } else {
            for_each(&self.shape.with_len(out.len()), self.strides, |[i, j, k]| {
                out[k] = F::value(a[i], b[j])
            });
        }
    }

    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let (a, b) = (x.get(0), x.get(1));
        for side in 0..2 {
            let Some(g) = grads.get(side) else { continue };
            if self.alike {
                g.parallel_rows(self.width, WORK * grad.len(), |at, g| {
                    // Slices of one known length, and a loop per side, let the compiler vectorize.
                    let n = g.data.len();
                    let (a, b, y, dy) = (&a[at..][..n], &b[at..][..n], &out[at..][..n], &grad[at..][..n]);
                    match side {
                        0 => g.each(|i| dy[i] * F::slopes(a[i], b[i], y[i])[0]),
                        _ => g.each(|i| dy[i] * F::slopes(a[i], b[i], y[i])[1]),
                    }
                });
            } else {
                // A broadcast element gets the sum over its copies.
                let g = g.zeroed();
                for_each(&self.shape.with_len(out.len()), self.strides, |[i, j, k]| {
                    g[[i, j][side]] += grad[k] * F::slopes(a[i], b[j], out[k])[side];
                });
            }
        }
    }
}

fn record<'t, E: Element, F: Function<E>>(a: Var<'t, E>, b: Var<'t, E>) -> Var<'t, E> {
    let (sa, sb) = (a.shape(), b.shape());
    let shape = sa.broadcast(&sb);
    let shape = shape.unwrap_or_else(|| panic!("{}: shapes {sa:?} and {sb:?} do not broadcast", F::NAME));
    let alike = sa == sb && a.is_contiguous() && b.is_contiguous();
    let out = crate::Layout::contiguous(&shape, 0).strides;
    let strides = [a.layout().broadcast_strides(&sa, &shape), b.layout().broadcast_strides(&sb, &shape), out];
    // An input of lower rank than the output has its rows in another dimension than the output's first.
    let follows = |v: Var<'t, E>, s: &[usize; MAX_DIMS]| {
        if v.axis().is_some() { v.shape().rank() == shape.rank() } else { s[0] == 0 }
    };
    let rows = shape.rank() > 0 && follows(a, &strides[0]) && follows(b, &strides[1]);
    let row_rule = if rows { RowRule::PerRow } else { RowRule::AcrossRows };
    let width = shape.row();
    let op = Binary::<F> { shape, strides, alike, width, row_rule, function: std::marker::PhantomData };
    a.tape().record(op, &[a.id(), b.id()], shape)
}

macro_rules! operator {
    ($trait:ident, $method:ident, $function:ident) => {
        impl<'t, E: Element> std::ops::$trait for Var<'t, E> {
            type Output = Var<'t, E>;
            fn $method(self, other: Var<'t, E>) -> Var<'t, E> {
                record::<E, $function>(self, other)
            }
        }
        impl<'t, E: Element> std::ops::$trait<f64> for Var<'t, E> {
            type Output = Var<'t, E>;
            fn $method(self, other: f64) -> Var<'t, E> {
                record::<E, $function>(self, self.tape().input(&[], &[E::of(other)]))
            }
        }
        impl<'t, E: Element> std::ops::$trait<Var<'t, E>> for f64 {
            type Output = Var<'t, E>;
            fn $method(self, other: Var<'t, E>) -> Var<'t, E> {
                record::<E, $function>(other.tape().input(&[], &[E::of(self)]), other)
            }
        }
    };
}

operator!(Add, add, Add);
operator!(Sub, sub, Sub);
operator!(Mul, mul, Mul);
operator!(Div, div, Div);

impl<'t, E: Element> Var<'t, E> {
    /// `x^a`, element by element; its slopes are `a x^(a-1)` and `x^a ln x`.
    ///
    /// A negative base with an exponent that is no whole number gives NaN.
    ///
    /// # Shapes
    /// any two that broadcast -> what they broadcast to
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// # Source
    /// `torch.pow`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.variable(&[2], &[2.0, 3.0]);
    /// let y = x.pow(tape.input(&[2], &[3.0, 2.0]));
    /// assert_eq!(y.data(), [8.0, 9.0]);
    /// assert_eq!(x.powf(2.0).data(), [4.0, 9.0]);
    /// y.sum_all().backward();
    /// assert_eq!(x.grad(), [12.0, 6.0]);
    /// ```
    pub fn pow(self, exponent: Var<'t, E>) -> Var<'t, E> {
        record::<E, Pow>(self, exponent)
    }

    /// `x^a` with a constant exponent.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// `torch.pow`
    pub fn powf(self, exponent: f64) -> Var<'t, E> {
        self.pow(self.tape().input(&[], &[E::of(exponent)]))
    }
}
