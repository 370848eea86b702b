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
    /// The context of each class, one after the other; empty if they are more than `MOST_TOKENS` tokens.
    contexts: Vec<u32>,
    /// Which examples are in the batch; the class of each, what comes after it, and its row.
    drawn: Vec<u32>,
    class_of: Vec<u32>,
    targets: Vec<u32>,
    row_of: Vec<u32>,
    /// The contexts of the batch's rows.
    batch: Vec<u32>,
    /// Examples of equal contexts share a row.
    merged: bool,
    /// There are too many examples to look for equal contexts: each has a class of its own, its index.
    is_plain: bool,
    /// The step in which each class was last seen, and its row then.
    seen: Vec<(u32, u32)>,
    clock: u32,
    /// How many rows and targets the batch has, and the most rows.
    rows: [Rows; 2],
    most: usize,
    /// The class of each row, and how many examples it stands for.
    classes: Vec<u32>,
    counts: Vec<u32>,
}

/// The most tokens of contexts that are copied, class by class: what fits in a cache.
const MOST_TOKENS: usize = 1 << 21;

impl Windows {
    /// Batches of `size` of these examples.
    pub fn new(examples: Arc<Examples>, size: usize, merged: bool) -> Self {
        let is_plain = examples.are_many();
        let merged = merged && !is_plain;
        let classes = if is_plain { examples.len() } else { examples.distinct_len() };
        let most = if merged { size.min(classes) } else { size };
        let mut contexts = Vec::new();
        if !is_plain && classes * examples.context_length() <= MOST_TOKENS {
            contexts.reserve_exact(classes * examples.context_length());
            (0..classes).for_each(|class| contexts.extend(examples.distinct_context(class)));
        }
        Self {
            contexts,
            drawn: vec![0; size],
            class_of: vec![0; size],
            targets: vec![0; size],
            row_of: vec![0; size],
            batch: vec![0; most * examples.context_length()],
            merged,
            is_plain,
            seen: if merged { vec![(0, 0); classes] } else { Vec::new() },
            clock: 0,
            rows: [Rows::First(size); 2],
            most,
            // One more than there can be: the next row's place is written before it is known whether there is one.
            classes: vec![0; size + 1],
            counts: vec![0; most + 1],
            examples,
        }
    }

    /// The class and the target of each example that is drawn.
    fn look_up(&mut self) {
        let packed = if self.is_plain { None } else { self.examples.with_targets() };
        let Some((packed, bits)) = packed else {
            for ((class, target), &i) in self.class_of.iter_mut().zip(&mut self.targets).zip(&self.drawn) {
                let example = i as usize;
                *class = if self.is_plain { i } else { self.examples.class(example) as u32 };
                *target = self.examples.target(example);
            }
            return;
        };
        // A loop of hardly anything but the look-ups, which are found in no cache, so that many of them wait for memory at
        // the same time.
        self.class_of.iter_mut().zip(&self.drawn).for_each(|(both, &i)| *both = packed[i as usize]);
        let mask = (1 << bits) - 1;
        for (class, target) in self.class_of.iter_mut().zip(&mut self.targets) {
            (*class, *target) = (*class >> bits, *class & mask);
        }
    }

    /// Gives each class in the batch a row, in order of appearance.
    fn merge(&mut self) {
        if self.clock == u32::MAX {
            self.seen.fill((0, 0));
            self.clock = 0;
        }
        self.clock += 1;
        let mut rows = 0;
        // Without branches, since whether a context is new cannot be foreseen: the next row is written every time, and what
        // was there is multiplied by 0 or 1.
        for (row, &class) in self.row_of.iter_mut().zip(&self.class_of) {
            let seen = &mut self.seen[class as usize];
            let known = u32::from(seen.0 == self.clock);
            *row = known * seen.1 + (1 - known) * rows as u32;
            *seen = (self.clock, *row);
            self.classes[rows] = class;
            let count = &mut self.counts[*row as usize];
            *count = known * *count + 1;
            rows += 1 - known as usize;
        }
        self.rows[0] = Rows::Counted { rows, from: 0 };
    }
}

impl Feed for Windows {
    fn shape(&self) -> Shape {
        let (rows, context) = (self.most, self.examples.context_length());
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
        let classes = if self.merged { &self.classes } else { &self.class_of };
        let classes = &classes[..self.rows[0].used()];
        let length = self.examples.context_length();
        for (context, &class) in self.batch.chunks_exact_mut(length.max(1)).zip(classes) {
            let class = class as usize;
            match self.contexts.get(class * length..(class + 1) * length) {
                // Shorter than a call to copy them.
                Some(from) => context.iter_mut().zip(from).for_each(|(to, &token)| *to = token),
                None if self.is_plain => {
                    let from = self.examples.context(class);
                    context.iter_mut().zip(from).for_each(|(to, token)| *to = token);
                }
                None => {
                    let from = self.examples.distinct_context(class);
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
        let is_plain = self.is_plain;
        let examples = &self.examples;
        let class = |example: usize| if is_plain { example } else { examples.class(example) };
        let count = if is_plain { examples.len() } else { examples.distinct_len() };
        TeacherInputs::of_windows(split, examples.context_length(), count, class)
    }

    fn soft_targets(&self) -> &[u32] {
        &self.class_of
    }
}
