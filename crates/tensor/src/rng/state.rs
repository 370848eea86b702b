//! A generator's whole state, to be stored and taken up again.

use thiserror::Error;

use super::mt19937::N;

/// Everything that a [`TorchGenerator`](super::TorchGenerator) will draw follows from this.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorState {
    /// The Mersenne Twister's 624 words.
    pub words: Vec<u32>,
    /// How many numbers of the present block of 624 are used up.
    pub position: u32,
    /// The second normal of the last pair, if it is still to be given.
    pub next_normal: Option<f64>,
}

/// Why a [`GeneratorState`] is no generator's.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum InvalidState {
    /// There are not 624 words.
    #[error("generator state: {0} words, not 624; take the state from a checkpoint that charloom wrote")]
    Length(usize),
    /// The position is past the block's end.
    #[error("generator state: position {0} is past the block's end (624); the state is damaged")]
    Position(u32),
    /// All bits that matter are zero, which no seed leads to.
    #[error("generator state: all words are zero, which would give zeros for ever; the state is damaged")]
    Zero,
    /// The kept normal is no number.
    #[error("generator state: the kept normal is {0}, not a finite number; the state is damaged")]
    Normal(f64),
}

impl GeneratorState {
    /// The words as an array, once everything about the state has been found valid.
    pub(super) fn validated(&self) -> Result<[u32; N], InvalidState> {
        let words: [u32; N] =
            self.words.as_slice().try_into().map_err(|_| InvalidState::Length(self.words.len()))?;
        if self.position as usize > N {
            return Err(InvalidState::Position(self.position));
        }
        // Of the first word only the highest bit is ever read.
        if words[0] >> 31 == 0 && words[1..].iter().all(|&word| word == 0) {
            return Err(InvalidState::Zero);
        }
        match self.next_normal {
            Some(normal) if !normal.is_finite() => Err(InvalidState::Normal(normal)),
            _ => Ok(words),
        }
    }
}
