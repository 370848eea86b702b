/// Which rows each row attends to: itself and rows before it.
#[derive(Clone, Copy)]
pub enum CausalRows<'a> {
    /// Sequences of the given number of rows, one after another: a row attends to those before it in its
    /// sequence.
    Sequences(usize),
    /// Nodes of trees: a row attends to its ancestors.
    Tree(&'a Tree),
}

impl CausalRows<'_> {
    /// The position of `row`: how many rows come before it in its sequence, or on its path from the root.
    #[inline]
    pub fn position(&self, row: usize) -> usize {
        match self {
            Self::Sequences(length) => row % length,
            Self::Tree(tree) => tree.depths[row] as usize,
        }
    }

    /// The row directly before `row`; only if its position is not 0.
    #[inline]
    pub fn previous(&self, row: usize) -> usize {
        match self {
            Self::Sequences(_) => row - 1,
            Self::Tree(tree) => tree.parents[row] as usize,
        }
    }
}

/// Stands for no row.
const NONE: u32 = u32::MAX;

/// Trees of rows; each row comes after its parent.
pub struct Tree {
    parents: Vec<u32>,
    depths: Vec<u32>,
    /// Per row: its first child and its next sibling; roots are siblings of each other.
    children: Vec<[u32; 2]>,
    /// All rows in depth-first order: each after its parent and before its next sibling.
    order: Vec<u32>,
    deepest: u32,
    pairs: usize,
}

impl Tree {
    /// Trees of at most `capacity` rows.
    pub fn new(capacity: usize) -> Self {
        let per_row = || Vec::with_capacity(capacity);
        Self {
            parents: per_row(),
            depths: per_row(),
            children: Vec::with_capacity(capacity),
            order: per_row(),
            deepest: 0,
            pairs: 0,
        }
    }

    /// Sets each row's parent; a root is its own parent.
    ///
    /// # Panics
    /// If a row comes before its parent.
    pub fn set(&mut self, parents: &[u32]) {
        self.parents.clear();
        self.parents.extend_from_slice(parents);
        self.depths.clear();
        (self.deepest, self.pairs) = (0, 0);
        for (row, &parent) in parents.iter().enumerate() {
            let parent = parent as usize;
            assert!(parent <= row, "a tree: row {row} comes before its parent, row {parent}");
            let depth = if parent == row { 0 } else { self.depths[parent] + 1 };
            self.depths.push(depth);
            self.deepest = self.deepest.max(depth);
            self.pairs += depth as usize + 1;
        }
        self.order_depth_first();
    }

    fn order_depth_first(&mut self) {
        self.children.clear();
        self.children.resize(self.parents.len(), [NONE; 2]);
        let mut root = NONE;
        for (row, &parent) in self.parents.iter().enumerate().rev() {
            let before =
                if parent as usize == row { &mut root } else { &mut self.children[parent as usize][0] };
            let next = std::mem::replace(before, row as u32);
            self.children[row][1] = next;
        }
        self.order.clear();
        let mut row = root;
        while row != NONE {
            self.order.push(row);
            let mut next = self.children[row as usize][0];
            // Without a child, go on with the next sibling of the nearest ancestor that has one, the row
            // itself included.
            while next == NONE {
                next = self.children[row as usize][1];
                let parent = self.parents[row as usize];
                if parent == row {
                    break;
                }
                row = parent;
            }
            row = next;
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.parents.len()
    }

    /// The parent of a row; a root is its own parent.
    #[inline]
    pub(super) fn parent(&self, row: usize) -> usize {
        self.parents[row] as usize
    }

    /// The maximum depth of a row.
    pub(super) fn deepest(&self) -> usize {
        self.deepest as usize
    }

    /// The sum over all rows of how many rows each attends to.
    pub(super) fn pairs(&self) -> usize {
        self.pairs
    }

    /// Each row with its depth, depth first: the last rows visited at each smaller depth are its ancestors.
    #[inline]
    pub(super) fn visits(&self) -> impl Iterator<Item = (usize, usize)> {
        self.order.iter().map(|&row| (row as usize, self.depths[row as usize] as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn rows_are_visited_after_their_ancestors() {
        let mut tree = Tree::new(12);
        // Two roots; siblings apart from each other; a path; and fewer rows than before.
        for parents in [&[0u32, 1, 0, 0, 1, 2, 2, 3, 4, 4, 5, 7][..], &[0, 0, 1, 2, 3], &[0, 1, 2], &[]] {
            tree.set(parents);
            let mut path = [usize::MAX; 12];
            let mut seen = vec![];
            for (row, depth) in tree.visits() {
                path[depth] = row;
                seen.push(row);
                let parent = parents[row] as usize;
                assert!(
                    if depth == 0 { parent == row } else { path[depth - 1] == parent },
                    "{parents:?} at {row}"
                );
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..parents.len()).collect::<Vec<_>>());
        }
    }
}
