//! Minibatches of whole words as one tree, for models that look back at all of its nodes' ancestors.

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::pieces::Pieces;
use super::{Feed, Shape};

/// Sequences as a tree of their beginnings: a node for each different one, parents before children.
#[derive(Default)]
pub(crate) struct Nodes {
    /// Each node's token, the row of its parent (a root's is its own), and its position: how many ancestors it has.
    pub tokens: Vec<u32>,
    pub parents: Vec<u32>,
    pub positions: Vec<u32>,
    /// Of each different (node, next token) pair the next token, the node, and how often it occurs.
    pub targets: Vec<u32>,
    pub nodes: Vec<u32>,
    pub counts: Vec<u32>,
    /// The node and the pair at each position of the last sequence.
    path: Vec<(u32, u32)>,
    /// The last sequence.
    last: Vec<u32>,
}

/// No pair yet.
const NONE: u32 = u32::MAX;

impl Nodes {
    /// Room for so many nodes in sequences of at most `longest` inputs.
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
        }
    }

    pub fn clear(&mut self) {
        let Self { tokens, parents, positions, targets, nodes, counts, last, .. } = self;
        [tokens, parents, positions, targets, nodes, counts, last].into_iter().for_each(Vec::clear);
    }

    /// Adds a sequence: inputs, and the target of the last. What comes after inputs from `judged` on counts `times`.
    /// Beginnings are found if equal ones were added just before, as they are in sorted order.
    pub fn add(&mut self, sequence: &[u32], judged: usize, times: u32) {
        let shared = self.last.iter().zip(sequence).take_while(|(a, b)| a == b).count();
        let old_nodes = shared.min(self.last.len().saturating_sub(1));
        for (at, pair) in sequence.windows(2).enumerate() {
            if at >= old_nodes {
                let node = self.tokens.len() as u32;
                self.tokens.push(pair[0]);
                self.parents.push(if at == 0 { node } else { self.path[at - 1].0 });
                self.positions.push(at as u32);
                self.path[at] = (node, NONE);
            } else if at + 1 >= shared {
                self.path[at].1 = NONE;
            }
            if at >= judged {
                if self.path[at].1 == NONE {
                    self.path[at].1 = self.targets.len() as u32;
                    self.targets.push(pair[1]);
                    self.nodes.push(self.path[at].0);
                    self.counts.push(0);
                }
                self.counts[self.path[at].1 as usize] += times;
            }
        }
        self.last.clear();
        self.last.extend_from_slice(sequence);
    }

    /// The pair at each judged position of the sequence that was added last.
    pub fn pairs(&self, judged: usize) -> impl Iterator<Item = usize> {
        self.path[judged..self.last.len() - 1].iter().map(|&(_, pair)| pair as usize)
    }
}

/// Draws minibatches of words, `randint(0, words, (B,))`.
///
/// Equal beginnings of a batch's words are one node. A word of more tokens than the model sees is read in windows, each a
/// sequence of its own.
pub(crate) struct Tree {
    pieces: Pieces,
    /// The batch is all words, the same in every step.
    full: bool,
    /// The batch's words; its windows, sorted.
    drawn: Vec<u32>,
    windows: Vec<u32>,
    batch: Nodes,
    most: usize,
    /// How many tokens of all words are judged.
    judged: usize,
    rows: [Rows; 2],
}

impl Tree {
    /// Batches of `size` words; `full`: all of them.
    pub fn new(pieces: Pieces, size: usize, full: bool) -> Self {
        let size = if full { pieces.words() } else { size };
        let [longest, of_word, all] = pieces.most_inputs();
        let most = size.saturating_mul(of_word).min(all);
        Self {
            full,
            drawn: if full { (0..size as u32).collect() } else { vec![0; size] },
            windows: Vec::with_capacity(size.saturating_mul(pieces.most_windows())),
            batch: Nodes::with_room(most, longest),
            most,
            judged: pieces.judged(),
            rows: [Rows::First(0); 2],
            pieces,
        }
    }
}

