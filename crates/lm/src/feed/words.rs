//! Minibatches of whole words, as a trie: equal prefixes are stored once.

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::{Feed, Shape, TeacherInputs, Trie, WordWindows};
use crate::data::Split;

/// Draws minibatches of words, `randint(0, words, (B,))`.
///
/// A model that reads from left to right has equal states after equal prefixes, so the batch is a trie of its
/// words; each (node, next token) pair counts as often as it occurs. A word longer than the model's context
/// is read in windows, each a sequence of its own.
pub(crate) struct Words {
    word_windows: WordWindows,
    layout: Layout,
    /// Every batch is all words.
    full: bool,
    /// The batch's words.
    drawn: Vec<u32>,
    /// The windows of the batch's words, sorted.
    windows: Vec<u32>,
    trie: Trie,
    /// The most nodes of a batch, and the most pairs.
    max_nodes: usize,
    /// The number of targets of all words.
    all_targets: usize,
    rows: Vec<Rows>,
    /// With a teacher: the number of the distribution after each of the windows' inputs.
    numbers: Vec<u32>,
    /// With a teacher: the number of each pair's distribution.
    soft_targets: Vec<u32>,
}

/// How the trie of a batch is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// As [`Shape::Tree`], word by word. Equal prefixes are always one node, even with dropout: then all
    /// words that share the node have the same values dropped.
    TreeByWord,
    /// As [`Shape::Tree`], level by level.
    TreeByLevel {
        /// Whether equal prefixes are one node.
        merged: bool,
    },
    /// As [`Shape::Levels`].
    Levels {
        /// Whether equal prefixes are one node.
        merged: bool,
    },
}

impl Words {
    /// Batches of `size` words; `full`: all of them.
    pub fn new(word_windows: WordWindows, size: usize, full: bool, layout: Layout) -> Self {
        let size = if full { word_windows.words() } else { size };
        let [longest, of_word, different] = word_windows.max_inputs();
        let all = match layout {
            Layout::TreeByWord | Layout::TreeByLevel { merged: true } | Layout::Levels { merged: true } => {
                different
            }
            // Without merging, each word has nodes of its own.
            _ if full => word_windows.targets(),
            _ => usize::MAX,
        };
        let max_nodes = size.saturating_mul(of_word).min(all);
        Self {
            layout,
            full,
            drawn: if full { (0..size as u32).collect() } else { vec![0; size] },
            windows: Vec::with_capacity(size.saturating_mul(word_windows.max_windows())),
            trie: Trie::with_room(max_nodes, longest),
            max_nodes,
            all_targets: word_windows.targets(),
            rows: Vec::with_capacity(longest + 2),
            numbers: Vec::new(),
            soft_targets: Vec::new(),
            word_windows,
        }
    }
}

impl Feed for Words {
    fn shape(&self) -> Shape {
        match self.layout {
            Layout::Levels { .. } => {
                let [levels, ..] = self.word_windows.max_inputs();
                Shape::Levels { levels, rows: self.drawn.len(), pairs: self.max_nodes }
            }
            _ => Shape::Tree { nodes: self.max_nodes, pairs: self.max_nodes },
        }
    }

    fn examples(&self) -> usize {
        self.word_windows.words()
    }

    fn targets(&self) -> usize {
        (self.all_targets as u64 * self.drawn.len() as u64 / self.examples() as u64) as usize
    }

    fn draw(&mut self, generator: &mut TorchGenerator) {
        let Self { word_windows, layout, full, drawn, windows, trie, rows, numbers, soft_targets, .. } = self;
        if *full && !trie.tokens.is_empty() {
            return;
        }
        if !*full {
            generator.randint_into(word_windows.words() as u32, drawn);
        }
        windows.clear();
        drawn.iter().for_each(|&word| windows.extend_from_slice(word_windows.of_word(word as usize)));
        windows.sort_unstable();
        trie.clear();
        let apart =
            matches!(layout, Layout::TreeByLevel { merged: false } | Layout::Levels { merged: false });
        for &i in &*windows {
            let (sequence, scored_from) = word_windows.window(i as usize);
            if apart {
                trie.keep_apart();
            }
            trie.add(sequence.iter(), scored_from, 1);
            if !numbers.is_empty() {
                soft_targets.resize(trie.targets.len(), 0);
                let of_window = &numbers[word_windows.inputs(i as usize)][scored_from..];
                trie.pairs(scored_from)
                    .zip(of_window)
                    .for_each(|(pair, &number)| soft_targets[pair] = number);
            }
        }
        rows.clear();
        if *layout != Layout::TreeByWord {
            trie.sort_by_level();
        }
        if let Layout::Levels { .. } = layout {
            trie.count_parents_by_level();
            let [levels, ..] = word_windows.max_inputs();
            rows.extend((0..levels).map(|level| Rows::First(trie.level(level).len())));
        }
        rows.push(Rows::First(trie.tokens.len()));
        rows.push(Rows::Counted { rows: trie.targets.len(), from: 0 });
    }

