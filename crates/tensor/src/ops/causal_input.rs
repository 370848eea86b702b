//! Which rows a row depends on, for attention and prefix means.

use crate::kernels::{CausalRows, Tree};
use crate::op::Env;
use crate::{Element, Indices, Tape};

/// Which rows a row depends on besides itself, as an operation has recorded it.
pub(super) enum CausalInput {
    /// The rows before it in its sequence, which has the given number of rows.
    Sequences(usize),
    /// Its ancestors: the index tensor of the parents, and the trees that they made in the last pass.
    Tree(Indices, Tree),
}

impl CausalInput {
    /// # Panics
    /// If the rows are not whole sequences.
    pub fn sequences(name: &str, rows: usize, length: usize) -> Self {
        let whole = length > 0 && rows.is_multiple_of(length);
        assert!(whole, "{name}: {rows} rows are not whole sequences of {length}");
        Self::Sequences(length)
    }

    /// # Panics
    /// If there is not a parent for each row.
    pub fn tree<E: Element>(name: &str, tape: &Tape<'_, E>, rows: usize, parents: Indices) -> Self {
        assert_eq!(tape.indices_shape(parents).dims(), [rows], "{name}: a parent for each row");
        Self::Tree(parents, Tree::new(rows))
    }

    /// Reads the parents for a pass with the given number of rows.
    ///
    /// # Panics
    /// If the rows in use are not whole sequences, or a row comes before its parent.
    pub fn read_parents<E: Element>(&mut self, rows: usize, env: &Env<'_, E>) {
        match self {
            Self::Sequences(length) => {
                assert!(
                    rows.is_multiple_of(*length),
                    "{rows} rows in use are not whole sequences of {length}"
                );
            }
            Self::Tree(parents, tree) => {
                let parents = env.indices(*parents);
                assert_eq!(parents.len(), rows, "a parent for each row in use");
                tree.set(parents);
            }
        }
    }

    pub fn rows(&self) -> CausalRows<'_> {
        match self {
            Self::Sequences(length) => CausalRows::Sequences(*length),
            Self::Tree(_, tree) => CausalRows::Tree(tree),
        }
    }
}