impl Feed for Tree {
    fn shape(&self) -> Shape {
        Shape::Tree { nodes: self.most, pairs: self.most }
    }

    fn examples(&self) -> usize {
        self.pieces.words()
    }

    fn targets(&self) -> usize {
        (self.judged as u64 * self.drawn.len() as u64 / self.examples() as u64) as usize
    }

    fn draw(&mut self, generator: &mut TorchGenerator) {
        let Self { pieces, full, drawn, windows, batch, .. } = self;
        if *full && !batch.tokens.is_empty() {
            return;
        }
        if !*full {
            generator.randint_into(pieces.words() as u32, drawn);
        }
        windows.clear();
        drawn.iter().for_each(|&word| windows.extend_from_slice(pieces.of_word(word as usize)));
        windows.sort_unstable();
        batch.clear();
        for &i in &*windows {
            let (sequence, judged) = pieces.piece(i as usize);
            batch.add(sequence, judged, 1);
        }
        self.rows = [Rows::First(batch.tokens.len()), Rows::Counted { rows: batch.targets.len(), from: 0 }];
    }

    fn input(&self, k: usize) -> &[u32] {
        let Nodes { tokens, parents, positions, targets, nodes, .. } = &self.batch;
        [tokens, parents, targets, nodes, positions][k]
    }

    fn rows(&self) -> &[Rows] {
        &self.rows
    }

    fn counts(&self) -> &[u32] {
        &self.batch.counts
    }

    /// A node is computed once for all words that share it, dropout and all: it is dropped for all of them. So merging
    /// is not what another way would have to do without.
    fn merges(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Corpus, DataConfig, Mode, Split, Vocab};

    fn pieces(words: &str, context: usize) -> Pieces {
        let config = DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() };
        let corpus = Corpus::from_bytes("words", words.as_bytes(), &config).unwrap();
        let vocab = Vocab::of(Mode::Lines, [&corpus]);
        Pieces::of_words(&Split::of(&corpus, &vocab).unwrap(), context, 1).unwrap()
    }

    #[test]
    fn equal_beginnings_are_one_node_and_pairs_count_as_often_as_they_occur() {
        let mut tree = Tree::new(pieces("ab\nabc\nab\nba\n", 4), 0, true);
        for _ in 0..2 {
            tree.draw(&mut TorchGenerator::new(1));
            let [a, b, c] = [1, 2, 3];
            let inputs: Vec<&[u32]> = (0..5).map(|k| tree.input(k)).collect();
            assert_eq!(inputs[..2], [&[0, a, b, c, b, a][..], &[0, 0, 1, 2, 0, 4]]);
            assert_eq!(inputs[4], [0, 1, 2, 3, 1, 2]);
            let pairs: Vec<_> =
                inputs[3].iter().zip(inputs[2]).zip(tree.counts()).map(|((&n, &t), &c)| (n, t, c)).collect();
            let expected =
                [(0, a, 3), (1, b, 3), (2, 0, 2), (2, c, 1), (3, 0, 1), (0, b, 1), (4, a, 1), (5, 0, 1)];
            assert_eq!(pairs, expected);
            assert_eq!(tree.rows(), [Rows::First(6), Rows::Counted { rows: 8, from: 0 }]);
        }
    }

    #[test]
    fn a_longer_word_is_read_in_windows_that_slide() {
        let mut tree = Tree::new(pieces("abc\n", 3), 0, true);
        tree.draw(&mut TorchGenerator::new(1));
        // The boundary, a, b; then a, b, c, of which only what comes after the last is judged.
        assert_eq!([tree.input(0), tree.input(1)], [&[0, 1, 2, 1, 2, 3], &[0, 0, 1, 3, 3, 4]]);
        assert_eq!([tree.input(2), tree.input(3), tree.counts()], [&[1, 2, 3, 0], &[0, 1, 2, 5], &[1; 4]]);
    }
}
