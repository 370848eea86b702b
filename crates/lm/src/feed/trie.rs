//! Sequences as a tree of their prefixes (a trie).

/// A trie: a node for each different prefix, parents before children.
#[derive(Default)]
pub(crate) struct Trie {
    /// Each node's token, the row of its parent (a root is its own parent), and its position: the number of
    /// its ancestors.
    pub tokens: Vec<u32>,
    pub parents: Vec<u32>,
    pub positions: Vec<u32>,
    /// For each different (node, next token) pair: the next token, the node, and how often the pair occurs.
    pub targets: Vec<u32>,
    pub nodes: Vec<u32>,
    pub counts: Vec<u32>,
    /// The node at each position of the last sequence, and the pair of it and the next token.
    path: Vec<(u32, u32)>,
    /// The last sequence.
    last: Vec<u32>,
    /// Once nodes are sorted by level: the first row of each level, and the end of the last.
    starts: Vec<u32>,
    /// Scratch for sorting: the next free row of each level, each node's new row, and a column in the new
    /// order.
    free: Vec<u32>,
    rows: Vec<u32>,
    sorted: Vec<u32>,
}

/// No pair yet.
const NONE: u32 = u32::MAX;

impl Trie {
    /// Room for `nodes` nodes of sequences of at most `longest` inputs.
    pub fn with_room(nodes: usize, longest: usize) -> Self {
        let room = || Vec::with_capacity(nodes);
        Self {
            tokens: room(),
            parents: room(),
            positions: room(),
            targets: room(),
            nodes: room(),
            counts: room(),
            path: vec![(0, NONE); longest],
            last: Vec::with_capacity(longest + 1),
            starts: vec![0; longest + 1],
            free: vec![0; longest + 1],
            rows: room(),
            sorted: room(),
        }
    }

    pub fn clear(&mut self) {
        let Self { tokens, parents, positions, targets, nodes, counts, last, .. } = self;
        [tokens, parents, positions, targets, nodes, counts, last].into_iter().for_each(Vec::clear);
    }

    /// Makes the next sequence share no nodes with the last one.
    pub fn keep_apart(&mut self) {
        self.last.clear();
    }

    /// Adds a sequence: its inputs, then the target of the last input. The tokens after inputs from
    /// `scored_from` on are targets and count `times`. Trie are shared only with the sequence added before,
    /// so add sequences in sorted order.
    pub fn add(&mut self, sequence: impl Iterator<Item = u32> + Clone, scored_from: usize, times: u32) {
        let shared = self.last.iter().zip(sequence.clone()).take_while(|(a, b)| *a == b).count();
        let old_nodes = shared.min(self.last.len().saturating_sub(1));
        self.last.clear();
        self.last.extend(sequence);
        for (at, pair) in self.last.windows(2).enumerate() {
            if at >= old_nodes {
                let node = self.tokens.len() as u32;
                self.tokens.push(pair[0]);
                self.parents.push(if at == 0 { node } else { self.path[at - 1].0 });
                self.positions.push(at as u32);
                self.path[at] = (node, NONE);
            } else if at + 1 >= shared {
                self.path[at].1 = NONE;
            }
            if at >= scored_from {
                if self.path[at].1 == NONE {
                    self.path[at].1 = self.targets.len() as u32;
                    self.targets.push(pair[1]);
                    self.nodes.push(self.path[at].0);
                    self.counts.push(0);
                }
                self.counts[self.path[at].1 as usize] += times;
            }
        }
    }

    /// The pair at each position of the last sequence from input `scored_from` on.
    pub fn pairs(&self, scored_from: usize) -> impl Iterator<Item = usize> {
        self.path[scored_from..self.last.len() - 1].iter().map(|&(_, pair)| pair as usize)
    }

    /// Sorts the nodes by position: all roots, then their children, and so on. After this, clear the nodes
    /// before adding more.
    pub fn sort_by_level(&mut self) {
        let Self { tokens, parents, positions, nodes, starts, free, rows, sorted, .. } = self;
        starts.fill(0);
        positions.iter().for_each(|&at| starts[at as usize + 1] += 1);
        (1..starts.len()).for_each(|level| starts[level] += starts[level - 1]);
        free.copy_from_slice(starts);
        rows.clear();
        rows.extend(positions.iter().map(|&at| {
            let row = &mut free[at as usize];
            *row += 1;
            *row - 1
        }));
        parents.iter_mut().for_each(|parent| *parent = rows[*parent as usize]);
        nodes.iter_mut().for_each(|node| *node = rows[*node as usize]);
        for column in [tokens, parents, positions] {
            sorted.clear();
            sorted.resize(rows.len(), 0);
            column.iter().zip(&*rows).for_each(|(&value, &row)| sorted[row as usize] = value);
            std::mem::swap(column, sorted);
        }
    }

    /// The rows of a level, once nodes are sorted by level.
    pub fn level(&self, level: usize) -> std::ops::Range<usize> {
        self.starts[level] as usize..self.starts[level + 1] as usize
    }

    /// Makes parents' rows relative to the first row of their level; nodes must be sorted by level.
    pub fn count_parents_by_level(&mut self) {
        for level in 1..self.starts.len() - 1 {
            let (above, rows) = (self.starts[level - 1], self.level(level));
            self.parents[rows].iter_mut().for_each(|parent| *parent -= above);
        }
    }
}
