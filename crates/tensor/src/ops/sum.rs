//! The sum of all elements.

use crate::op::{Env, Grads, Inputs, Op};
use crate::{Element, Shape, Var};

struct SumAll;

impl<E: Element> Op<E> for SumAll {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &mut Env<'_, E>) {
        out[0] = x.get(0).iter().copied().sum();
    }

    fn backward(&mut self, _: Inputs<'_, E>, _: &[E], grad: &[E], grads: &mut Grads<'_, E>, _: &Env<'_, E>) {
        if let Some(g) = grads.get(0) {
            g.each(|_| grad[0]);
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The sum of all elements, a scalar.
    pub fn sum_all(self) -> Var<'t, E> {
        let x = self.contiguous();
        self.tape().record(SumAll, &[x.id()], Shape::new(&[]))
    }
}
