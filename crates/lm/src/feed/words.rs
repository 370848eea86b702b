//! Minibatches of whole words, as a trie: equal beginnings are there once.

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::{Feed, Lessons, Shape};
use crate::data::Split;

/// Draws minibatches of words, `randint(0, words, (B,))`.
///
/// A model that reads from left to right has equal states after equal beginnings, so the batch is a trie of its words. Its
/// nodes lie level by level; each (node, next token) pair counts as often as it occurs. Where equal beginnings must not be
/// merged, each word has nodes of its own.
pub(crate) struct Words {
    layout: Layout,
    /// The different words, sorted, one after another, each with its boundary; and where each begins.
    tokens: Vec<u32>,
    starts: Vec<u32>,
    /// The rank among the different words of each word of the split.
    ranks: Vec<u32>,
    boundary: u32,
    longest: usize,
    /// The most pairs.
    pairs: usize,
    /// How many targets all words of the split have.
    of_split: usize,
    /// The ranks of the batch's words, sorted.
    drawn: Vec<u32>,
    /// Of each level, its nodes' tokens and their parents' rows.
    levels: Vec<Level>,
    /// Of each pair: its target, the level and then the row of its node, and how often it occurs.
    targets: Vec<u32>,
    level_of: Vec<u32>,
    nodes: Vec<u32>,
    counts: Vec<u32>,
    /// The node and the pair at each position of the last word.
    path: Vec<(u32, u32)>,
    rows: Vec<Rows>,
    /// Of all levels, one after another, for a tree.
    all: Level,
    /// With a teacher: the number of the distribution that each of `tokens` is drawn from, and of each pair.
    numbers: Vec<u32>,
    taught: Vec<u32>,
}

/// How the batch is handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// As [`Shape::Levels`].
    Levels,
    /// As [`Shape::Tree`].
    Tree {
        /// Whether equal beginnings are one node.
        merged: bool,
    },
}

#[derive(Clone, Default)]
struct Level {
    tokens: Vec<u32>,
    parents: Vec<u32>,
}

impl Words {
    /// Batches of `size` words of a split of words; `full`: all of them. None if there is no word.
    pub fn new(split: &Split, size: usize, full: bool, layout: Layout) -> Option<Self> {
        let boundary = split.boundary()?;
        let words: Vec<&[u32]> = split.tokens().split_inclusive(|&token| token == boundary).collect();
        let mut order: Vec<u32> = (0..words.len() as u32).collect();
        order.sort_by_key(|&i| words[i as usize]);
        let (mut tokens, mut starts, mut ranks) = (Vec::new(), vec![0], vec![0; words.len()]);
        let mut last: Option<&[u32]> = None;
        for &i in &order {
            let word = words[i as usize];
            if last != Some(word) {
                tokens.extend_from_slice(word);
                starts.push(tokens.len() as u32);
            }
            ranks[i as usize] = starts.len() as u32 - 2;
            last = Some(word);
        }
        let longest = words.iter().map(|word| word.len()).max()?;
        let size = if full { words.len() } else { size };
        let merges = layout != Layout::Tree { merged: false };
        let pairs = match (merges, full) {
            (true, _) => size.saturating_mul(longest).min(tokens.len()),
            (false, true) => split.tokens().len(),
            (false, false) => size.saturating_mul(longest),
        };
        let room_of = |size| Level { tokens: Vec::with_capacity(size), parents: Vec::with_capacity(size) };
        let room = || Vec::with_capacity(pairs);
        Some(Self {
            layout,
            tokens,
            starts,
            ranks: if full { Vec::new() } else { ranks.clone() },
            boundary,
            longest,
            pairs,
            of_split: split.tokens().len(),
            drawn: if full { ranks } else { vec![0; size] },
            levels: (0..longest).map(|_| room_of(size)).collect(),
            all: room_of(if layout == Layout::Levels { 0 } else { pairs }),
            targets: room(),
            level_of: room(),
            nodes: room(),
            counts: room(),
            path: vec![(0, 0); longest + 1],
            rows: Vec::with_capacity(longest + 2),
            numbers: Vec::new(),
            taught: Vec::new(),
        })
    }

    /// A word with its boundary.
    fn word(&self, rank: u32) -> std::ops::Range<usize> {
        self.starts[rank as usize] as usize..self.starts[rank as usize + 1] as usize
    }

