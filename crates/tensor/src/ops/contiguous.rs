//! A copy of a view whose elements lie row-major without gaps.

use crate::op::{Env, InputGrads, Inputs, Op};
use crate::shape::for_each;
use crate::{Element, Layout, MAX_DIMS, Shape, Var};

struct Contiguous {
    shape: Shape,
    /// Strides of the view and of the copy.
    strides: [[usize; MAX_DIMS]; 2],
}

impl<E: Element> Op<E> for Contiguous {
    fn name(&self) -> &'static str {
        "contiguous"
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let x = x.get(0);
        for_each(&self.shape, self.strides, |[i, k]| out[k] = x[i]);
    }

    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        if let Some(g) = grads.get(0) {
            let g = g.zeroed();
            for_each(&self.shape, self.strides, |[i, k]| g[i] += grad[k]);
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The tensor itself if its elements lie row-major without gaps, else a copy whose elements do.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// `torch.Tensor.contiguous`
    pub fn contiguous(self) -> Var<'t, E> {
        if self.is_contiguous() {
            return self;
        }
        let shape = self.shape();
        let strides = [self.layout().strides, Layout::contiguous(&shape, 0).strides];
        self.tape().record(Contiguous { shape, strides }, &[self.id()], shape)
    }
}
