//! Functions of one number, element by element: -x, e^x, ln x, and the square root.

use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Var};

/// A function of a number, and its derivative.
trait Function<E: Element>: Send + 'static {
    const NAME: &'static str;

    fn value(x: &[E], y: &mut [E]);

    /// The derivative at `x`, where the value is `y`.
    fn slope(x: E, y: E) -> E;
}

/// Writes `f(x)` for every element x.
fn map<E: Element>(x: &[E], y: &mut [E], f: impl Fn(E) -> E) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x));
}

macro_rules! function {
    ($name:ident, $label:literal, $value:expr, |$x:ident, $y:ident| $slope:expr) => {
        struct $name;
        impl<E: Element> Function<E> for $name {
            const NAME: &'static str = $label;
            #[inline(always)]
            fn value(x: &[E], y: &mut [E]) {
                $value(x, y)
            }
            #[inline(always)]
            fn slope($x: E, $y: E) -> E {
                $slope
            }
        }
    };
}

function!(Neg, "neg", |x, y| map(x, y, |x: E| -x), |_x, _y| -E::one());
function!(Exp, "exp", E::exp_slice, |_x, y| y);
function!(Log, "log", |x, y| map(x, y, |x: E| x.ln()), |x, _y| x.recip());
function!(Sqrt, "sqrt", |x, y| map(x, y, |x: E| x.sqrt()), |_x, y| E::of(0.5) / y);

struct Unary<F>(F);

impl<E: Element, F: Function<E>> Op<E> for Unary<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        F::value(x.get(0), out);
    }

    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let x = x.get(0);
        if let Some(g) = grads.get(0) {
            let n = g.data.len();
            let (x, y, dy) = (&x[..n], &out[..n], &grad[..n]);
            g.each(|i| dy[i] * F::slope(x[i], y[i]));
        }
    }
}

fn record<'t, E: Element>(x: Var<'t, E>, function: impl Function<E>) -> Var<'t, E> {
    let x = x.contiguous();
    x.tape().record(Unary(function), &[x.id()], x.shape())
}

impl<'t, E: Element> std::ops::Neg for Var<'t, E> {
    type Output = Var<'t, E>;

    fn neg(self) -> Var<'t, E> {
        record(self, Neg)
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// `e^x`, element by element; its slope is `e^x`.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// `torch.exp`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.variable(&[2], &[1.0, 4.0]);
    /// assert_eq!(x.sqrt().data(), [1.0, 2.0]);
    /// x.log().exp().sum_all().backward();
    /// assert!(x.grad().iter().all(|slope| (slope - 1.0).abs() < 1e-12));
    /// ```
    pub fn exp(self) -> Var<'t, E> {
        record(self, Exp)
    }

    /// The natural logarithm, element by element; its slope is `1 / x`.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// `torch.log`
    pub fn log(self) -> Var<'t, E> {
        record(self, Log)
    }

    /// The square root, element by element; its slope is `1 / (2 y)`.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// `torch.sqrt`
    pub fn sqrt(self) -> Var<'t, E> {
        record(self, Sqrt)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::{check, check_at};

    #[test]
    fn gradient() {
        check(&[&[2, 3]], |v| -v[0]);
        check(&[&[2, 3]], |v| v[0].exp());
        check(&[&[2, 3]], |v| v[0].transpose(0, 1).exp() * v[0].reshape(&[3, 2]));
        let positive = [vec![0.1, 0.5, 1.0, 2.0, 7.0]];
        check_at(&[&[5]], &positive, |v| v[0].log());
        check_at(&[&[5]], &positive, |v| v[0].sqrt());
    }
}
