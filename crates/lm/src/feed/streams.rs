//! Minibatches of streams of a running text, read side by side.

use charloom_tensor::{Rows, rng::TorchGenerator};

use super::{Feed, Find, Shape, TeacherInputs};
use crate::config::Batch;
use crate::data::Split;
use crate::files::NamedTensor;
use crate::{Error, Result};

/// A text of n tokens is cut into B streams of (n - 1) div B. A batch is the next T tokens of each stream and
/// begins with the states after the batch before. When fewer than T tokens are left, it begins again at 0,
/// with states of zeros. Nothing is random.
pub(crate) struct Streams {
    tokens: Split,
    streams: usize,
    length: usize,
    /// The number of tokens of a stream.
    each: usize,
    /// Where the next batch begins in each stream.
    next: usize,
    state: Vec<f32>,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    /// With a teacher: the number of each target's distribution, which is the position of the token before
    /// it.
    soft_targets: Vec<u32>,
}

/// The names of `next` and `state` in a checkpoint.
const NEXT: &str = "feed.next";
const STATE: &str = "feed.state";

impl Streams {
    /// Batches of `batch` streams, `length` tokens of each; `width` numbers of state are carried over for
    /// each stream.
    ///
    /// # Errors
    /// A text that is too short; [`Batch::Full`].
    pub fn new(split: &Split, batch: Batch, length: usize, width: usize) -> Result<Self> {
        let Batch::Size(streams) = batch else {
            return Err(Error::setting("batch", "full: a feed of streams needs a number of them"));
        };
        let n = split.tokens().len();
        let each = n.saturating_sub(1) / streams;
        if each < length {
            let smaller = if each == 0 { "``batch``" } else { "``batch`` or ``context``" };
            let message = format!(
                "{n} tokens make {streams} streams of {each}, fewer than the {length} of ``context``; choose a smaller \
                 {smaller}, or give more text"
            );
            return Err(Error::Failed(message));
        }
        let (rows, numbers) = (streams * length, streams.checked_mul(width));
        let numbers = numbers.filter(|&numbers| numbers <= super::MAX_NUMBERS);
        let numbers =
            numbers.ok_or_else(|| Error::out_of_range("batch", streams, "fewer with states this wide"))?;
        Ok(Self {
            tokens: split.clone(),
            streams,
            length,
            each,
            next: 0,
            state: vec![0.0; numbers],
            inputs: vec![0; rows],
            targets: vec![0; rows],
            soft_targets: Vec::new(),
        })
    }
}

impl Feed for Streams {
    fn shape(&self) -> Shape {
        Shape::Streams { streams: self.streams, length: self.length, carried: true }
    }

    fn examples(&self) -> usize {
        self.each * self.streams
    }

    fn targets(&self) -> usize {
        self.targets.len()
    }

    fn draw(&mut self, _: &mut TorchGenerator) {
        let text = self.tokens.tokens();
        if self.next + self.length > self.each {
            self.next = 0;
            self.state.fill(0.0);
        }
        let rows =
            self.inputs.chunks_exact_mut(self.streams).zip(self.targets.chunks_exact_mut(self.streams));
        for (t, (inputs, targets)) in rows.enumerate() {
            for b in 0..self.streams {
                let at = b * self.each + self.next + t;
                if let Some(soft_target) = self.soft_targets.get_mut(t * self.streams + b) {
                    *soft_target = at as u32;
                }
                (inputs[b], targets[b]) = (text.at(at), text.at(at + 1));
            }
        }
        self.next += self.length;
    }

    fn input(&self, k: usize) -> &[u32] {
        if k == 0 { &self.inputs } else { &self.targets }
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

    fn state(&self) -> &[f32] {
        &self.state
    }

    fn state_mut(&mut self) -> &mut [f32] {
        &mut self.state
    }

    fn saved(&self) -> Vec<NamedTensor> {
        let state = NamedTensor::f32(STATE, &[self.state.len()], self.state.clone());
        vec![NamedTensor::u64(NEXT, &[1], vec![self.next as u64]), state]
    }

    fn restore(&mut self, find: &Find<'_>) -> std::result::Result<(), String> {
        let next = find(NEXT).and_then(NamedTensor::as_u64);
        self.next = match next {
            Some(&[next]) if next <= self.each as u64 && next % self.length as u64 == 0 => next as usize,
            _ => return Err(format!("{NEXT} is no place where a batch begins")),
        };
        let state = find(STATE).and_then(NamedTensor::as_f32).filter(|state| state.len() == self.state.len());
        let state = state.ok_or_else(|| format!("{STATE} is not {} numbers", self.state.len()))?;
        self.state.copy_from_slice(state);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::{Corpus, DataConfig, Mode, Vocab};

    /// A split of a running text.
    pub(in super::super) fn split(text: &str) -> Split {
        let config = DataConfig { mode: Some(Mode::Text), ..DataConfig::default() };
        let corpus = Corpus::from_bytes("text", text.as_bytes(), &config).unwrap();
        let vocab = Vocab::of(Mode::Text, [&corpus]);
        Split::of(&corpus, &vocab).unwrap()
    }

    #[test]
    fn streams_go_on_and_begin_again() {
        // 12 tokens: 2 streams of 5, abcde and fghij, and l is never a target.
        let split = split("abcdefghijkl");
        let mut streams = Streams::new(&split, Batch::Size(2), 2, 3).unwrap();
        let generator = &mut TorchGenerator::new(1);
        let mut batch = |streams: &mut Streams| {
            streams.draw(generator);
            let batch = [streams.input(0).to_vec(), streams.input(1).to_vec()];
            (batch, streams.state().to_vec())
        };
        let first = [vec![0, 5, 1, 6], vec![1, 6, 2, 7]];
        assert_eq!(batch(&mut streams), (first.clone(), vec![0.0; 6]));
        streams.state_mut().fill(1.0);
        let second = ([vec![2, 7, 3, 8], vec![3, 8, 4, 9]], vec![1.0; 6]);
        assert_eq!(batch(&mut streams), second);
        streams.state_mut().fill(2.0);
        // A resumed feed goes on at the same place.
        let saved = streams.saved();
        let mut resumed = Streams::new(&split, Batch::Size(2), 2, 3).unwrap();
        resumed.restore(&|name| saved.iter().find(|tensor| tensor.name == name)).unwrap();
        assert_eq!((resumed.next, resumed.state()), (streams.next, streams.state()));
        // The last token of each stream is left over and not part of any batch.
        assert_eq!(batch(&mut streams), (first, vec![0.0; 6]));
        for wrong in [NamedTensor::u64(NEXT, &[1], vec![3]), NamedTensor::f32(STATE, &[1], vec![0.0])] {
            let find = |name: &str| [&wrong].into_iter().chain(&saved).find(|tensor| tensor.name == name);
            let said = resumed.restore(&find).unwrap_err();
            assert!(said.contains(&wrong.name), "{said}");
        }
    }

    #[test]
    fn a_text_too_short_is_refused() {
        let split = split("abcdefghijkl");
        let said = |batch, length| Streams::new(&split, batch, length, 1).err().expect("refused").to_string();
        assert!(said(Batch::Size(3), 4).contains("12 tokens make 3 streams of 3, fewer than the 4"));
        assert!(said(Batch::Size(1 << 20), 1).contains("streams of 0"));
        assert!(said(Batch::Full, 1).contains("full"));
        assert!(Streams::new(&split, Batch::Size(1), 11, 1).is_ok());
    }
}