    /// Adds a word of the batch that comes after the words before it in order; it shares so many nodes with the last one.
    fn add(&mut self, word: std::ops::Range<usize>, shared: usize) {
        if self.levels[0].tokens.is_empty() || !self.merges() {
            let root = self.levels[0].tokens.len() as u32;
            self.path[0].0 = root;
            self.levels[0].tokens.push(self.boundary);
            self.levels[0].parents.push(root);
        }
        for (at, place) in word.enumerate() {
            let token = self.tokens[place];
            if at < shared {
                self.counts[self.path[at].1 as usize] += 1;
                continue;
            }
            let pair = self.targets.len() as u32;
            self.targets.push(token);
            self.taught.extend(self.numbers.get(place));
            self.level_of.push(at as u32);
            self.nodes.push(self.path[at].0);
            self.counts.push(1);
            self.path[at].1 = pair;
            if token != self.boundary {
                let parent = self.path[at].0;
                let level = &mut self.levels[at + 1];
                self.path[at + 1].0 = level.tokens.len() as u32;
                level.tokens.push(token);
                level.parents.push(parent);
            }
        }
    }
}

impl Feed for Words {
    fn shape(&self) -> Shape {
        match self.layout {
            Layout::Levels => {
                Shape::Levels { levels: self.longest, rows: self.drawn.len(), pairs: self.pairs }
            }
            Layout::Tree { .. } => Shape::Tree { nodes: self.pairs, pairs: self.pairs },
        }
    }

    fn examples(&self) -> usize {
        self.ranks.len().max(self.drawn.len())
    }

    fn targets(&self) -> usize {
        (self.of_split as u64 * self.drawn.len() as u64 / self.examples() as u64) as usize
    }

    fn draw(&mut self, generator: &mut TorchGenerator) {
        if !self.ranks.is_empty() {
            generator.randint_into(self.ranks.len() as u32, &mut self.drawn);
            self.drawn.iter_mut().for_each(|i| *i = self.ranks[*i as usize]);
        }
        self.drawn.sort_unstable();
        for level in &mut self.levels {
            level.tokens.clear();
            level.parents.clear();
        }
        [&mut self.targets, &mut self.level_of, &mut self.nodes, &mut self.counts, &mut self.taught]
            .into_iter()
            .for_each(Vec::clear);
        let mut before = 0..0;
        for i in 0..self.drawn.len() {
            let word = self.word(self.drawn[i]);
            let same = self.tokens[before].iter().zip(&self.tokens[word.clone()]).take_while(|(a, b)| a == b);
            let shared = same.count();
            self.add(word.clone(), if self.merges() { shared } else { 0 });
            before = word;
        }
        // Nodes are numbered level after level: those of a level begin where `path` then says.
        self.rows.clear();
        self.all.tokens.clear();
        self.all.parents.clear();
        let (mut total, mut above) = (0, 0);
        for (level, path) in self.levels.iter().zip(&mut self.path) {
            path.0 = total as u32;
            if self.layout == Layout::Levels {
                self.rows.push(Rows::First(level.tokens.len()));
            } else {
                self.all.tokens.extend_from_slice(&level.tokens);
                self.all.parents.extend(level.parents.iter().map(|&parent| above + parent));
            }
            above = total as u32;
            total += level.tokens.len();
        }
        for (node, &level) in self.nodes.iter_mut().zip(&self.level_of) {
            *node += self.path[level as usize].0;
        }
        self.rows.push(Rows::First(total));
        self.rows.push(Rows::Counted { rows: self.targets.len(), from: 0 });
    }

    fn input(&self, k: usize) -> &[u32] {
        match k {
            0 if self.layout != Layout::Levels => &self.all.tokens,
            1 if self.layout != Layout::Levels => &self.all.parents,
            2 if self.layout != Layout::Levels => &self.targets,
            3 if self.layout != Layout::Levels => &self.nodes,
            0 => &self.levels[0].tokens,
            _ if k < 2 * self.longest - 1 && k % 2 == 1 => &self.levels[k.div_ceil(2)].tokens,
            _ if k < 2 * self.longest - 1 => &self.levels[k / 2].parents,
            _ if k == 2 * self.longest - 1 => &self.targets,
            _ => &self.nodes,
        }
    }

    fn rows(&self) -> &[Rows] {
        &self.rows
    }

    fn counts(&self) -> &[u32] {
        &self.counts
    }

    fn merges(&self) -> bool {
        self.layout != Layout::Tree { merged: false }
    }

