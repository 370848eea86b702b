//! C = A B, for matrices and for batches of them

use crate::kernels::{End, Gemm};
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::shape::for_each;
use crate::{Element, MAX_DIMS, Shape, Var};

struct Matmul<E> {
    /// C's dimensions before the last two, and the steps from matrix to matrix in A, B and C.
    batch: Shape,
    strides: [[usize; MAX_DIMS]; 3],
    m: usize,
    n: usize,
    k: usize,
    /// How far apart A's rows and columns are, and B's rows.
    a: [usize; 2],
    b: usize,
    /// Whether A is one run of rows, of which only the first may be in use.
    rows: bool,
    kind: RowRule,
    /// One matrix of B transposed, and one matrix of A's gradient.
    turned: Vec<E>,
    da: Vec<E>,
}

impl<E: Element> Matmul<E> {
    fn m(&self, out: usize) -> usize {
        if self.rows { out / self.n } else { self.m }
    }
}

impl<E: Element> Op<E> for Matmul<E> {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn row_rule(&self) -> RowRule {
        self.kind
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let (a, b) = (x.get(0), x.get(1));
        let (m, n, k) = (self.m(out.len()), self.n, self.k);
        for_each(&self.batch, self.strides, |[i, j, l]| {
            E::gemm(Gemm {
                m,
                n,
                k,
                a: &a[i..],
                a_strides: self.a,
                b: &b[j..],
                b_stride: self.b,
                c: &mut out[l..],
                c_stride: n,
                end: End::Set,
            });
        });
    }

    // dA = dC B^T and dB = A^T dC; a matrix that is broadcast gets the sum over its copies.
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let (a, b) = (x.get(0), x.get(1));
        let (m, n, k) = (self.m(out.len()), self.n, self.k);
        if let Some(g) = grads.get(0) {
            let g = g.zeroed();
            let [row, col] = self.a;
            for_each(&self.batch, self.strides, |[i, j, l]| {
                for r in 0..k {
                    for c in 0..n {
                        self.turned[c * k + r] = b[j + r * self.b + c];
                    }
                }
                E::gemm(Gemm {
                    m,
                    n: k,
                    k: n,
                    a: &grad[l..],
                    a_strides: [n, 1],
                    b: &self.turned,
                    b_stride: k,
                    c: &mut self.da,
                    c_stride: k,
                    end: End::Set,
                });
                for (r, da) in self.da.chunks_exact(k).take(m).enumerate() {
                    da.iter().enumerate().for_each(|(c, &d)| g[i + r * row + c * col] += d);
                }
            });
        }
        if let Some(g) = grads.get(1) {
            let g = g.zeroed();
            let [row, col] = self.a;
            for_each(&self.batch, self.strides, |[i, j, l]| {
                E::gemm(Gemm {
                    m: k,
                    n,
                    k: m,
                    a: &a[i..],
                    a_strides: [col, row],
                    b: &grad[l..],
                    b_stride: n,
                    c: &mut g[j..],
                    c_stride: self.b,
                    end: End::Add,
                });
            });
        }
    }
}

/// A tensor's last two dimensions and how far apart their elements are.
fn matrix<E: Element>(v: Var<'_, E>) -> ([usize; 2], [usize; 2]) {
    let (shape, layout) = (v.shape(), v.layout());
    let last = shape.rank() - 2;
    ([shape.dims()[last], shape.dims()[last + 1]], [layout.strides[last], layout.strides[last + 1]])
}

/// A tensor's dimensions before the last two.
fn leading(shape: &Shape) -> Shape {
    Shape::new(&shape.dims()[..shape.rank() - 2])
}

