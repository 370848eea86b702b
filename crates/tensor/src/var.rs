use crate::{Element, Layout, NodeId, Shape, Tape};

/// A tensor on a tape: a `Copy` handle of a node.
///
/// Operators and methods record operations; see [`crate::ops`].
///
/// ```
/// use charloom_tensor::Tape;
///
/// let tape = Tape::<f64>::new();
/// let (a, b) = (tape.variable(&[2, 1], &[1.0, 2.0]), tape.variable(&[3], &[10.0, 20.0, 30.0]));
/// // They broadcast, as numpy's arrays do.
/// let sum = a + b;
/// assert_eq!(sum.shape().dims(), [2, 3]);
/// assert_eq!(sum.data(), [11.0, 21.0, 31.0, 12.0, 22.0, 32.0]);
/// (sum * 2.0 - a / b).sum_all().backward();
/// // Each element of b was used twice.
/// assert!((b.grad()[0] - (2.0 * 2.0 + (1.0 + 2.0) / 10f64.powi(2))).abs() < 1e-12);
/// ```
pub struct Var<'t, E: Element> {
    pub(crate) tape: &'t Tape<'t, E>,
    pub(crate) id: NodeId,
}

impl<E: Element> Clone for Var<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Element> Copy for Var<'_, E> {}

impl<'t, E: Element> Var<'t, E> {
    /// Its tape.
    pub fn tape(self) -> &'t Tape<'t, E> {
        self.tape
    }

    /// Its node: a handle that can be stored.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// Its sizes.
    pub fn shape(self) -> Shape {
        self.tape.recording.borrow().nodes[self.id.index].shape
    }

    /// The size of its first dimension; 1 for a scalar.
    pub(crate) fn rows(self) -> usize {
        self.shape().dims().first().copied().unwrap_or(1)
    }

    /// Its offset and strides in memory.
    pub fn layout(self) -> Layout {
        self.tape.recording.borrow().nodes[self.id.index].layout
    }

    /// The axis of its first dimension, if its number of rows varies.
    pub(crate) fn axis(self) -> Option<usize> {
        self.tape.recording.borrow().nodes[self.id.index].axis
    }

    /// Whether its elements lie row-major without gaps.
    pub fn is_contiguous(self) -> bool {
        self.layout().is_contiguous(&self.shape())
    }

    /// Its elements in row-major order.
    pub fn data(self) -> Vec<E> {
        self.tape.read(self.id)
    }

    /// Its gradient after a backward pass, in row-major order.
    ///
    /// # Panics
    /// If there was no backward pass.
    pub fn grad(self) -> Vec<E> {
        self.tape.read_grad(self.id)
    }

    /// The only element of a tensor of one element.
    ///
    /// # Panics
    /// If there are more, or none.
    pub fn item(self) -> E {
        let shape = self.shape();
        assert_eq!(shape.len(), 1, "item() is for a tensor of one element, not of shape {shape:?}");
        self.data()[0]
    }

    /// Computes the gradient of this scalar; see [`Tape::backward`].
    pub fn backward(self) {
        self.tape.backward(self.id);
    }
}
