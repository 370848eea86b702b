//! Minibatches of windows whose tokens are joined in pairs, stage after stage; equal pairs are stored once.

use std::sync::Arc;

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::{Feed, Shape, TeacherInputs, Windows};
use crate::data::{Examples, Split};

/// Draws minibatches of examples, as [`Windows`] does, for a model that joins neighbours: equal pairs of
/// tokens share a row, equal fours do, and so on up to equal windows. The loss and BatchNorm count a row as
/// often as it occurs.
pub(crate) struct PairedWindows {
    windows: Windows,
    pairs: NeighbourPairs,
    /// The pairs of each stage, then the targets.
    rows: Vec<Rows>,
}

impl PairedWindows {
    /// Batches of `size` examples with contexts of 2^`stages` tokens.
    pub fn new(examples: Arc<Examples>, size: usize, stages: usize) -> Self {
        let pairs = NeighbourPairs::new(stages, size, examples.largest() as usize + 1);
        let windows = Windows::new(examples, size, false);
        Self { windows, pairs, rows: vec![Rows::First(size); stages + 1] }
    }
}

impl Feed for PairedWindows {
    fn shape(&self) -> Shape {
        let size = self.windows.targets();
        Shape::PairedWindows { windows: size, stages: self.pairs.stages.len(), targets: size }
    }

    fn examples(&self) -> usize {
        self.windows.examples()
    }

    fn targets(&self) -> usize {
        self.windows.targets()
    }

    fn draw(&mut self, generator: &mut TorchGenerator) {
        self.windows.draw(generator);
        self.pairs.find(self.windows.input(0), |_| 1);
        self.rows[..self.pairs.rows.len()].copy_from_slice(&self.pairs.rows);
    }

    fn input(&self, k: usize) -> &[u32] {
        let stages = self.pairs.stages.len();
        match k.checked_sub(stages) {
            None => self.pairs.members(k),
            Some(0) => self.windows.input(1),
            Some(_) => &self.pairs.row_of,
        }
    }

    fn rows(&self) -> &[Rows] {
        &self.rows
    }

    fn counts(&self) -> &[u32] {
        &self.pairs.counts
    }

    fn merges(&self) -> bool {
        true
    }

    fn add_teacher(&mut self, split: &Split) -> TeacherInputs {
        self.windows.add_teacher(split)
    }

    fn soft_targets(&self) -> &[u32] {
        self.windows.soft_targets()
    }
}

/// The different pairs of neighbours in a batch's windows. A pair of the first stage is two neighbouring tokens, one
/// of a later stage two neighbouring pairs of the stage before; one of the last stage is a whole window.
pub(crate) struct NeighbourPairs {
    stages: Vec<Stage>,
    /// The number of pairs of each stage.
    pub rows: Vec<Rows>,
    /// How often each pair occurs, stage after stage.
    pub counts: Vec<u32>,
    /// The last stage's pair of each window.
    pub row_of: Vec<u32>,
    /// The pair at each place of the current stage.
    places: Vec<u32>,
}

/// The different pairs of a stage. Pairs with the same first member form a linked list, which is short.
struct Stage {
    /// The two members of each pair: tokens, or pairs of the stage before.
    members: Vec<u32>,
    /// The newest pair with each first member: the head of the list.
    newest: Vec<u32>,
    /// For each pair the one before it in its list.
    before: Vec<u32>,
}

/// The end of a list.
const NONE: u32 = u32::MAX;

impl NeighbourPairs {
    /// Room for the pairs of `windows` windows of 2^`stages` tokens; each token must be below `tokens`.
    pub fn new(stages: usize, windows: usize, tokens: usize) -> Self {
        let places = |stage: usize| windows << (stages - 1 - stage);
        let stage = |i: usize| Stage {
            members: Vec::with_capacity(2 * places(i)),
            newest: vec![NONE; if i == 0 { tokens } else { places(i - 1) }],
            before: Vec::with_capacity(places(i)),
        };
        Self {
            stages: (0..stages).map(stage).collect(),
            rows: Vec::with_capacity(stages),
            counts: Vec::with_capacity((windows << stages) - windows),
            row_of: Vec::with_capacity(windows),
            places: vec![0; windows << (stages - 1)],
        }
    }

