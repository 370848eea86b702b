//! Minibatches of pieces of a running text, each T tokens long, of which every next token is a target.

use std::ops::Range;

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::{Feed, Shape};
use crate::data::Split;
use crate::{Error, Result};

/// Draws where B pieces of T tokens begin, `randint(0, n - T, (B,))`.
pub(crate) struct Blocks {
    split: Split,
    length: usize,
    offsets: Vec<u32>,
    tokens: Vec<u32>,
    targets: Vec<u32>,
}

impl Blocks {
    /// Batches of `size` pieces of `length` tokens.
    ///
    /// # Errors
    /// A text that is too short, or too long for 32 bits.
    pub fn new(split: &Split, size: usize, length: usize) -> Result<Self> {
        let n = split.tokens().len();
        if n <= length {
            let limit = format!("below {n}, the characters of the training split");
            return Err(Error::out_of_range("context", length, limit));
        }
        if u32::try_from(n).is_err() {
            return Err(Error::usage("a text of more than 2^32 characters is too long"));
        }
        let numbers = size.checked_mul(length).filter(|&numbers| numbers <= super::MAX_NUMBERS);
        let numbers = numbers.ok_or_else(|| {
            Error::setting(
                "batch",
                format!("{size} with ``context`` {length} is too large; choose a smaller one"),
            )
        })?;
        Ok(Self {
            split: split.clone(),
            length,
            offsets: vec![0; size],
            tokens: vec![0; numbers],
            targets: vec![0; numbers],
        })
    }
}

impl Feed for Blocks {
    fn shape(&self) -> Shape {
        Shape::Blocks { sequences: self.offsets.len(), length: self.length }
    }

    fn examples(&self) -> usize {
        self.split.tokens().len() - self.length
    }

    fn targets(&self) -> usize {
        self.targets.len()
    }

    fn draw(&mut self, generator: &mut TorchGenerator) {
        generator.randint_into(self.examples() as u32, &mut self.offsets);
        let text = self.split.tokens();
        let at = |from: usize| -> Range<usize> { from..from + self.length };
        let batch = self.tokens.chunks_exact_mut(self.length).zip(self.targets.chunks_exact_mut(self.length));
        for ((tokens, targets), &offset) in batch.zip(&self.offsets) {
            tokens.copy_from_slice(&text[at(offset as usize)]);
            targets.copy_from_slice(&text[at(offset as usize + 1)]);
        }
    }

    fn input(&self, k: usize) -> &[u32] {
        [&self.tokens, &self.targets][k]
    }

    fn rows(&self) -> &[Rows] {
        &[]
    }

    fn counts(&self) -> &[u32] {
        &[]
    }

    fn merges(&self) -> bool {
        false
    }
}
