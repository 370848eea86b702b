//! C = A B, for matrices and for batches of them

use crate::kernels::{Epilogue, Gemm};
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::shape::for_each;
use crate::{Element, MAX_DIMS, Shape, Var};

struct Matmul {
    /// C's dimensions before the last two, and their strides in A, B and C.
    batch: Shape,
    batch_strides: [Strides; 3],
    m: usize,
    n: usize,
    k: usize,
    /// The row and column strides of A and of B: one of the two is 1.
    a: [usize; 2],
    b: [usize; 2],
    /// Whether A is one matrix of all rows, of which only the first may be in use.
    rows: bool,
    row_rule: RowRule,
}

type Strides = [usize; MAX_DIMS];

impl Matmul {
    /// Computes one product for each matrix of the batch; `strides` are the batch's in A, B and C of `call`.
    fn each<E: Element>(&self, strides: [Strides; 3], call: Gemm<'_, E>) {
        let Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue } = call;
        let dims = self.batch.dims();
        // The last dimensions along which all matrices are equally far apart form one batched call.
        let (mut outer, mut count, mut stride) = (dims.len(), 1, [0; 3]);
        while let Some(d) = outer.checked_sub(1)
            && (count == 1
                || strides.iter().zip(stride).all(|(strides, stride)| strides[d] == stride * count))
        {
            if count == 1 {
                stride = strides.map(|strides| strides[d]);
            }
            (outer, count) = (d, count * dims[d]);
        }
        for_each(&Shape::new(&dims[..outer]), strides, |[i, j, l]| {
            let (a, b, c) = (&a[i..], &b[j..], &mut c[l..]);
            E::gemm_batched(
                count,
                stride,
                Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue },
            );
        });
    }
}

impl<E: Element> Op<E> for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn row_rule(&self) -> RowRule {
        self.row_rule
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let (n, k, a_strides, b_strides) = (self.n, self.k, self.a, self.b);
        let m = if self.rows { out.len() / n } else { self.m };
        let (a, b, epilogue) = (x.get(0), x.get(1), Epilogue::Set);
        self.each(
            self.batch_strides,
            Gemm { m, n, k, a, a_strides, b, b_strides, c: out, c_stride: n, epilogue },
        );
    }

    // dA = dC B^T and dB = A^T dC; if A or B has column-major matrices, dA^T = B dC^T or dB^T = dC^T A. A
    // broadcast matrix gets the sum over its copies.
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let (n, k, [a_row, a_col], [b_row, b_col]) = (self.n, self.k, self.a, self.b);
        let m = if self.rows { out.len() / n } else { self.m };
        let ([a_batch, b_batch, c_batch], epilogue) = (self.batch_strides, Epilogue::Add);
        if let Some(g) = grads.get(0) {
            let (b, c) = (x.get(1), g.zeroed());
            if a_col == 1 {
                let (a_strides, b_strides, c_stride) = ([n, 1], [b_col, b_row], a_row);
                let call = Gemm { m, n: k, k: n, a: grad, a_strides, b, b_strides, c, c_stride, epilogue };
                self.each([c_batch, b_batch, a_batch], call);
            } else {
                let (a_strides, b_strides, c_stride) = ([b_row, b_col], [1, n], a_col);
                let call =
                    Gemm { m: k, n: m, k: n, a: b, a_strides, b: grad, b_strides, c, c_stride, epilogue };
                self.each([b_batch, c_batch, a_batch], call);
            }
        }
        if let Some(g) = grads.get(1) {
            let (a, c) = (x.get(0), g.zeroed());
            if b_col == 1 {
                let (a_strides, b_strides, c_stride) = ([a_col, a_row], [n, 1], b_row);
                let call = Gemm { m: k, n, k: m, a, a_strides, b: grad, b_strides, c, c_stride, epilogue };
                self.each([a_batch, c_batch, b_batch], call);
            } else {
                let (a_strides, b_strides, c_stride) = ([1, n], [a_row, a_col], b_col);
                let call =
                    Gemm { m: n, n: k, k: m, a: grad, a_strides, b: a, b_strides, c, c_stride, epilogue };
                self.each([c_batch, a_batch, b_batch], call);
            }
        }
    }
}

/// A tensor's last two dimensions and their strides.
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
    /// Dimensions before the last two broadcast. A vector on the left counts as one row, on the right as one
    /// column; that dimension is missing from the result.
    ///
    /// # Shapes
    /// A (..., m, k), B (..., k, n) -> (..., m, n)
    ///
    /// # Panics
    /// If the sizes do not fit, or there is no element.
    ///
    /// # Source
    /// `torch.matmul`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let a = tape.arange(6).reshape(&[2, 3]);
    /// let b = tape.variable(&[3, 1], &[1.0, 0.0, -1.0]);
    /// let product = a.matmul(b);
    /// assert_eq!((product.shape().dims(), product.data()), (&[2, 1][..], vec![-2.0, -2.0]));
    /// product.sum_all().backward();
    /// assert_eq!(b.grad(), [3.0, 5.0, 7.0]);
    /// ```
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

/// The tensor with its matrices row-major or column-major, copied if necessary; and their row and column
/// strides.
fn laid_out<E: Element>(v: Var<'_, E>) -> (Var<'_, E>, [usize; 2]) {
    let ([rows, cols], [row, col]) = matrix(v);
    // The stride of a dimension of size 1 is never used.
    if (cols == 1 || col == 1) && (rows == 1 || row >= cols) {
        (v, [row.max(cols), 1])
    } else if (rows == 1 || row == 1) && (cols == 1 || col >= rows) {
        (v, [1, col.max(rows)])
    } else {
        (v.contiguous(), [cols, 1])
    }
}

/// The product, with the given shape, of two tensors of at least two dimensions.
fn product<'t, E: Element>(a: Var<'t, E>, b: Var<'t, E>, batch: &Shape, shape: Shape) -> Var<'t, E> {
    let ((a, a_strides), (b, b_strides)) = (laid_out(a), laid_out(b));
    let ([m, k], [_, n]) = (matrix(a).0, matrix(b).0);
    // If B is one matrix, all rows of A form one matrix.
    let rows = b.shape().rank() == 2 && a.is_contiguous();
    let (lead_a, lead_b) = (leading(&a.shape()), leading(&b.shape()));
    let mut c_batch = [0; MAX_DIMS];
    let mut stride = m * n;
    for d in (0..batch.rank()).rev() {
        c_batch[d] = stride;
        stride *= batch.dims()[d];
    }
    let op = Matmul {
        batch: if rows { Shape::new(&[]) } else { *batch },
        batch_strides: [
            a.layout().broadcast_strides(&lead_a, batch),
            b.layout().broadcast_strides(&lead_b, batch),
            c_batch,
        ],
        m: if rows { a.shape().len() / k } else { m },
        n,
        k,
        a: if rows { [k, 1] } else { a_strides },
        b: b_strides,
        rows,
        row_rule: if rows && b.axis().is_none() { RowRule::PerRow } else { RowRule::AcrossRows },
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