    /// Finds the pairs of `windows`, which holds one window's tokens after another's, and counts them, where window i
    /// occurs `often(i)` times.
    ///
    /// # Panics
    /// If there are more windows, or larger tokens, than there is room for.
    pub fn find(&mut self, windows: &[u32], often: impl Fn(usize) -> u32) {
        let Self { stages, rows, counts, row_of, places } = self;
        rows.clear();
        counts.clear();
        let mut left = windows.len();
        let last = stages.len() - 1;
        for (i, stage) in stages.iter_mut().enumerate() {
            let from = counts.len();
            let members = if i == 0 { stage.newest.len() } else { rows[i - 1].used() };
            stage.newest[..members].fill(NONE);
            stage.members.clear();
            stage.before.clear();
            left /= 2;
            for place in 0..left {
                let member = |k: usize| if i == 0 { windows[2 * place + k] } else { places[2 * place + k] };
                let pair = stage.find([member(0), member(1)]);
                // A window has 2^(last - i) places in this stage.
                let often = often(place >> (last - i));
                match counts.get_mut(from + pair as usize) {
                    Some(count) => *count += often,
                    None => counts.push(often),
                }
                // In place: both members of this pair have been read.
                places[place] = pair;
            }
            rows.push(Rows::Counted { rows: stage.before.len(), from });
        }
        row_of.clear();
        row_of.extend_from_slice(&places[..left]);
    }

    /// The two members of each pair of a stage: tokens in the first one, else pairs of the stage before.
    pub fn members(&self, stage: usize) -> &[u32] {
        &self.stages[stage].members
    }
}

impl Stage {
    /// The pair of these members, added if it is new.
    fn find(&mut self, [first, second]: [u32; 2]) -> u32 {
        let newest = &mut self.newest[first as usize];
        let mut pair = *newest;
        while pair != NONE {
            if self.members[2 * pair as usize + 1] == second {
                return pair;
            }
            pair = self.before[pair as usize];
        }
        let new = self.before.len() as u32;
        self.before.push(*newest);
        self.members.extend([first, second]);
        *newest = new;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pairs_are_one_and_count_as_often_as_they_occur() {
        let mut pairs = NeighbourPairs::new(2, 3, 4);
        for _ in 0..2 {
            let windows = [0, 0, 0, 1, 0, 1, 2, 1, 0, 0, 0, 1];
            pairs.find(&windows, |_| 1);
            assert_eq!(pairs.members(0), [0, 0, 0, 1, 2, 1]);
            assert_eq!(pairs.members(1), [0, 1, 1, 2]);
            assert_eq!(pairs.rows, [Rows::Counted { rows: 3, from: 0 }, Rows::Counted { rows: 2, from: 3 }]);
            assert_eq!(pairs.counts, [2, 3, 1, 2, 1]);
            assert_eq!(pairs.row_of, [0, 1, 0]);
            pairs.find(&windows, |window| [5, 1, 7][window]);
            assert_eq!(pairs.counts, [12, 13, 1, 12, 1]);
        }
        pairs.find(&[3, 3, 3, 3], |_| 1);
        assert_eq!((pairs.members(0), pairs.members(1)), (&[3, 3][..], &[0, 0][..]));
        assert_eq!((&pairs.counts[..], &pairs.row_of[..]), (&[2, 1][..], &[0][..]));
    }

    #[test]
    fn windows_of_any_tokens_are_read_back_from_their_pairs() {
        let mut state = 1u32;
        let mut token = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        let mut pairs = NeighbourPairs::new(3, 50, 9);
        for (windows, below) in [(50, 9), (7, 2), (50, 1)] {
            let tokens: Vec<u32> = (0..8 * windows).map(|_| token(below)).collect();
            pairs.find(&tokens, |_| 1);
            let mut read: Vec<u32> = pairs.row_of.clone();
            for stage in (0..3).rev() {
                let members = pairs.members(stage);
                let pairs = members.chunks_exact(2).collect::<std::collections::HashSet<_>>();
                assert_eq!(pairs.len(), members.len() / 2, "no pair is there twice");
                read = read.iter().flat_map(|&pair| [0, 1].map(|k| members[2 * pair as usize + k])).collect();
            }
            assert_eq!(read, tokens);
            let of_stage = |stage: usize| match pairs.rows[stage] {
                Rows::Counted { rows, from } => pairs.counts[from..from + rows].iter().sum::<u32>(),
                Rows::First(_) => 0,
            };
            assert_eq!([0, 1, 2].map(of_stage), [4 * windows, 2 * windows, windows]);
        }
    }
}