    fn teach(&mut self, _: &Split) -> Option<Lessons> {
        let sequences = (0..self.starts.len() as u32 - 1).map(|rank| self.word(rank)).collect();
        let lessons = Lessons::of_trie(self.boundary, &self.tokens, sequences);
        self.numbers.clone_from(&lessons.numbers);
        self.taught = Vec::with_capacity(self.pairs);
        Some(lessons)
    }

    fn taught(&self) -> &[u32] {
        &self.taught
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Corpus, DataConfig, Mode, Vocab};

    fn split() -> Split {
        let config = DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() };
        let corpus = Corpus::from_bytes("words", b"ab\nabc\nab\nba\n", &config).unwrap();
        let vocab = Vocab::of(Mode::Lines, [&corpus]);
        Split::of(&corpus, &vocab).unwrap()
    }

    fn words(layout: Layout) -> Words {
        Words::new(&split(), 0, true, layout).unwrap()
    }

    fn used(words: &Words) -> Vec<usize> {
        words.rows().iter().map(|rows| rows.used()).collect()
    }

    /// The node, the target and the count of each pair.
    fn pairs(words: &Words, first: usize) -> Vec<(u32, u32, u32)> {
        let (targets, nodes) = (words.input(first), words.input(first + 1));
        (0..targets.len()).map(|i| (nodes[i], targets[i], words.counts()[i])).collect()
    }

    const A: u32 = 1;
    const B: u32 = 2;
    const C: u32 = 3;
    const MERGED: [(u32, u32, u32); 8] =
        [(0, A, 3), (1, B, 3), (3, 0, 2), (3, C, 1), (5, 0, 1), (0, B, 1), (2, A, 1), (4, 0, 1)];

    #[test]
    fn a_batch_is_a_trie_whose_pairs_count_as_often_as_they_occur() {
        let mut words = words(Layout::Levels);
        for _ in 0..2 {
            words.draw(&mut TorchGenerator::new(1));
            // Levels: the root; a, b; ab, ba; abc.
            assert_eq!(used(&words), [1, 2, 2, 1, 6, 8]);
            let inputs: Vec<&[u32]> = (0..7).map(|k| words.input(k)).collect();
            assert_eq!(inputs[..3], [&[0][..], &[A, B], &[0, 0]]);
            assert_eq!(inputs[3..], [&[B, A][..], &[0, 1], &[C], &[0]]);
            assert_eq!(pairs(&words, 7), MERGED);
        }
    }

    #[test]
    fn a_tree_has_its_nodes_level_by_level() {
        let mut words = words(Layout::Tree { merged: true });
        for _ in 0..2 {
            words.draw(&mut TorchGenerator::new(1));
            assert_eq!(used(&words), [6, 8]);
            assert_eq!((words.input(0), words.input(1)), (&[0, A, B, B, A, C][..], &[0, 0, 0, 1, 2, 3][..]));
            assert_eq!(pairs(&words, 2), MERGED);
        }
    }

    #[test]
    fn words_kept_apart_have_nodes_of_their_own() {
        let mut words = words(Layout::Tree { merged: false });
        for _ in 0..2 {
            words.draw(&mut TorchGenerator::new(1));
            // Of ab, ab, abc, ba: the roots; a, a, a, b; b, b, b, a; c.
            assert_eq!(used(&words), [13, 13]);
            assert_eq!(words.input(0), [0, 0, 0, 0, A, A, A, B, B, B, B, A, C]);
            assert_eq!(words.input(1), [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 10]);
            let expected = [(0, A, 1), (4, B, 1), (8, 0, 1), (1, A, 1), (5, B, 1), (9, 0, 1)];
            assert_eq!(pairs(&words, 2)[..6], expected);
            assert_eq!(pairs(&words, 2)[6..10], [(2, A, 1), (6, B, 1), (10, C, 1), (12, 0, 1)]);
        }
    }

    #[test]
    fn a_teacher_is_asked_once_for_each_beginning() {
        let mut words = words(Layout::Tree { merged: true });
        // "", a, ab, abc, b, ba
        let lessons = words.teach(&split()).unwrap();
        assert_eq!((lessons.count, lessons.is_trie), (6, true));
        assert_eq!(lessons.numbers, [0, 1, 2, 0, 1, 2, 3, 0, 4, 5]);
        words.draw(&mut TorchGenerator::new(1));
        assert_eq!(words.taught(), [0, 1, 2, 2, 3, 0, 4, 5]);
    }
}
