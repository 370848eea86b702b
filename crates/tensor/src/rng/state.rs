//! A generator's whole state, to be saved and restored.

use thiserror::Error;

use super::mt19937::N;

/// The state that determines all numbers that a [`TorchGenerator`](super::TorchGenerator) will draw.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorState {
    /// The Mersenne Twister's 624 words.
    pub words: Vec<u32>,
    /// How many numbers of the present block of 624 are already drawn.
    pub position: u32,
    /// The second normal of the last pair, if not drawn yet.
    pub next_normal: Option<f64>,
}

/// Why a [`GeneratorState`] is invalid.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum InvalidState {
    /// There are not 624 words.
    #[error("generator state: {0} words, not 624; take the state from a checkpoint that charloom wrote")]
    Length(usize),
    /// The position is past the block's end.
    #[error("generator state: position {0} is past the block's end (624); the state is damaged")]
    Position(u32),
    /// All bits that matter are zero, which happens for no seed.
    #[error("generator state: all words are zero, which would give zeros for ever; the state is damaged")]
    Zero,
    /// The kept normal is not finite.
    #[error("generator state: the kept normal is {0}, not a finite number; the state is damaged")]
    Normal(f64),
}

impl GeneratorState {
    /// The words as an array, if the whole state is valid.
    pub(super) fn validated(&self) -> Result<[u32; N], InvalidState> {
        let words: [u32; N] =
            self.words.as_slice().try_into().map_err(|_| InvalidState::Length(self.words.len()))?;
        if self.position as usize > N {
            return Err(InvalidState::Position(self.position));
        }
        // Only the highest bit of the first word is ever used.
        if words[0] >> 31 == 0 && words[1..].iter().all(|&word| word == 0) {
            return Err(InvalidState::Zero);
        }
        match self.next_normal {
            Some(normal) if !normal.is_finite() => Err(InvalidState::Normal(normal)),
            _ => Ok(words),
        }
    }
}
