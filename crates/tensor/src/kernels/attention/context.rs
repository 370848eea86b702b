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

/// No row.
const NONE: u32 = u32::MAX;

/// Trees of rows, each of which comes after its parent.
pub struct Tree {
    parents: Vec<u32>,
    depths: Vec<u32>,
    /// Of each row its first child, and the next child of its parent; roots are each other's next.
    children: Vec<[u32; 2]>,
    /// All rows, each after its parent and before its parent's next child.
    order: Vec<u32>,
    deepest: u32,
    pairs: usize,
}

impl Tree {
    /// Room for so many rows.
    pub fn new(most: usize) -> Self {
        let room = || Vec::with_capacity(most);
        Self {
            parents: room(),
            depths: room(),
            children: Vec::with_capacity(most),
            order: room(),
            deepest: 0,
            pairs: 0,
        }
    }

    /// Takes over each row's parent; a root names itself.
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
        self.put_in_order();
    }

    fn put_in_order(&mut self) {
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
            // Without a child, the next child of the nearest row on the way up that has one left.
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

    /// The parent of a row; a root's is itself.
    #[inline]
    pub(super) fn parent(&self, row: usize) -> usize {
        self.parents[row] as usize
    }

    /// The largest depth of a row.
    pub(super) fn deepest(&self) -> usize {
        self.deepest as usize
    }

    /// How many rows all rows attend to.
    pub(super) fn pairs(&self) -> usize {
        self.pairs
    }

    /// Each row with its depth, such that the rows visited last, one for each depth below, are its ancestors.
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
        // Two roots; children before and after others' children; a path; and fewer rows than before.
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
