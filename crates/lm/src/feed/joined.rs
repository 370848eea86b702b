//! Minibatches of windows whose tokens are joined in pairs, stage after stage; equal joints are stored once.

use std::sync::Arc;

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::{Feed, Shape, TeacherInputs, Windows};
use crate::data::{Examples, Split};

/// Draws minibatches of examples, as [`Windows`] does, for a model that joins neighbours: equal pairs of
/// tokens share a row, equal fours do, and so on up to equal windows. The loss and BatchNorm count a row as
/// often as it occurs.
pub(crate) struct Joined {
    windows: Windows,
    joints: Joints,
    /// The joints of each stage, then the targets.
    rows: Vec<Rows>,
}

impl Joined {
    /// Batches of `size` examples with contexts of 2^`stages` tokens.
    pub fn new(examples: Arc<Examples>, size: usize, stages: usize) -> Self {
        let joints = Joints::new(stages, size, examples.largest() as usize + 1);
        let windows = Windows::new(examples, size, false);
        Self { windows, joints, rows: vec![Rows::First(size); stages + 1] }
    }
}

impl Feed for Joined {
    fn shape(&self) -> Shape {
        let size = self.windows.targets();
        Shape::Joined { windows: size, stages: self.joints.stages.len(), targets: size }
    }

    fn examples(&self) -> usize {
        self.windows.examples()
    }

    fn targets(&self) -> usize {
        self.windows.targets()
    }

    fn draw(&mut self, generator: &mut TorchGenerator) {
        self.windows.draw(generator);
        self.joints.join(self.windows.input(0), |_| 1);
        self.rows[..self.joints.rows.len()].copy_from_slice(&self.joints.rows);
    }

    fn input(&self, k: usize) -> &[u32] {
        let stages = self.joints.stages.len();
        match k.checked_sub(stages) {
            None => self.joints.parts(k),
            Some(0) => self.windows.input(1),
            Some(_) => &self.joints.row_of,
        }
    }

    fn rows(&self) -> &[Rows] {
        &self.rows
    }

