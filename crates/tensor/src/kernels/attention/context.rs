/// Which rows each row attends to: itself and those before it.
#[derive(Clone, Copy)]
pub enum Context<'a> {
    /// Sequences of so many rows, one after another: those before it in its sequence.
    Sequences(usize),
    /// Nodes of trees: its ancestors.
    Tree(&'a Tree),
}

impl Context<'_> {
    /// How many rows come before `row` in its context.
    #[inline]
    pub fn place(&self, row: usize) -> usize {
        match self {
            Self::Sequences(length) => row % length,
            Self::Tree(tree) => tree.depths[row] as usize,
        }
    }

    /// The row before `row`, of which there is one where its place is not 0.
    #[inline]
    pub fn before(&self, row: usize) -> usize {
        match self {
            Self::Sequences(_) => row - 1,
            Self::Tree(tree) => tree.parents[row] as usize,
        }
    }
}

/// Trees of rows, each of which comes after its parent.
pub struct Tree {
    parents: Vec<u32>,
    depths: Vec<u32>,
}

impl Tree {
    /// Room for so many rows.
    pub fn new(most: usize) -> Self {
        Self { parents: Vec::with_capacity(most), depths: Vec::with_capacity(most) }
    }

    /// Takes over each row's parent; a root names itself.
    ///
    /// # Panics
    /// If a row comes before its parent.
    pub fn set(&mut self, parents: &[u32]) {
        self.parents.clear();
        self.parents.extend_from_slice(parents);
        self.depths.clear();
        for (row, &parent) in parents.iter().enumerate() {
            let parent = parent as usize;
            assert!(parent <= row, "a tree: row {row} comes before its parent, row {parent}");
            let depth = if parent == row { 0 } else { self.depths[parent] + 1 };
            self.depths.push(depth);
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.parents.len()
    }
}
