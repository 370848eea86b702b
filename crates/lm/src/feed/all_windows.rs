//! All windows of a split as one batch.

use std::sync::Arc;

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::{Feed, NeighbourPairs, Shape, TeacherInputs};
use crate::data::{Examples, Split};

/// All examples as one batch, which is the same in every step.
pub(crate) struct AllWindows {
    examples: Arc<Examples>,
    shape: Shape,
    /// The index tensors that the shape lists.
    inputs: Vec<Vec<u32>>,
    rows: Vec<Rows>,
    counts: Vec<u32>,
    /// The id of each target's context, if there is a teacher.
    soft_targets: Vec<u32>,
}

impl AllWindows {
    /// A row and a target for each example.
    pub fn apart(examples: Arc<Examples>) -> Self {
        let (rows, context) = (examples.len(), examples.context_length());
        let mut contexts = Vec::with_capacity(rows * context);
        contexts.extend((0..rows).flat_map(|i| examples.context(i)));
        let targets = (0..rows).map(|i| examples.target(i)).collect();
        Self {
            examples,
            shape: Shape::Windows { rows, context, targets: rows, merged: false },
            inputs: vec![contexts, targets],
            rows: vec![Rows::First(rows)],
            counts: Vec::new(),
            soft_targets: Vec::new(),
        }
    }

    /// A row for each different context, and a target for each different pair of a context and a target; both
    /// count as often as they occur.
    pub fn merged(examples: Arc<Examples>) -> Self {
        let (rows, context) = (examples.distinct_len(), examples.context_length());
        let mut contexts = Vec::with_capacity(rows * context);
        contexts.extend((0..rows).flat_map(|id| examples.distinct_context(id)));
        let (mut targets, mut row_of) = (Vec::new(), Vec::new());
        let (mut counts, mut counts_of_targets) = (Vec::with_capacity(rows), Vec::new());
        for id in 0..rows {
            let of_id = examples.distinct_targets(id);
            counts.push(of_id.iter().map(|&(_, count)| count).sum());
            for &(target, count) in of_id {
                targets.push(target);
                row_of.push(id as u32);
                counts_of_targets.push(count);
            }
        }
        counts.append(&mut counts_of_targets);
        Self {
            examples,
            shape: Shape::Windows { rows, context, targets: targets.len(), merged: true },
            rows: [(rows, 0), (targets.len(), rows)].map(|(rows, from)| Rows::Counted { rows, from }).into(),
            inputs: vec![contexts, targets, row_of],
            counts,
            soft_targets: Vec::new(),
        }
    }

    /// As merged, for a model that joins neighbours: contexts of 2^`stages` tokens share the rows of equal pairs,
    /// fours and so on; see [`PairedWindows`](super::PairedWindows).
    pub fn paired(examples: Arc<Examples>, stages: usize) -> Self {
        let all = Self::merged(examples);
        let windows = all.examples.distinct_len();
        let (of_windows, of_targets) = all.counts.split_at(windows);
        let mut pairs = NeighbourPairs::new(stages, windows, all.examples.largest() as usize + 1);
        pairs.find(&all.inputs[0], |window| of_windows[window]);
        let targets = of_targets.len();
        let of_stages = (0..stages).map(|stage| pairs.members(stage).to_vec());
        let axis_of_targets = Rows::Counted { rows: targets, from: pairs.counts.len() };
        Self {
            shape: Shape::PairedWindows { windows, stages, targets },
            inputs: of_stages.chain(all.inputs.into_iter().skip(1)).collect(),
            rows: pairs.rows.iter().copied().chain([axis_of_targets]).collect(),
            counts: [&pairs.counts[..], of_targets].concat(),
            examples: all.examples,
            soft_targets: Vec::new(),
        }
    }
}

impl Feed for AllWindows {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn examples(&self) -> usize {
        self.examples.len()
    }

    fn targets(&self) -> usize {
        self.examples.len()
    }

    fn draw(&mut self, _: &mut TorchGenerator) {}

