//! A model as one file: [`Checkpoint`], in the safetensors format.
//!
//! The file is complete by itself: its metadata holds the configuration, the vocabulary, the format's version and
//! a SHA-256. The digest covers every byte of the file but its own 64 digits, which are hashed as zeros, so that no
//! flipped bit passes, in the header or out of it.

mod format;

use std::io::{Read, Seek};
use std::path::Path;

use charloom_tensor::rng::{GeneratorState, TorchGenerator};

use super::tensors::{NamedTensor, TensorData};
use crate::data::Vocab;
use crate::{Config, Error, Result};

/// The largest model file that is read, in bytes: weights and two moments of the most parameters, twice.
const MAX_BYTES: u64 = 1 << 33;
/// A file above this is loaded only after a first reading has shown that its checksum is right.
const LARGE: u64 = if cfg!(test) { 1 << 22 } else { 1 << 26 };

/// A model; the last checkpoint of a run also holds what resuming the training bit for bit needs.
///
/// ```
/// use charloom::prelude::*;
///
/// let mut config = Config::from_toml("model.hidden = [8]", "my.toml".as_ref())?;
/// let data = load_data(&mut config)?;
/// let checkpoint = Trainer::new(&config, &data)?.checkpoint()?;
/// assert_eq!(checkpoint.tensor("embedding.weight").unwrap().shape, [27, 6]);
///
/// // What `Checkpoint::read` reads.
/// let mut bytes = checkpoint.to_bytes()?;
/// assert_eq!(Checkpoint::from_bytes(&bytes, "my.safetensors".as_ref())?, checkpoint);
/// *bytes.last_mut().unwrap() ^= 1;
/// assert!(Checkpoint::from_bytes(&bytes, "my.safetensors".as_ref()).is_err());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Every setting of the run.
    pub config: Config,
    /// Which token stands for which character.
    pub vocab: Vocab,
    /// Updates made.
    pub step: u64,
    /// The bytes of `metrics.jsonl` when this was saved; set by [`RunFolder`](super::RunFolder).
    pub metrics_bytes: u64,
    /// The model's own tensors, under torch's names: `embedding.weight`, `layers.0.weight`.
    pub tensors: Vec<NamedTensor>,
    /// What only the training needs: the optimizer's moments, the generator, the best loss so far. Empty in
    /// `best.safetensors`.
    pub state: Vec<NamedTensor>,
}

impl Checkpoint {
    /// Reads a model file.
    ///
    /// # Errors
    /// One line: the file is not there, is none of charloom's, was written by a newer charloom, is cut off or
    /// changed in any bit, or holds numbers that are not finite (each such tensor is named).
    pub fn read(path: &Path) -> Result<Self> {
        let file = crate::disk::open_regular(path)?;
        let size = file.metadata().map_err(|error| Error::io(path, error))?.len();
        if size > MAX_BYTES {
            return Err(Error::model(path, format!("{size} bytes, more than any model of charloom's has")));
        }
        let fail = |error| Error::io(path, error);
        let refuse = |message| Error::model(path, message);
        // The header says what the file is: a wrong one is refused before the rest is read.
        let mut first = Vec::new();
        (&file).take(format::FIRST as u64).read_to_end(&mut first).map_err(fail)?;
        format::check_start(&first, size).map_err(refuse)?;
        (&file).rewind().map_err(fail)?;
        if size > LARGE {
            format::check_digest(&file).map_err(fail)?.map_err(refuse)?;
            (&file).rewind().map_err(fail)?;
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(fail)?;
        Self::from_bytes(&bytes, path)
    }

    /// A checkpoint from the bytes of a model file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let checkpoint = format::decode(bytes, path)?;
        let broken: Vec<&str> =
            checkpoint.all().filter(|tensor| !tensor.data.is_finite()).map(|t| t.name.as_str()).collect();
        if !broken.is_empty() {
            let message =
                format!("not all numbers are finite in {}; train the model again", broken.join(", "));
            return Err(Error::model(path, message));
        }
        checkpoint.config.validate().map_err(|error| Error::model(path, error))?;
        Ok(checkpoint)
    }

    /// The bytes of a model file. Equal checkpoints give equal bytes.
    ///
    /// # Errors
    /// A tensor's shape and data do not fit, a name is there twice, or the header is larger than can be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let encoded = self.encode()?;
        let mut bytes = Vec::with_capacity(encoded.len());
        encoded.write(&mut |some| bytes.extend_from_slice(some));
        Ok(bytes)
    }

    /// The bytes of a model file, given some at a time.
    pub(super) fn encode(&self) -> Result<format::Encoded<'_>> {
        format::encode(self)
    }

    /// All tensors.
    fn all(&self) -> impl Iterator<Item = &NamedTensor> {
        self.tensors.iter().chain(&self.state)
    }

    /// The model's tensor of this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&NamedTensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// The training's tensor of this name.
    #[must_use]
    pub fn state(&self, name: &str) -> Option<&NamedTensor> {
        self.state.iter().find(|tensor| tensor.name == name)
    }

    /// The training's generator as it stood when this was saved; an error says what is missing in one line.
    ///
    /// # Errors
    /// The checkpoint has no state, as a run's best has not, or a damaged one.
    pub fn generator(&self) -> std::result::Result<TorchGenerator, String> {
        let state = |name: &str| self.state(name).ok_or_else(|| format!("the state has no {name}"));
        let words = state("generator.words")?.as_u32().ok_or("generator.words are not whole numbers")?;
        let position = match state("generator.position")?.as_u32() {
            Some(&[position]) => position,
            _ => return Err("generator.position is not one whole number".to_owned()),
        };
        let next_normal = match state("generator.next_normal")?.as_f64() {
            Some([]) => None,
            Some(&[normal]) => Some(normal),
            _ => return Err("generator.next_normal is not at most one number".to_owned()),
        };
        let state = GeneratorState { words: words.to_vec(), position, next_normal };
        TorchGenerator::from_state(&state).map_err(|error| error.to_string())
    }

    /// Checks that the model's tensors are f32 of exactly these names and shapes; `path` is for messages.
    ///
    /// # Errors
    /// Lists all that are missing, left over or of another shape.
    pub fn expect(&self, expected: &[(String, Vec<usize>)], path: &Path) -> Result<()> {
        let mut wrong = Vec::new();
        for (name, shape) in expected {
            match self.tensor(name) {
                None => wrong.push(format!("{name} is missing")),
                Some(tensor) if tensor.as_f32().is_none() => {
                    wrong.push(format!("{name} is not of 32-bit floats"))
                }
                Some(tensor) if tensor.shape != *shape => {
                    wrong.push(format!("{name} is {:?} instead of {shape:?}", tensor.shape));
                }
                Some(_) => {}
            }
        }
        for tensor in &self.tensors {
            if !expected.iter().any(|(name, _)| *name == tensor.name) {
                wrong.push(format!("{} has no place", tensor.name));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let fit = "the weights do not fit the configuration and the vocabulary in the file";
        Err(Error::model(path, format!("{fit}: {}", wrong.join(", "))))
    }
}

#[cfg(test)]
pub(crate) mod tests;
