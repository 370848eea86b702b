//! Minibatches: which examples, and where each goes.

use charloom_tensor::{Element, Tape, rng::TorchGenerator};

use super::StepGraph;
use crate::examples::Examples;

/// Draws minibatches and writes them where a graph reads them.
///
/// Examples of equal contexts have equal rows, so one row stands for all of them in a batch; the loss counts it as often
/// as it occurs. All memory is taken beforehand.
pub(crate) struct Batches {
    examples: Examples,
    /// The class and the target of each example: a step touches one place an example.
    pairs: Vec<(u32, u32)>,
    /// The context of each class, one after the other; empty if that were too much.
    contexts: Vec<u32>,
    /// Which examples are in the batch.
    drawn: Vec<u32>,
    /// The batch is all examples, the same in every step.
    full: bool,
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
    pub fn new(examples: Examples, size: usize, full: bool) -> Self {
        let pairs = (0..examples.len()).map(|i| (examples.class(i) as u32, examples.target(i))).collect();
        let classes = examples.distinct_len();
        let rows = size.min(classes);
        let contexts = if classes * examples.context_length() <= MOST_TOKENS {
            (0..classes).flat_map(|class| examples.distinct_context(class)).copied().collect()
        } else {
            Vec::new()
        };
        Self {
            examples,
            pairs,
            contexts,
            drawn: if full { (0..size as u32).collect() } else { vec![0; size] },
            full,
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
    pub fn draw<E: Element>(&mut self, generator: &mut TorchGenerator, tape: &Tape<E>, graph: &StepGraph) {
        if !self.full {
            generator.randint_into(self.pairs.len() as u32, &mut self.drawn);
        }
        if !self.full || self.clock == 0 {
            tape.set_indices(graph.targets, |targets| {
                for (target, &i) in targets.iter_mut().zip(&self.drawn) {
                    *target = self.pairs[i as usize].1;
                }
            });
            match graph.rows {
                Some(rows) => tape.set_indices(rows, |rows| self.merge(rows)),
                None => self.keep_apart(),
            }
            let length = self.examples.context_length();
            tape.set_indices(graph.contexts, |contexts| {
                for (context, &class) in contexts.chunks_exact_mut(length).zip(&self.classes[..self.rows]) {
                    let class = class as usize;
                    let from = match self.contexts.get(class * length..(class + 1) * length) {
                        Some(from) => from,
                        None => self.examples.distinct_context(class),
                    };
                    // Shorter than a call to copy them.
                    context.iter_mut().zip(from).for_each(|(to, &token)| *to = token);
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
    fn merge(&mut self, rows: &mut [u32]) {
        if self.clock == u32::MAX {
            self.seen.fill((0, 0));
            self.clock = 0;
        }
        self.clock += 1;
        self.rows = 0;
        // Without branches, since whether a context is new cannot be foreseen: the next row is written every time.
        for (row, &i) in rows.iter_mut().zip(&self.drawn) {
            let class = self.pairs[i as usize].0;
            let seen = &mut self.seen[class as usize];
            let new = seen.0 != self.clock;
            *row = if new { self.rows as u32 } else { seen.1 };
            *seen = (self.clock, *row);
            self.classes[self.rows] = class;
            let count = &mut self.counts[*row as usize];
            *count = if new { 1 } else { *count + 1 };
            self.rows += usize::from(new);
        }
    }

    /// Gives each example its own row.
    fn keep_apart(&mut self) {
        self.clock = 1;
        self.rows = self.drawn.len();
        for (class, &i) in self.classes.iter_mut().zip(&self.drawn) {
            *class = self.pairs[i as usize].0;
        }
    }
}
