use std::ops::{Add, Div, Mul, Sub};

use charloom_tensor::Element;

/// A matrix with the operations that the hand-written backward needs, in plain loops and without autograd.
///
/// Operators work element by element; a matrix of one row or one column is broadcast, as on the tape.
///
/// ```
/// use charloom::backprop::Matrix;
/// let a = Matrix::new(2, vec![1.0f64, 2.0, 3.0, 4.0]);
/// assert_eq!((&a - &a.sum_rows()).data(), [-3.0, -4.0, -1.0, -2.0]);
/// assert_eq!(a.t().matmul(&a).data(), [10.0, 14.0, 14.0, 20.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<E> {
    columns: usize,
    data: Vec<E>,
}

impl<E: Element> Matrix<E> {
    /// A matrix from its elements, row by row.
    ///
    /// # Panics
    /// If they do not fill whole rows.
    pub fn new(columns: usize, data: Vec<E>) -> Self {
        assert!(
            columns > 0 && data.len().is_multiple_of(columns),
            "{} elements are no rows of {columns}",
            data.len()
        );
        Self { columns, data }
    }

    /// Zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self::new(columns, vec![E::zero(); rows * columns])
    }

    /// A 1 in each row, at the column in `places`; zeros elsewhere.
    pub fn one_hot(places: &[u32], columns: usize) -> Self {
        let mut y = Self::zeros(places.len(), columns);
        places.iter().enumerate().for_each(|(i, &place)| y.data[i * columns + place as usize] = E::one());
        y
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.data.len() / self.columns
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The elements, row by row.
    pub fn data(&self) -> &[E] {
        &self.data
    }

    /// The elements, mutable.
    pub fn data_mut(&mut self) -> &mut [E] {
        &mut self.data
    }

    /// The same elements in rows of another length.
    pub fn reshape(&self, columns: usize) -> Self {
        Self::new(columns, self.data.clone())
    }

    /// `f` of each element.
    pub fn map(&self, f: impl Fn(E) -> E) -> Self {
        Self::new(self.columns, self.data.iter().map(|&x| f(x)).collect())
    }

    /// The transpose.
    pub fn t(&self) -> Self {
        let columns = (0..self.columns).flat_map(|j| self.data[j..].iter().step_by(self.columns));
        Self::new(self.rows(), columns.copied().collect())
    }

    /// The sum over rows: one row, `y[j] = sum_i x[i, j]`.
    pub fn sum_rows(&self) -> Self {
        let mut y = Self::zeros(1, self.columns);
        for row in self.data.chunks_exact(self.columns) {
            y.data.iter_mut().zip(row).for_each(|(y, &x)| *y += x);
        }
        y
    }

    /// The sum over columns: one column, `y[i] = sum_j x[i, j]`.
    pub fn sum_columns(&self) -> Self {
        Self::new(1, self.data.chunks_exact(self.columns).map(|row| row.iter().copied().sum()).collect())
    }

    /// The product, `y[i, j] = sum_k a[i, k] b[k, j]`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn matmul(&self, other: &Self) -> Self {
        assert_eq!(
            self.columns,
            other.rows(),
            "a product needs as many rows on the right as columns on the left"
        );
        let mut y = Self::zeros(self.rows(), other.columns);
        for (y, a) in y.data.chunks_exact_mut(other.columns).zip(self.data.chunks_exact(self.columns)) {
            for (&a, b) in a.iter().zip(other.data.chunks_exact(other.columns)) {
                y.iter_mut().zip(b).for_each(|(y, &b)| *y += a * b);
            }
        }
        y
    }

    /// `f` of each pair of elements; one row or column is broadcast.
    fn zip(&self, other: &Self, f: impl Fn(E, E) -> E) -> Self {
        let rows = self.rows().max(other.rows());
        let columns = self.columns.max(other.columns);
        for m in [self, other] {
            let fits = [rows, 1].contains(&m.rows()) && [columns, 1].contains(&m.columns);
            assert!(fits, "{} rows of {} do not fit {rows} of {columns}", m.rows(), m.columns);
        }
        let at = |m: &Self, i: usize, j: usize| {
            let i = if m.rows() == 1 { 0 } else { i };
            m.data[i * m.columns + if m.columns == 1 { 0 } else { j }]
        };
        let mut data = Vec::with_capacity(rows * columns);
        for i in 0..rows {
            data.extend((0..columns).map(|j| f(at(self, i, j), at(other, i, j))));
        }
        Self::new(columns, data)
    }
}

/// An operator on matrices and references to them, or with a number on the right.
macro_rules! operator {
    ($trait:ident, $method:ident) => {
        operator! { $trait, $method, Matrix<E>, Matrix<E> }
        operator! { $trait, $method, Matrix<E>, &Matrix<E> }
        operator! { $trait, $method, &Matrix<E>, Matrix<E> }
        operator! { $trait, $method, &Matrix<E>, &Matrix<E> }
        operator! { $trait, $method, Matrix<E> }
        operator! { $trait, $method, &Matrix<E> }
    };
    ($trait:ident, $method:ident, $left:ty, $right:ty) => {
        impl<E: Element> $trait<$right> for $left {
            type Output = Matrix<E>;
            fn $method(self, other: $right) -> Matrix<E> {
                self.zip(&other, E::$method)
            }
        }
    };
    ($trait:ident, $method:ident, $left:ty) => {
        impl<E: Element> $trait<f64> for $left {
            type Output = Matrix<E>;
            fn $method(self, number: f64) -> Matrix<E> {
                self.map(|x| x.$method(E::of(number)))
            }
        }
    };
}

operator! { Add, add }
operator! { Sub, sub }
operator! { Mul, mul }
operator! { Div, div }
