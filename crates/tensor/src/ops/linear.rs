//! y = x W^T + b

use crate::kernels::{Epilogue, Gemm};
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, MAX_DIMS, Shape, Var};

pub(crate) struct Linear<E> {
    pub inputs: usize,
    pub outputs: usize,
    pub bias: bool,
    /// Whether the weight lies in memory as (in, out), the layout of `Params::add_by_columns`.
    pub by_columns: bool,
    /// Where sums over the inputs are split in two; see `Tape::cut`.
    cut: Option<usize>,
    /// Memory for the transposed gradients of a small batch.
    transposed: Vec<E>,
}

impl<E: Element> Op<E> for Linear<E> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let (n_in, n_out) = (self.inputs, self.outputs);
        let (weight, b_strides) = (x.get(1), if self.by_columns { [n_out, 1] } else { [1, n_in] });
        let mut product = |from: usize, to: usize, last: bool| {
            E::gemm(Gemm {
                m: out.len() / n_out,
                n: n_out,
                k: to - from,
                a: &x.get(0)[from..],
                a_strides: [n_in, 1],
                b: &weight[from * b_strides[0]..],
                b_strides,
                c: out,
                c_stride: n_out,
                epilogue: match (from > 0, self.bias && last) {
                    (false, false) => Epilogue::Set,
                    (false, true) => Epilogue::Bias(x.get(2)),
                    (true, false) => Epilogue::Add,
                    (true, true) => Epilogue::AddBias(x.get(2)),
                },
            });
        };
        let cut = self.cut;
        if let Some(cut) = cut {
            product(0, cut, false);
        }
        product(cut.unwrap_or(0), n_in, true);
    }

    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let (n_in, n_out) = (self.inputs, self.outputs);
        let rows = out.len() / n_out;
        // dx = dy W; for few rows dx^T = W^T dy^T, so that dy and dx are transposed rather than the larger W
        if let Some(g) = grads.get(0) {
            let weight = x.get(1);
            if self.by_columns && !g.add && rows * (n_in + n_out) < n_in * n_out {
                let (dy_t, dx_t) = self.transposed.split_at_mut(rows * n_out);
                E::transpose(grad, rows, n_out, dy_t);
                E::gemm(Gemm {
                    m: n_in,
                    n: rows,
                    k: n_out,
                    a: weight,
                    a_strides: [n_out, 1],
                    b: dy_t,
                    b_strides: [rows, 1],
                    c: dx_t,
                    c_stride: rows,
                    epilogue: Epilogue::Set,
                });
                E::transpose(dx_t, n_in, rows, g.data);
            } else {
                E::gemm(Gemm {
                    m: rows,
                    n: n_in,
                    k: n_out,
                    a: grad,
                    a_strides: [n_out, 1],
                    b: weight,
                    b_strides: if self.by_columns { [1, n_out] } else { [n_in, 1] },
                    c: g.data,
                    c_stride: n_in,
                    epilogue: if g.add { Epilogue::Add } else { Epilogue::Set },
                });
            }
        }
        // db = the sum of dy over rows
        if self.bias
            && let Some(g) = grads.get(2)
        {
            E::sum_rows(grad, g.zeroed());
        }
    }

    fn weight(&self) -> Option<usize> {
        Some(1)
    }

    // dW^T = x^T dy as (in, out), or dW = dy^T x as (out, in)
    fn weight_grad(&mut self, x: Inputs<'_, E>, grad: &[E], c: &mut [E], epilogue: Epilogue<'_, E>) {
        let (n_in, n_out, x) = (self.inputs, self.outputs, x.get(0));
        let (m, n, a, b) = if self.by_columns { (n_in, n_out, x, grad) } else { (n_out, n_in, grad, x) };
        let (k, a_strides, b_strides, c_stride) = (grad.len() / n_out, [1, m], [n, 1], n);
        E::gemm_over_rows(Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue });
    }

    fn as_any(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// `x W^T + b`.
    ///
    /// # Shapes
    /// x (..., in), weight (out, in), bias (out) -> (..., out)
    ///
    /// # Panics
    /// If the sizes do not fit.
    ///
    /// # Source
    /// `torch.nn.functional.linear`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input(&[1, 2], &[3.0, 1.0]);
    /// // One row per output.
    /// let weight = tape.variable(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    /// let bias = tape.variable(&[3], &[0.5, 0.5, 0.5]);
    /// assert_eq!(x.linear(weight, Some(bias)).data(), [3.5, 1.5, 4.5]);
    /// ```
    pub fn linear(self, weight: Var<'t, E>, bias: Option<Var<'t, E>>) -> Var<'t, E> {
        let x = self.contiguous();
        let (sx, sw) = (x.shape(), weight.shape());
        assert!(
            sw.rank() == 2 && sx.rank() >= 1 && sw.dims()[1] == sx.last(),
            "linear: x {sx:?} does not fit weight {sw:?}"
        );
        let (outputs, inputs) = (sw.dims()[0], sw.dims()[1]);
        let by_columns = weight.layout().strides[..2] == [1, outputs];
        let weight = if by_columns { weight } else { weight.contiguous() };
        let mut dims = [1; MAX_DIMS];
        dims[..sx.rank()].copy_from_slice(sx.dims());
        dims[sx.rank() - 1] = outputs;
        let shape = Shape::new(&dims[..sx.rank()]);
        let mut ids = vec![x.id(), weight.id()];
        if let Some(b) = bias {
            assert_eq!(b.shape().dims(), [outputs], "linear: a bias of {outputs}");
            ids.push(b.contiguous().id());
        }
        let transposed = vec![E::zero(); if by_columns { inputs * outputs } else { 0 }];
        let cut = self.tape().cut(inputs);
        let op = Linear { inputs, outputs, bias: bias.is_some(), by_columns, cut, transposed };
        self.tape().record(op, &ids, shape)
    }
}
