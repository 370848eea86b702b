//! Selections from a tensor: argmax, unbind, views.

use crate::{Element, Layout, MAX_DIMS, Shape, Tape, Var};

impl<'t, E: Element> Var<'t, E> {
    /// The index of the largest element along `dim`, the first of equal ones; row-major, without that
    /// dimension. It is computed at once, not recorded.
    ///
    /// ```
    /// use charloom_tensor::Tape;
    /// let tape = Tape::<f32>::new();
    /// let x = tape.input(&[2, 3], &[1.0, 5.0, 5.0, 4.0, 0.0, -1.0]);
    /// assert_eq!(x.argmax(1), [1, 0]);
    /// assert_eq!(x.argmax(0), [1, 0, 0]);
    /// ```
    ///
    /// # Shapes
    /// (B, V), dim 1 -> (B)
    ///
    /// # Panics
    /// If the dimension is not there, or has no element.
    ///
    /// # Source
    /// `torch.argmax`; as there, NaN is larger than any number.
    pub fn argmax(self, dim: usize) -> Vec<u32> {
        let (shape, data) = (self.shape(), self.data());
        let dims = shape.dims();
        assert!(dim < dims.len() && dims[dim] > 0, "argmax: no element along dimension {dim} of {shape:?}");
        let inner: usize = dims[dim + 1..].iter().product();
        let outer: usize = dims[..dim].iter().product();
        let best = |at: usize| {
            let number = |k: usize| data[at + k * inner].f64();
            let is_above = |a: f64, b: f64| a > b || (a.is_nan() && !b.is_nan());
            (1..dims[dim]).fold(0, |best, k| if is_above(number(k), number(best)) { k } else { best }) as u32
        };
        (0..outer).flat_map(|o| (0..inner).map(move |i| o * dims[dim] * inner + i)).map(best).collect()
    }

    /// The largest element along `dim` and its index, without that dimension: [`Var::max`] and
    /// [`Var::argmax`].
    ///
    /// # Shapes
    /// (B, V), dim 1 -> (B), (B)
    ///
    /// # Panics
    /// As [`Var::argmax`].
    ///
    /// # Source
    /// `torch.max(dim)`; here equal maxima share the gradient.
    pub fn max_with_indices(self, dim: usize) -> (Var<'t, E>, Vec<u32>) {
        (self.max(&[dim], false), self.argmax(dim))
    }

    /// One view for each index of `dim`, without that dimension.
    ///
    /// ```
    /// use charloom_tensor::{Tape, Var};
    /// let tape = Tape::<f32>::new();
    /// let x = tape.arange(12).view(&[2, 3, 2]);
    /// let parts = x.unbind(1);
    /// assert_eq!((parts.len(), parts[1].data()), (3, vec![2.0, 3.0, 8.0, 9.0]));
    /// assert_eq!(Var::cat(&parts, 1).data(), x.view(&[2, 6]).data());
    /// ```
    ///
    /// # Shapes
    /// (B, T, E), dim 1 -> T tensors (B, E)
    ///
    /// # Panics
    /// If the dimension is not there.
    ///
    /// # Source
    /// `torch.unbind`
    pub fn unbind(self, dim: usize) -> Vec<Var<'t, E>> {
        let (shape, layout) = (self.shape(), self.layout());
        assert!(dim < shape.rank(), "unbind: no dimension {dim} in {shape:?}");
        let mut dims = shape.dims().to_vec();
        let count = dims.remove(dim);
        let mut strides = layout.strides;
        strides[dim..].rotate_left(1);
        strides[MAX_DIMS - 1] = 0;
        let place = |k: usize| Layout { offset: layout.offset + k * layout.strides[dim], strides };
        (0..count).map(|k| self.tape().view(self.id(), Shape::new(&dims), place(k))).collect()
    }

    /// The same memory with another shape; a tensor that is not contiguous must be copied first
    /// ([`Var::reshape`] does so).
    ///
    /// # Shapes
    /// any -> `dims`
    ///
    /// # Panics
    /// If the number of elements differs, or the tensor is not contiguous.
    ///
    /// # Source
    /// `torch.view`
    pub fn view(self, dims: &[usize]) -> Var<'t, E> {
        let shape = self.shape();
        assert!(
            self.is_contiguous(),
            "view: the elements of {shape:?} do not lie in order; use reshape or contiguous"
        );
        self.reshape(dims)
    }

    /// Whether both are views of the same memory, even if of different parts of it.
    pub fn shares_memory(self, other: Var<'t, E>) -> bool {
        let recording = self.tape().recording.borrow();
        recording.nodes[self.id().index].base == recording.nodes[other.id().index].base
    }
}

impl<E: Element> Tape<'_, E> {
    /// 0, 1, 2, ... as a tensor of one dimension.
    ///
    /// # Shapes
    /// (n)
    ///
    /// # Source
    /// `torch.arange(n)`, in floating point
    pub fn arange(&self, n: usize) -> Var<'_, E> {
        let numbers: Vec<E> = (0..n).map(|i| E::of(i as f64)).collect();
        self.input(&[n], &numbers)
    }
}
