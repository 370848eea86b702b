//! Minibatches of whole words, as a trie: equal beginnings are there once.

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::{Feed, Shape};
use crate::data::Split;

/// Draws minibatches of words, `randint(0, words, (B,))`.
///
/// A model that reads from left to right has equal states after equal beginnings, so the batch is a trie of its words. Its
/// nodes lie level by level; each (node, next token) pair counts as often as it occurs.
pub(crate) struct Words {
    /// The different words, sorted, one after another, each with its boundary; and where each begins.
    tokens: Vec<u32>,
    starts: Vec<u32>,
    /// The rank among the different words of each word of the split.
    ranks: Vec<u32>,
    boundary: u32,
    longest: usize,
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
}

#[derive(Clone, Default)]
struct Level {
    tokens: Vec<u32>,
    parents: Vec<u32>,
}

impl Words {
    /// Batches of `size` words of a split of words; `full`: all of them. None if there is no word.
    pub fn new(split: &Split, size: usize, full: bool) -> Option<Self> {
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
        let pairs = size.saturating_mul(longest).min(tokens.len());
        let level = Level { tokens: Vec::with_capacity(size), parents: Vec::with_capacity(size) };
        let room = || Vec::with_capacity(pairs);
        Some(Self {
            tokens,
            starts,
            ranks: if full { Vec::new() } else { ranks.clone() },
            boundary,
            longest,
            drawn: if full { ranks } else { vec![0; size] },
            levels: vec![level; longest],
            targets: room(),
            level_of: room(),
            nodes: room(),
            counts: room(),
            path: vec![(0, 0); longest + 1],
            rows: Vec::with_capacity(longest + 2),
        })
    }

    /// A word with its boundary.
    fn word(&self, rank: u32) -> std::ops::Range<usize> {
        self.starts[rank as usize] as usize..self.starts[rank as usize + 1] as usize
    }

    /// Adds a word of the batch that comes after the words before it in order.
    fn add(&mut self, word: std::ops::Range<usize>, shared: usize) {
        for (at, place) in word.enumerate() {
            let token = self.tokens[place];
            if at < shared {
                self.counts[self.path[at].1 as usize] += 1;
                continue;
            }
            let pair = self.targets.len() as u32;
            self.targets.push(token);
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
        Shape::Levels { levels: self.longest, rows: self.drawn.len(), pairs: self.targets.capacity() }
    }

    fn examples(&self) -> usize {
        self.ranks.len().max(self.drawn.len())
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
        self.levels[0].tokens.push(self.boundary);
        self.levels[0].parents.push(0);
        [&mut self.targets, &mut self.level_of, &mut self.nodes, &mut self.counts]
            .into_iter()
            .for_each(Vec::clear);
        let mut before = 0..0;
        for i in 0..self.drawn.len() {
            let word = self.word(self.drawn[i]);
            let same = self.tokens[before].iter().zip(&self.tokens[word.clone()]).take_while(|(a, b)| a == b);
            let shared = same.count();
            self.add(word.clone(), shared);
            before = word;
        }
        // Nodes are numbered level after level.
        self.rows.clear();
        let mut total = 0;
        for (level, path) in self.levels.iter().zip(&mut self.path) {
            path.0 = total as u32;
            total += level.tokens.len();
            self.rows.push(Rows::First(level.tokens.len()));
        }
        for (node, &level) in self.nodes.iter_mut().zip(&self.level_of) {
            *node += self.path[level as usize].0;
        }
        self.path[0].0 = 0;
        self.rows.push(Rows::First(total));
        self.rows.push(Rows::Counted { rows: self.targets.len(), from: 0 });
    }

    fn input(&self, k: usize) -> &[u32] {
        match k {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Corpus, DataConfig, Mode, Vocab};

    #[test]
    fn a_batch_is_a_trie_whose_pairs_count_as_often_as_they_occur() {
        let config = DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() };
        let corpus = Corpus::from_bytes("words", b"ab\nabc\nab\nba\n", &config).unwrap();
        let vocab = Vocab::of(Mode::Lines, [&corpus]);
        let split = Split::of(&corpus, &vocab).unwrap();
        let mut words = Words::new(&split, 0, true).unwrap();
        for _ in 0..2 {
            words.draw(&mut TorchGenerator::new(1));
            // Levels: the root; a, b; ab, ba; abc.
            let used: Vec<usize> = words.rows().iter().map(|rows| rows.used()).collect();
            assert_eq!(used, [1, 2, 2, 1, 6, 8]);
            let [a, b, c] = [1, 2, 3];
            let inputs: Vec<&[u32]> = (0..9).map(|k| words.input(k)).collect();
            assert_eq!(inputs[..3], [&[0][..], &[a, b], &[0, 0]]);
            assert_eq!(inputs[3..7], [&[b, a][..], &[0, 1], &[c], &[0]]);
            let pairs: Vec<(u32, u32, u32)> =
                (0..8).map(|i| (inputs[8][i], inputs[7][i], words.counts()[i])).collect();
            let expected =
                [(0, a, 3), (1, b, 3), (3, 0, 2), (3, c, 1), (5, 0, 1), (0, b, 1), (2, a, 1), (4, 0, 1)];
            assert_eq!(pairs, expected);
        }
    }
}
