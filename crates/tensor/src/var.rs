use crate::{Element, Id, Layout, Shape, Tape};

/// A tensor on a tape: a Copy handle, an index and a reference.
///
/// Operators and methods record operations; see [`crate::ops`].
pub struct Var<'t, E: Element> {
    pub(crate) tape: &'t Tape<E>,
    pub(crate) id: Id,
}

impl<E: Element> Clone for Var<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Element> Copy for Var<'_, E> {}

impl<'t, E: Element> Var<'t, E> {
    /// Its tape.
    pub fn tape(self) -> &'t Tape<E> {
        self.tape
    }

    /// Its place on the tape, to store.
    pub fn id(self) -> Id {
        self.id
    }

    /// Its sizes.
    pub fn shape(self) -> Shape {
        self.tape.inner.borrow().nodes[self.id.0].shape
    }

    /// Where its elements lie.
    pub fn layout(self) -> Layout {
        self.tape.inner.borrow().nodes[self.id.0].layout
    }

    /// Whether its first dimension is a batch whose equal rows may be merged.
    pub fn is_batched(self) -> bool {
        self.tape.inner.borrow().nodes[self.id.0].batched
    }

    /// Whether its elements lie row-major without gaps.
    pub fn is_contiguous(self) -> bool {
        self.layout().is_contiguous(&self.shape())
    }

    /// Its elements in row-major order.
    pub fn data(self) -> Vec<E> {
        let inner = self.tape.inner.borrow();
        let node = &inner.nodes[self.id.0];
        let memory = match node.home {
            crate::tape::Home::Param => inner.params.all(),
            crate::tape::Home::Local => inner.values.all(),
        };
        crate::state::gather(memory, &node.shape, &node.layout)
    }

    /// Lets `f` see its elements in row-major order, of a batch only the rows in use, without copying them.
    ///
    /// # Panics
    /// If it is a view whose elements do not lie so.
    pub fn with_data<R>(self, f: impl FnOnce(&[E]) -> R) -> R {
        let inner = self.tape.inner.borrow();
        let node = &inner.nodes[self.id.0];
        assert!(node.layout.is_contiguous(&node.shape), "with_data: the elements do not lie row-major");
        let memory = match node.home {
            crate::tape::Home::Param => inner.params.all(),
            crate::tape::Home::Local => inner.values.all(),
        };
        f(&memory[node.span(inner.rows)])
    }

    /// Its gradient after a backward pass, in row-major order.
    ///
    /// # Panics
    /// If there was no backward pass since it was recorded.
    pub fn grad(self) -> Vec<E> {
        let inner = self.tape.inner.borrow();
        let node = &inner.nodes[self.id.0];
        let memory = match node.home {
            crate::tape::Home::Param => inner.param_grads.all(),
            crate::tape::Home::Local => inner.grads.all(),
        };
        crate::state::gather(memory, &node.shape, &node.layout)
    }

    /// Lets `f` see its gradient after a backward pass, as [`Var::with_data`] its elements.
    ///
    /// # Panics
    /// As [`Var::with_data`] and [`Var::grad`].
    pub fn with_grad<R>(self, f: impl FnOnce(&[E]) -> R) -> R {
        let inner = self.tape.inner.borrow();
        let node = &inner.nodes[self.id.0];
        assert!(node.layout.is_contiguous(&node.shape), "with_grad: the elements do not lie row-major");
        let memory = match node.home {
            crate::tape::Home::Param => inner.param_grads.all(),
            crate::tape::Home::Local => inner.grads.all(),
        };
        f(&memory[node.span(inner.rows)])
    }

    /// The only element of a tensor of one element.
    ///
    /// # Panics
    /// If there are more, or none.
    pub fn item(self) -> E {
        let inner = self.tape.inner.borrow();
        let node = &inner.nodes[self.id.0];
        assert_eq!(
            node.shape.len(),
            1,
            "item() is for a tensor of one element, not of shape {:?}",
            node.shape
        );
        match node.home {
            crate::tape::Home::Param => inner.params.all()[node.layout.offset],
            crate::tape::Home::Local => inner.values.all()[node.layout.offset],
        }
    }

    /// Computes the gradient of this single number; see [`Tape::backward`].
    pub fn backward(self) {
        self.tape.backward(self.id);
    }
}