impl<'t, E: Element> Var<'t, E> {
    /// The matrix product `C = A B`.
    ///
    /// Dimensions before the last two broadcast. A vector on the left counts as one row, on the right as one column,
    /// and that dimension is left out of the result.
    ///
    /// # Shapes
    /// A (..., m, k), B (..., k, n) -> (..., m, n)
    ///
    /// # Panics
    /// If the sizes do not fit, or there is no element.
    ///
    /// # Source
    /// `torch.matmul`
    pub fn matmul(self, other: Var<'t, E>) -> Var<'t, E> {
        let (sa, sb) = (self.shape(), other.shape());
        let no_fit = || -> ! { panic!("matmul: shapes {sa:?} and {sb:?} do not fit") };
        if sa.rank() == 0 || sb.rank() == 0 {
            no_fit();
        }
        let a = if sa.rank() == 1 { self.reshape(&[1, sa.len()]) } else { self };
        let b = if sb.rank() == 1 { other.reshape(&[sb.len(), 1]) } else { other };
        let batch = leading(&a.shape()).broadcast(&leading(&b.shape())).unwrap_or_else(|| no_fit());
        if matrix(a).0[1] != matrix(b).0[0] || sa.is_empty() || sb.is_empty() {
            no_fit();
        }
        let mut dims = batch.dims().to_vec();
        if sa.rank() > 1 {
            dims.push(matrix(a).0[0]);
        }
        if sb.rank() > 1 {
            dims.push(matrix(b).0[1]);
        }
        product(a, b, &batch, Shape::new(&dims))
    }
}

/// The product, of this shape, of two tensors of at least two dimensions.
fn product<'t, E: Element>(a: Var<'t, E>, b: Var<'t, E>, batch: &Shape, shape: Shape) -> Var<'t, E> {
    let ([k, n], [b_row, b_col]) = matrix(b);
    // The kernel reads B row by row.
    let by_rows = (n == 1 || b_col == 1) && (k == 1 || b_row >= n);
    let b = if by_rows { b } else { b.contiguous() };
    let ([m, _], a_steps) = matrix(a);
    // With one matrix on the right, all rows on the left are rows of one matrix.
    let rows = b.shape().rank() == 2 && a.is_contiguous();
    let (lead_a, lead_b) = (leading(&a.shape()), leading(&b.shape()));
    let mut c_steps = [0; MAX_DIMS];
    let mut step = m * n;
    for d in (0..batch.rank()).rev() {
        c_steps[d] = step;
        step *= batch.dims()[d];
    }
    let m = if rows { a.shape().len() / k } else { m };
    let op = Matmul {
        batch: if rows { Shape::new(&[]) } else { *batch },
        strides: [
            a.layout().broadcast_strides(&lead_a, batch),
            b.layout().broadcast_strides(&lead_b, batch),
            c_steps,
        ],
        m,
        n,
        k,
        a: if rows { [k, 1] } else { a_steps },
        b: matrix(b).1[0].max(n),
        rows,
        kind: if rows && b.axis().is_none() { RowRule::Keeps } else { RowRule::Mixes },
        turned: vec![E::zero(); k * n],
        da: vec![E::zero(); m * k],
    };
    a.tape().record(op, &[a.id(), b.id()], shape)
}

#[cfg(test)]
mod tests {
    use crate::check::check;

    #[test]
    fn gradient() {
        let shapes: [[&[usize]; 2]; 8] = [
            [&[3, 4], &[4, 2]],
            [&[2, 3, 4], &[4, 2]],
            [&[2, 3, 4], &[2, 4, 2]],
            [&[3, 4], &[2, 4, 5]],
            [&[2, 1, 3, 2], &[3, 2, 4]],
            [&[4], &[4, 3]],
            [&[2, 3, 4], &[4]],
            [&[4], &[4]],
        ];
        for [a, b] in shapes {
            check(&[a, b], |v| v[0].matmul(v[1]));
        }
    }

    #[test]
    fn gradient_of_strided_views() {
        check(&[&[4, 3], &[5, 4]], |v| v[0].transpose(0, 1).matmul(v[1].transpose(0, 1)));
        check(&[&[3, 6], &[3, 4]], |v| v[0].slice(1, 2, 5).matmul(v[1].slice(1, 1, 3)) * v[1].slice(1, 2, 4));
        check(&[&[2, 3, 4]], |v| v[0].matmul(v[0].transpose(1, 2)));
        check(&[&[3, 3]], |v| v[0].matmul(v[0]));
        check(&[&[1, 4], &[1, 3]], |v| v[0].transpose(0, 1).matmul(v[1]));
    }

    #[test]
    #[should_panic(expected = "matmul: shapes [2, 3] and [4, 2] do not fit")]
    fn sizes_that_do_not_fit_are_named() {
        let tape = crate::Tape::<f32>::new();
        tape.input(&[2, 3], &[0.0; 6]).matmul(tape.input(&[4, 2], &[0.0; 8]));
    }
}
