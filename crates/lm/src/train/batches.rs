//! Minibatches: which examples, and where each goes.

use charloom_tensor::{Element, Tape, rng::TorchGenerator};

use super::StepGraph;
use crate::data::Examples;

/// Draws minibatches and writes them where a graph reads them.
///
/// Examples of equal contexts have equal rows, so one row stands for all of them in a batch; the loss counts it as often
/// as it occurs. All memory is taken beforehand.
pub(crate) struct Batches {
    examples: Examples,
    /// The class and the target (its lowest bits) of each example, since a step finds them in no cache; empty if they do not
    /// fit.
    packed: Vec<u32>,
    target_bits: u32,
    /// The context of each class, one after the other; empty if that were too much.
    contexts: Vec<u32>,
    /// Which examples are in the batch; the class of each, what comes after it, and its row.
    drawn: Vec<u32>,
    class_of: Vec<u32>,
    targets: Vec<u32>,
    row_of: Vec<u32>,
    /// The batch is another than before.
    fresh: bool,
    /// The batch is all examples, the same in every step.
    full: bool,
    /// Examples of equal contexts share a row.
    merged: bool,
    /// The step in which each class was last seen, and its row then.
    seen: Vec<(u32, u32)>,
    clock: u32,
    /// How many rows the batch has; the class of each, and how many examples it stands for.
    rows: usize,
    classes: Vec<u32>,
    counts: Vec<u32>,
}

/// The most tokens of contexts that are laid out anew: what fits in a cache.
const MOST_TOKENS: usize = 1 << 20;

impl Batches {
    pub fn new(examples: Examples, size: usize, full: bool, merged: bool) -> Self {
        let classes = examples.distinct_len();
        let largest = (0..examples.len()).map(|i| examples.target(i)).max().unwrap_or(0);
        let target_bits = u32::BITS - largest.leading_zeros();
        let packed = if target_bits < u32::BITS && (classes as u64) << target_bits <= 1 << u32::BITS {
            (0..examples.len())
                .map(|i| (examples.class(i) as u32) << target_bits | examples.target(i))
                .collect()
        } else {
            Vec::new()
        };
        let rows = size.min(classes);
        let contexts = if classes * examples.context_length() <= MOST_TOKENS {
            (0..classes).flat_map(|class| examples.distinct_context(class)).collect()
        } else {
            Vec::new()
        };
        Self {
            examples,
            packed,
            target_bits,
            contexts,
            drawn: if full { (0..size as u32).collect() } else { vec![0; size] },
            class_of: vec![0; size],
            targets: vec![0; size],
            row_of: vec![0; size],
            fresh: false,
            full,
            merged,
            seen: vec![(0, 0); classes],
            clock: 0,
            rows: 0,
            // One more than there can be: the next row's place is written before it is known whether there is one.
            classes: vec![0; size + 1],
            counts: vec![0; rows + 1],
        }
    }

    /// The examples that batches are drawn from.
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// How many rows the batch has.
    #[cfg(test)]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Draws the next minibatch, `randint(0, N, (B,))`, or takes all examples in order.
    pub fn draw(&mut self, generator: &mut TorchGenerator) {
        if !self.full {
            generator.randint_into(self.examples.len() as u32, &mut self.drawn);
        }
        self.fresh = !self.full || self.clock == 0;
        if self.fresh {
            let mask = ((1u64 << self.target_bits) as u32).wrapping_sub(1);
            for ((class, target), &i) in self.class_of.iter_mut().zip(&mut self.targets).zip(&self.drawn) {
                let i = i as usize;
                match self.packed.get(i) {
                    Some(&both) => (*class, *target) = (both >> self.target_bits, both & mask),
                    None => (*class, *target) = (self.examples.class(i) as u32, self.examples.target(i)),
                }
            }
            if self.merged { self.merge() } else { self.keep_apart() }
        }
    }

    /// Writes it where a graph reads it.
    pub fn write<E: Element>(&self, tape: &Tape<E>, graph: &StepGraph) {
        if self.fresh {
            tape.set_indices(graph.targets, |targets| targets.copy_from_slice(&self.targets));
            if let Some(rows) = graph.rows {
                tape.set_indices(rows, |rows| rows.copy_from_slice(&self.row_of));
            }
            let length = self.examples.context_length();
            tape.set_indices(graph.contexts, |contexts| {
                for (context, &class) in contexts.chunks_exact_mut(length).zip(&self.classes[..self.rows]) {
                    let class = class as usize;
                    match self.contexts.get(class * length..(class + 1) * length) {
                        // Shorter than a call to copy them.
                        Some(from) => context.iter_mut().zip(from).for_each(|(to, &token)| *to = token),
                        None => {
                            let from = self.examples.distinct_context(class);
                            context.iter_mut().zip(from).for_each(|(to, token)| *to = token);
                        }
                    }
                }
            });
        }
        // An evaluation since may have asked for other rows, so they are set in every step.
        match graph.rows {
            Some(_) => tape.set_rows(&self.counts[..self.rows]),
            None => tape.set_row_limit(None),
        }
    }

    /// Gives each class in the batch a row, in order of appearance.
    fn merge(&mut self) {
        if self.clock == u32::MAX {
            self.seen.fill((0, 0));
            self.clock = 0;
        }
        self.clock += 1;
        self.rows = 0;
        // Without branches, since whether a context is new cannot be foreseen: the next row is written every time, and what
        // was there is multiplied by 0 or 1.
        for (row, &class) in self.row_of.iter_mut().zip(&self.class_of) {
            let seen = &mut self.seen[class as usize];
            let known = u32::from(seen.0 == self.clock);
            *row = known * seen.1 + (1 - known) * self.rows as u32;
            *seen = (self.clock, *row);
            self.classes[self.rows] = class;
            let count = &mut self.counts[*row as usize];
            *count = known * *count + 1;
            self.rows += 1 - known as usize;
        }
    }

    /// Gives each example its own row.
    fn keep_apart(&mut self) {
        self.clock = 1;
        self.rows = self.drawn.len();
        self.classes[..self.rows].copy_from_slice(&self.class_of);
    }
}
