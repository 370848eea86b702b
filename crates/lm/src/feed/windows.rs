//! Minibatches of windows: a context and the token after it.

use std::sync::Arc;

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::{Feed, Shape, TeacherInputs};
use crate::data::{Examples, Split};

/// Draws minibatches of examples.
///
/// Examples of equal contexts have equal rows, so one row stands for all of them in a batch; the loss counts it
/// as often as it occurs.
pub(crate) struct Windows {
    examples: Arc<Examples>,
    /// The context of each id, one after the other; empty if they are more than `MAX_CONTEXT_TOKENS` tokens.
    contexts: Vec<u32>,
    /// The examples of the batch, and for each the id of its context, its target and its row.
    drawn: Vec<u32>,
    context_ids: Vec<u32>,
    targets: Vec<u32>,
    row_of: Vec<u32>,
    /// The contexts of the batch's rows.
    batch: Vec<u32>,
    /// Whether examples of equal contexts share a row.
    merged: bool,
    /// Whether there are too many examples to look for equal contexts: the id of a context is then the index of its
    /// example.
    without_ids: bool,
    /// For each context id the step in which it was last seen, and its row then.
    seen: Vec<(u32, u32)>,
    /// The number of the present step.
    clock: u32,
    /// How many rows and targets the batch has, and the most rows.
    rows: [Rows; 2],
    max_rows: usize,
    /// The context id of each row, and how many examples it stands for.
    row_ids: Vec<u32>,
    counts: Vec<u32>,
}

/// The most tokens of contexts that are copied, context by context: what fits in a cache.
const MAX_CONTEXT_TOKENS: usize = 1 << 21;

impl Windows {
    /// Batches of `size` of these examples.
    pub fn new(examples: Arc<Examples>, size: usize, merged: bool) -> Self {
        let without_ids = examples.are_too_many_for_ids();
        let merged = merged && !without_ids;
        let ids = if without_ids { examples.len() } else { examples.distinct_len() };
        let max_rows = if merged { size.min(ids) } else { size };
        let mut contexts = Vec::new();
        if !without_ids && ids * examples.context_length() <= MAX_CONTEXT_TOKENS {
            contexts.reserve_exact(ids * examples.context_length());
            (0..ids).for_each(|id| contexts.extend(examples.distinct_context(id)));
        }
        Self {
            contexts,
            drawn: vec![0; size],
            context_ids: vec![0; size],
            targets: vec![0; size],
            row_of: vec![0; size],
            batch: vec![0; max_rows * examples.context_length()],
            merged,
            without_ids,
            seen: if merged { vec![(0, 0); ids] } else { Vec::new() },
            clock: 0,
            rows: [Rows::First(size); 2],
            max_rows,
            // One more than there can be: the next row's place is written before it is known whether there is one.
            row_ids: vec![0; size + 1],
            counts: vec![0; max_rows + 1],
            examples,
        }
    }

    /// The context id and the target of each example that is drawn.
    fn look_up(&mut self) {
        let packed = if self.without_ids { None } else { self.examples.with_targets() };
        let Some((packed, bits)) = packed else {
            for ((id, target), &i) in self.context_ids.iter_mut().zip(&mut self.targets).zip(&self.drawn) {
                let example = i as usize;
                *id = if self.without_ids { i } else { self.examples.context_id(example) as u32 };
                *target = self.examples.target(example);
            }
            return;
        };
        // A loop of hardly anything but the look-ups, which are found in no cache, so that many of them wait for memory at
        // the same time.
        self.context_ids.iter_mut().zip(&self.drawn).for_each(|(both, &i)| *both = packed[i as usize]);
        let mask = (1 << bits) - 1;
        for (id, target) in self.context_ids.iter_mut().zip(&mut self.targets) {
            (*id, *target) = (*id >> bits, *id & mask);
        }
    }

    /// Gives each context in the batch a row, in order of appearance.
    fn merge(&mut self) {
        if self.clock == u32::MAX {
            self.seen.fill((0, 0));
            self.clock = 0;
        }
        self.clock += 1;
        let mut rows = 0;
        // Without branches, since whether a context is new cannot be foreseen: the next row is written every time, and what
        // was there is multiplied by 0 or 1.
        for (row, &id) in self.row_of.iter_mut().zip(&self.context_ids) {
            let seen = &mut self.seen[id as usize];
            let known = u32::from(seen.0 == self.clock);
            *row = known * seen.1 + (1 - known) * rows as u32;
            *seen = (self.clock, *row);
            self.row_ids[rows] = id;
            let count = &mut self.counts[*row as usize];
            *count = known * *count + 1;
            rows += 1 - known as usize;
        }
        self.rows[0] = Rows::Counted { rows, from: 0 };
    }
}

impl Feed for Windows {
    fn shape(&self) -> Shape {
        let (rows, context) = (self.max_rows, self.examples.context_length());
        Shape::Windows { rows, context, targets: self.targets.len(), merged: self.merged }
    }

    fn examples(&self) -> usize {
        self.examples.len()
    }

    fn targets(&self) -> usize {
        self.targets.len()
    }

    /// `randint(0, N, (B,))`
    fn draw(&mut self, generator: &mut TorchGenerator) {
        generator.randint_into(self.examples.len() as u32, &mut self.drawn);
        self.look_up();
        if self.merged {
            self.merge();
        }
        let ids = if self.merged { &self.row_ids } else { &self.context_ids };
        let ids = &ids[..self.rows[0].used()];
        let length = self.examples.context_length();
        for (context, &id) in self.batch.chunks_exact_mut(length.max(1)).zip(ids) {
            let id = id as usize;
            match self.contexts.get(id * length..(id + 1) * length) {
                // Shorter than a call to copy them.
                Some(from) => context.iter_mut().zip(from).for_each(|(to, &token)| *to = token),
                None if self.without_ids => {
                    let from = self.examples.context(id);
                    context.iter_mut().zip(from).for_each(|(to, token)| *to = token);
                }
                None => {
                    let from = self.examples.distinct_context(id);
                    context.iter_mut().zip(from).for_each(|(to, token)| *to = token);
                }
            }
        }
    }

    fn input(&self, k: usize) -> &[u32] {
        match k {
            0 => &self.batch[..self.rows[0].used() * self.examples.context_length()],
            1 => &self.targets,
            _ => &self.row_of,
        }
    }

    fn rows(&self) -> &[Rows] {
        if self.merged { &self.rows } else { &self.rows[..1] }
    }

    fn counts(&self) -> &[u32] {
        &self.counts
    }

    fn merges(&self) -> bool {
        self.merged
    }

    fn add_teacher(&mut self, split: &Split) -> TeacherInputs {
        let without_ids = self.without_ids;
        let examples = &self.examples;
        let id = |example: usize| if without_ids { example } else { examples.context_id(example) };
        let count = if without_ids { examples.len() } else { examples.distinct_len() };
        TeacherInputs::of_windows(split, examples.context_length(), count, id)
    }

    fn soft_targets(&self) -> &[u32] {
        &self.context_ids
    }
}
