//! Minibatches of blocks of a running text, T tokens each; the token after each is its target.

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::{Feed, Shape, TeacherInputs};
use crate::data::Split;
use crate::{Error, Result};

/// Draws where B blocks of T tokens begin, `randint(0, n - T, (B,))`.
pub(crate) struct Blocks {
    split: Split,
    length: usize,
    /// Whether batches are laid out as [`Shape::Streams`]; else as [`Shape::Blocks`].
    by_place: bool,
    offsets: Vec<u32>,
    tokens: Vec<u32>,
    targets: Vec<u32>,
    /// With a teacher: the number of each target's distribution, which is the position of the token before
    /// it.
    soft_targets: Vec<u32>,
}

impl Blocks {
    /// Batches of `size` blocks of `length` tokens; with `by_place` the first tokens of all, then the second,
    /// and so on.
    ///
    /// # Errors
    /// A text that is too short, or too long for 32 bits.
    pub fn new(split: &Split, size: usize, length: usize, by_place: bool) -> Result<Self> {
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
            by_place,
            offsets: vec![0; size],
            tokens: vec![0; numbers],
            targets: vec![0; numbers],
            soft_targets: Vec::new(),
        })
    }
}

impl Feed for Blocks {
    fn shape(&self) -> Shape {
        let (sequences, length) = (self.offsets.len(), self.length);
        match self.by_place {
            true => Shape::Streams { streams: sequences, length, carried: false },
            false => Shape::Blocks { sequences, length },
        }
    }

    fn examples(&self) -> usize {
        self.split.tokens().len() - self.length
    }

    fn targets(&self) -> usize {
        self.targets.len()
    }

    fn draw(&mut self, generator: &mut TorchGenerator) {
        generator.randint_into(self.examples() as u32, &mut self.offsets);
        let (text, sequences) = (self.split.tokens(), self.offsets.len());
        for (b, &offset) in self.offsets.iter().enumerate() {
            for t in 0..self.length {
                let row = if self.by_place { t * sequences + b } else { b * self.length + t };
                let place = offset as usize + t;
                (self.tokens[row], self.targets[row]) = (text.at(place), text.at(place + 1));
                if let Some(soft_target) = self.soft_targets.get_mut(row) {
                    *soft_target = place as u32;
                }
            }
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

    fn add_teacher(&mut self, split: &Split) -> TeacherInputs {
        self.soft_targets = vec![0; self.targets.len()];
        TeacherInputs::of_text(split)
    }

    fn soft_targets(&self) -> &[u32] {
        &self.soft_targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::streams::tests::split;

    #[test]
    fn blocks_begin_where_randint_says_and_lie_one_after_another_or_side_by_side() {
        let split = split("abcdefghijkl");
        let mut drawn = [0; 2];
        TorchGenerator::new(5).randint_into(9, &mut drawn);
        let [x, y] = drawn;
        assert_ne!(x, y);
        for (by_place, expected) in
            [(false, [x, x + 1, x + 2, y, y + 1, y + 2]), (true, [x, y, x + 1, y + 1, x + 2, y + 2])]
        {
            let mut blocks = Blocks::new(&split, 2, 3, by_place).unwrap();
            assert_eq!(blocks.add_teacher(&split).count, 11);
            blocks.draw(&mut TorchGenerator::new(5));
            // The letters are in order, so a token's id is its position.
            assert_eq!(blocks.input(0), expected);
            assert_eq!(blocks.input(1), expected.map(|token| token + 1));
            assert_eq!(blocks.soft_targets(), expected);
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let split = split("abcdefghijkl");
        let said =
            |size, length| Blocks::new(&split, size, length, false).err().expect("refused").to_string();
        assert!(said(1, 12).contains("``context`` 12 is out of range; it must be below 12, the characters"));
        assert!(
            said(usize::MAX, 2).contains("``batch`` 18446744073709551615 with ``context`` 2 is too large")
        );
        assert!(said(1 << 40, 11).contains("is too large"));
        assert!(Blocks::new(&split, 1, 11, true).is_ok());
    }
}