    fn counts(&self) -> &[u32] {
        &self.joints.counts
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

/// The different joints of a batch's windows. A joint of the first stage is two neighbouring tokens, one of a
/// later stage two neighbouring joints; one of the last stage is a whole window.
pub(crate) struct Joints {
    stages: Vec<Stage>,
    /// The number of joints of each stage.
    pub rows: Vec<Rows>,
    /// How often each joint occurs, stage after stage.
    pub counts: Vec<u32>,
    /// The last stage's joint of each window.
    pub row_of: Vec<u32>,
    /// The joint at each place of the current stage.
    places: Vec<u32>,
}

/// The different joints of a stage. Joints with the same first part form a linked list, which is short.
struct Stage {
    /// The two parts of each joint: tokens, or joints of the stage before.
    parts: Vec<u32>,
    /// The newest joint with each first part: the head of the list.
    newest: Vec<u32>,
    /// For each joint the one before it in its list.
    before: Vec<u32>,
}

/// The end of a list.
const NONE: u32 = u32::MAX;

impl Joints {
    /// Room for the joints of `windows` windows of 2^`stages` tokens; each token must be below `tokens`.
    pub fn new(stages: usize, windows: usize, tokens: usize) -> Self {
        let places = |stage: usize| windows << (stages - 1 - stage);
        let stage = |i: usize| Stage {
            parts: Vec::with_capacity(2 * places(i)),
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

    /// Finds the joints of `windows`, which holds one window's tokens after another's, and counts them, where window i
    /// occurs `often(i)` times.
    ///
    /// # Panics
    /// If there are more windows, or larger tokens, than there is room for.
    pub fn join(&mut self, windows: &[u32], often: impl Fn(usize) -> u32) {
        let Self { stages, rows, counts, row_of, places } = self;
        rows.clear();
        counts.clear();
        let mut left = windows.len();
        let last = stages.len() - 1;
        for (i, stage) in stages.iter_mut().enumerate() {
            let from = counts.len();
            let parts = if i == 0 { stage.newest.len() } else { rows[i - 1].used() };
            stage.newest[..parts].fill(NONE);
            stage.parts.clear();
            stage.before.clear();
            left /= 2;
            for place in 0..left {
                let part = |k: usize| if i == 0 { windows[2 * place + k] } else { places[2 * place + k] };
                let joint = stage.find([part(0), part(1)]);
                // A window has 2^(last - i) places in this stage.
                let often = often(place >> (last - i));
                match counts.get_mut(from + joint as usize) {
                    Some(count) => *count += often,
                    None => counts.push(often),
                }
                // In place: both parts of this joint have been read.
                places[place] = joint;
            }
            rows.push(Rows::Counted { rows: stage.before.len(), from });
        }
        row_of.clear();
        row_of.extend_from_slice(&places[..left]);
    }

    /// The two parts of each joint of a stage: tokens in the first one, else joints of the stage before.
    pub fn parts(&self, stage: usize) -> &[u32] {
        &self.stages[stage].parts
    }
}

impl Stage {
    /// The joint of these parts, added if it is new.
    fn find(&mut self, [first, second]: [u32; 2]) -> u32 {
        let newest = &mut self.newest[first as usize];
        let mut joint = *newest;
        while joint != NONE {
            if self.parts[2 * joint as usize + 1] == second {
                return joint;
            }
            joint = self.before[joint as usize];
        }
        let new = self.before.len() as u32;
        self.before.push(*newest);
        self.parts.extend([first, second]);
        *newest = new;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_joints_are_one_and_count_as_often_as_they_occur() {
        let mut joints = Joints::new(2, 3, 4);
        for _ in 0..2 {
            let windows = [0, 0, 0, 1, 0, 1, 2, 1, 0, 0, 0, 1];
            joints.join(&windows, |_| 1);
            assert_eq!(joints.parts(0), [0, 0, 0, 1, 2, 1]);
            assert_eq!(joints.parts(1), [0, 1, 1, 2]);
            assert_eq!(joints.rows, [Rows::Counted { rows: 3, from: 0 }, Rows::Counted { rows: 2, from: 3 }]);
            assert_eq!(joints.counts, [2, 3, 1, 2, 1]);
            assert_eq!(joints.row_of, [0, 1, 0]);
            joints.join(&windows, |window| [5, 1, 7][window]);
            assert_eq!(joints.counts, [12, 13, 1, 12, 1]);
        }
        joints.join(&[3, 3, 3, 3], |_| 1);
        assert_eq!((joints.parts(0), joints.parts(1)), (&[3, 3][..], &[0, 0][..]));
        assert_eq!((&joints.counts[..], &joints.row_of[..]), (&[2, 1][..], &[0][..]));
    }

    #[test]
    fn windows_of_any_tokens_are_read_back_from_their_joints() {
        let mut state = 1u32;
        let mut token = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        let mut joints = Joints::new(3, 50, 9);
        for (windows, below) in [(50, 9), (7, 2), (50, 1)] {
            let tokens: Vec<u32> = (0..8 * windows).map(|_| token(below)).collect();
            joints.join(&tokens, |_| 1);
            let mut read: Vec<u32> = joints.row_of.clone();
            for stage in (0..3).rev() {
                let parts = joints.parts(stage);
                let joints = parts.chunks_exact(2).collect::<std::collections::HashSet<_>>();
                assert_eq!(joints.len(), parts.len() / 2, "no joint is there twice");
                read = read.iter().flat_map(|&joint| [0, 1].map(|k| parts[2 * joint as usize + k])).collect();
            }
            assert_eq!(read, tokens);
            let of_stage = |stage: usize| match joints.rows[stage] {
                Rows::Counted { rows, from } => joints.counts[from..from + rows].iter().sum::<u32>(),
                Rows::First(_) => 0,
            };
            assert_eq!([0, 1, 2].map(of_stage), [4 * windows, 2 * windows, windows]);
        }
    }
}