    fn input(&self, k: usize) -> &[u32] {
        let Trie { tokens, parents, positions, targets, nodes, .. } = &self.trie;
        match self.layout {
            Layout::Levels { .. } => {
                // The tokens of each level, the parents of each but the first, and after them the pairs.
                let of_levels = self.rows.len().saturating_sub(2) * 2 - 1;
                match k {
                    0 => &tokens[self.trie.level(0)],
                    _ if k < of_levels && k % 2 == 1 => &tokens[self.trie.level(k.div_ceil(2))],
                    _ if k < of_levels => &parents[self.trie.level(k / 2)],
                    _ => [targets, nodes][k - of_levels],
                }
            }
            _ => [tokens, parents, targets, nodes, positions][k],
        }
    }

    fn rows(&self) -> &[Rows] {
        &self.rows
    }

    fn counts(&self) -> &[u32] {
        &self.trie.counts
    }

    fn merges(&self) -> bool {
        matches!(self.layout, Layout::TreeByLevel { merged: true } | Layout::Levels { merged: true })
    }

    fn add_teacher(&mut self, _: &Split) -> TeacherInputs {
        let (inputs, numbers) = self.word_windows.teacher_inputs();
        self.numbers = numbers;
        self.soft_targets = Vec::with_capacity(self.max_nodes);
        inputs
    }

    fn soft_targets(&self) -> &[u32] {
        &self.soft_targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Corpus, DataConfig, Mode, Vocab};
    use crate::feed::{Reading, Sequence};

