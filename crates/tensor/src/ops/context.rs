//! Which rows a row depends on: shared by attention and prefix means.

use crate::kernels::{Context, Tree};
use crate::op::Env;
use crate::{Element, Indices, Tape};

/// Which rows a row depends on besides itself.
pub(super) enum Before {
    /// The rows before it in its sequence, which has the given number of rows.
    Sequences(usize),
    /// Its ancestors, with the index tensor that the parents come from.
    Tree(Indices, Tree),
}

impl Before {
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
    pub fn follow<E: Element>(&mut self, rows: usize, env: &Env<'_, E>) {
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

    pub fn context(&self) -> Context<'_> {
        match self {
            Self::Sequences(length) => Context::Sequences(*length),
            Self::Tree(_, tree) => Context::Tree(tree),
        }
    }
}
