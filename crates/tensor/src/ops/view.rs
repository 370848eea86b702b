//! Views: the same memory with another shape. No element moves, and a view's gradient is a view of the
//! gradient.

use crate::{Element, Layout, Shape, Var};

impl<'t, E: Element> Var<'t, E> {
    /// The same elements in the same order with another shape. A view that is not contiguous is copied first.
    ///
    /// # Shapes
    /// any -> `dims`
    ///
    /// # Panics
    /// If the number of elements differs.
    ///
    /// # Source
    /// `torch.reshape`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.arange(6).reshape(&[2, 3]);
    /// assert_eq!(x.transpose(0, 1).data(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    /// assert_eq!(x.slice(1, 1, 3).data(), [1.0, 2.0, 4.0, 5.0]);
    /// assert_eq!(x.reshape(&[2, 3, 1]).flatten(1).shape(), x.shape());
    /// // Only a view that is not contiguous was copied.
    /// assert!(x.slice(1, 1, 3).shares_memory(x) && !x.transpose(0, 1).reshape(&[6]).shares_memory(x));
    /// ```
    pub fn reshape(self, dims: &[usize]) -> Var<'t, E> {
        let x = self.contiguous();
        let shape = Shape::new(dims);
        assert_eq!(shape.len(), x.shape().len(), "reshape: {:?} to {shape:?}", x.shape());
        x.tape().view(x.id(), shape, Layout::contiguous(&shape, x.layout().offset))
    }

    /// Merges all dimensions from `start` on into one.
    ///
    /// # Shapes
    /// (B, T, E), start 1 -> (B, T E)
    ///
    /// # Panics
    /// If there are fewer than `start` dimensions.
    ///
    /// # Source
    /// `torch.flatten`
    pub fn flatten(self, start: usize) -> Var<'t, E> {
        let shape = self.shape();
        let (kept, rest) = shape.dims().split_at(start);
        let mut dims = kept.to_vec();
        dims.push(rest.iter().product());
        self.reshape(&dims)
    }

    /// Exchanges two dimensions.
    ///
    /// # Shapes
    /// (B, T), 0 and 1 -> (T, B)
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// # Source
    /// `torch.transpose`
    pub fn transpose(self, a: usize, b: usize) -> Var<'t, E> {
        let (shape, mut layout) = (self.shape(), self.layout());
        let mut dims = shape.dims().to_vec();
        dims.swap(a, b);
        layout.strides.swap(a, b);
        self.tape().view(self.id(), Shape::new(&dims), layout)
    }

    /// The elements `start..end` along one dimension.
    ///
    /// # Shapes
    /// (B, T), dim 1 -> (B, end - start)
    ///
    /// # Panics
    /// If the range is not within the dimension.
    ///
    /// # Source
    /// `x[:, start:end]` in torch
    pub fn slice(self, dim: usize, start: usize, end: usize) -> Var<'t, E> {
        let (shape, mut layout) = (self.shape(), self.layout());
        let mut dims = shape.dims().to_vec();
        assert!(start <= end && end <= dims[dim], "slice {start}..{end} of dimension {dim} of {shape:?}");
        dims[dim] = end - start;
        layout.offset += start * layout.strides[dim];
        self.tape().view(self.id(), Shape::new(&dims), layout)
    }
}