    fn words(words: &str, [context, stride]: [usize; 2], layout: Layout) -> Words {
        let config = DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() };
        let corpus = Corpus::from_bytes("words", words.as_bytes(), &config).unwrap();
        let vocab = Vocab::of(Mode::Lines, [&corpus]);
        let word_windows =
            WordWindows::of_words(&Split::of(&corpus, &vocab).unwrap(), context, stride).unwrap();
        Words::new(word_windows, 0, true, layout)
    }

    const WHOLE: [usize; 2] = [usize::MAX, 1];
    const FOUR: &str = "ab\nabc\nab\nba\n";

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
    /// With nodes level by level: the root; a, b; ab, ba; abc.
    const MERGED: [(u32, u32, u32); 8] =
        [(0, A, 3), (1, B, 3), (3, 0, 2), (3, C, 1), (5, 0, 1), (0, B, 1), (2, A, 1), (4, 0, 1)];

    #[test]
    fn equal_beginnings_are_one_node_and_pairs_count_as_often_as_they_occur() {
        let mut words = words(FOUR, [4, 1], Layout::TreeByWord);
        for _ in 0..2 {
            words.draw(&mut TorchGenerator::new(1));
            assert_eq!(words.input(0), [0, A, B, C, B, A]);
            assert_eq!(words.input(1), [0, 0, 1, 2, 0, 4]);
            assert_eq!(words.input(4), [0, 1, 2, 3, 1, 2]);
            let expected =
                [(0, A, 3), (1, B, 3), (2, 0, 2), (2, C, 1), (3, 0, 1), (0, B, 1), (4, A, 1), (5, 0, 1)];
            assert_eq!(pairs(&words, 2), expected);
            assert_eq!(used(&words), [6, 8]);
        }
    }

    #[test]
    fn a_batch_by_levels_is_handed_over_level_by_level() {
        let mut words = words(FOUR, WHOLE, Layout::Levels { merged: true });
        for _ in 0..2 {
            words.draw(&mut TorchGenerator::new(1));
            assert_eq!(used(&words), [1, 2, 2, 1, 6, 8]);
            let inputs: Vec<&[u32]> = (0..7).map(|k| words.input(k)).collect();
            assert_eq!(inputs[..3], [&[0][..], &[A, B], &[0, 0]]);
            assert_eq!(inputs[3..], [&[B, A][..], &[0, 1], &[C], &[0]]);
            assert_eq!(pairs(&words, 7), MERGED);
        }
    }

    #[test]
    fn a_tree_may_have_its_nodes_level_by_level() {
        let mut words = words(FOUR, WHOLE, Layout::TreeByLevel { merged: true });
        for _ in 0..2 {
            words.draw(&mut TorchGenerator::new(1));
            assert_eq!(used(&words), [6, 8]);
            assert_eq!((words.input(0), words.input(1)), (&[0, A, B, B, A, C][..], &[0, 0, 0, 1, 2, 3][..]));
            assert_eq!(pairs(&words, 2), MERGED);
        }
    }

    #[test]
    fn words_kept_apart_have_nodes_of_their_own() {
        for layout in [Layout::TreeByLevel { merged: false }, Layout::Levels { merged: false }] {
            let mut words = words(FOUR, WHOLE, layout);
            for _ in 0..2 {
                words.draw(&mut TorchGenerator::new(1));
                // Of ab, ab, abc, ba: the roots; a, a, a, b; b, b, b, a; c.
                let first = match layout {
                    Layout::TreeByLevel { .. } => {
                        assert_eq!(used(&words), [13, 13]);
                        assert_eq!(words.input(0), [0, 0, 0, 0, A, A, A, B, B, B, B, A, C]);
                        assert_eq!(words.input(1), [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 10]);
                        2
                    }
                    _ => {
                        assert_eq!(used(&words), [4, 4, 4, 1, 13, 13]);
                        assert_eq!([words.input(0), words.input(6)], [&[0; 4][..], &[2]]);
                        7
                    }
                };
                let expected = [(0, A, 1), (4, B, 1), (8, 0, 1), (1, A, 1), (5, B, 1), (9, 0, 1)];
                assert_eq!(pairs(&words, first)[..6], expected);
                assert_eq!(pairs(&words, first)[6..10], [(2, A, 1), (6, B, 1), (10, C, 1), (12, 0, 1)]);
            }
        }
    }

    #[test]
    fn a_longer_word_is_read_in_windows_that_slide() {
        let mut words = words("abc\n", [3, 1], Layout::TreeByWord);
        words.draw(&mut TorchGenerator::new(1));
        // The boundary, a, b; then a, b, c, of which only the token after the last is scored.
        assert_eq!([words.input(0), words.input(1)], [&[0, 1, 2, 1, 2, 3], &[0, 0, 1, 3, 3, 4]]);
        assert_eq!([words.input(2), words.input(3), words.counts()], [&[1, 2, 3, 0], &[0, 1, 2, 5], &[1; 4]]);
    }

    fn sequences(inputs: &TeacherInputs) -> (&[Sequence], bool) {
        match &inputs.reading {
            Reading::Sequences { all, is_trie } => (all, *is_trie),
            Reading::Text => panic!("words are no running text"),
        }
    }

    #[test]
    fn a_teacher_is_asked_once_for_each_beginning() {
        for layout in
            [Layout::TreeByWord, Layout::TreeByLevel { merged: true }, Layout::Levels { merged: true }]
        {
            let mut words = words(FOUR, WHOLE, layout);
            let split = |words: &Words| words.word_windows.teacher_inputs().0;
            // "", a, ab, abc, b, ba
            let inputs = split(&words);
            let (sequences, is_trie) = sequences(&inputs);
            assert_eq!((inputs.count, is_trie), (6, true));
            let asked: Vec<Vec<u32>> =
                sequences.iter().map(|sequence| inputs.numbers[sequence.range.clone()].to_vec()).collect();
            assert_eq!(asked, [vec![0, 1, 2], vec![0, 1, 2, 3], vec![0, 4, 5]]);
            (words.numbers, words.soft_targets) = (words.word_windows.teacher_inputs().1, Vec::new());
            words.draw(&mut TorchGenerator::new(1));
            assert_eq!(words.soft_targets(), [0, 1, 2, 2, 3, 0, 4, 5]);
        }
    }

    #[test]
    fn of_windows_that_words_share_a_teacher_is_asked_in_each_word() {
        // In windows of two, stride 1: of "ab" (-, a) (a, b); of "cab" (-, c) (c, a) (a, b).
        let mut words = words("ab\ncab\n", [2, 1], Layout::TreeByWord);
        let (inputs, numbers) = words.word_windows.teacher_inputs();
        let (sequences, is_trie) = sequences(&inputs);
        assert!(!is_trie);
        let of = |k: usize| &inputs.numbers[sequences[k].range.clone()];
        // After "ab" and after "cab" it sees the same two.
        let [ab, cab] = [of(0), of(1)];
        assert_eq!((ab.len(), cab.len()), (3, 4));
        assert_eq!((ab[0], ab[2]), (cab[0], cab[3]));
        assert_eq!(inputs.count, 5);
        words.numbers = numbers;
        words.draw(&mut TorchGenerator::new(1));
        assert_eq!(words.soft_targets().len(), words.input(2).len());
    }
}