    fn input(&self, k: usize) -> &[u32] {
        &self.inputs[k]
    }

    fn rows(&self) -> &[Rows] {
        &self.rows
    }

    fn counts(&self) -> &[u32] {
        &self.counts
    }

    fn merges(&self) -> bool {
        !matches!(self.shape, Shape::Windows { merged: false, .. })
    }

    fn add_teacher(&mut self, split: &Split) -> TeacherInputs {
        let examples = &self.examples;
        let context_id = |example: usize| examples.context_id(example);
        self.soft_targets = match &self.inputs[..] {
            // Where rows are merged, a target's row is the id of its context.
            [.., row_of] if self.merges() => row_of.clone(),
            _ => (0..examples.len()).map(|i| context_id(i) as u32).collect(),
        };
        TeacherInputs::of_windows(split, examples.context_length(), examples.distinct_len(), context_id)
    }

    fn soft_targets(&self) -> &[u32] {
        &self.soft_targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Corpus, DataConfig, Mode, Vocab};

    #[test]
    fn equal_examples_are_one_that_counts_or_each_a_row_of_its_own() {
        let config = DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() };
        let corpus = Corpus::from_bytes("here", b"ab\nab\naa\n", &config).unwrap();
        let split = Split::of(&corpus, &Vocab::of(Mode::Lines, [&corpus])).unwrap();
        let examples = split.examples(1).unwrap();
        let [mut merged, mut apart] =
            [AllWindows::merged, AllWindows::apart].map(|all| all(Arc::clone(&examples)));
        // The boundary is 0, a is 1, b is 2.
        assert_eq!(apart.input(0), [0, 1, 2, 0, 1, 2, 0, 1, 1]);
        assert_eq!(apart.input(1), [1, 2, 0, 1, 2, 0, 1, 1, 0]);
        assert_eq!((apart.rows(), apart.counts(), apart.merges()), (&[Rows::First(9)][..], &[][..], false));
        assert_eq!(merged.input(0), [0, 1, 2]);
        assert_eq!((merged.input(1), merged.input(2)), (&[1, 0, 1, 2, 0][..], &[0, 1, 1, 1, 2][..]));
        assert_eq!(merged.rows(), [Rows::Counted { rows: 3, from: 0 }, Rows::Counted { rows: 5, from: 3 }]);
        assert_eq!(merged.counts(), [3, 4, 2, 3, 1, 1, 2, 2]);
        assert_eq!((merged.targets(), apart.targets(), merged.merges()), (9, 9, true));
        assert_eq!([merged.add_teacher(&split).count, apart.add_teacher(&split).count], [3, 3]);
        assert_eq!(merged.soft_targets(), [0, 1, 1, 1, 2]);
        assert_eq!(apart.soft_targets(), [0, 1, 2, 0, 1, 2, 0, 1, 1]);
    }

    #[test]
    fn joined_contexts_count_as_often_as_their_examples() {
        let config = DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() };
        let corpus = Corpus::from_bytes("here", b"ab\nab\nb\n", &config).unwrap();
        let split = Split::of(&corpus, &Vocab::of(Mode::Lines, [&corpus])).unwrap();
        let paired = AllWindows::paired(split.examples(4).unwrap(), 2);
        // The contexts ...., ...a, ..ab and ...b have the pairs .., .a, ab and .b.
        assert_eq!(paired.input(0), [0, 0, 0, 1, 1, 2, 0, 2]);
        assert_eq!(paired.input(1), [0, 0, 0, 1, 0, 2, 0, 3]);
        assert_eq!([paired.input(2), paired.input(3)], [[1, 2, 2, 0, 0], [0, 0, 1, 2, 3]]);
        assert_eq!(paired.counts(), [[11, 2, 2, 1, 3, 2, 2, 1].as_slice(), &[2, 1, 2, 2, 1]].concat());
        assert_eq!(paired.rows(), [(4, 0), (4, 4), (5, 8)].map(|(rows, from)| Rows::Counted { rows, from }));
    }
}
