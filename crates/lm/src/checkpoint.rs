//! A model as one file: [`Checkpoint`], in the safetensors format.
//!
//! The file is complete by itself: its metadata holds the configuration, the vocabulary, the format's version and
//! a SHA-256. The digest covers every byte of the file but its own 64 digits, which are hashed as zeros, so that no
//! flipped bit passes, in the header or out of it.

mod format;

use std::io::{Read, Seek};
use std::path::Path;

use crate::vocab::Vocab;
use crate::{Config, Error, Result};

/// The largest model file that is read, in bytes: weights and two moments of the most parameters, twice.
const MAX_BYTES: u64 = 1 << 33;
/// A file above this is held only once its checksum is known to be right: it costs a second reading.
const LARGE: u64 = 1 << 26;

/// A model, and in the last checkpoint of a run what it takes to go on with the training bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Every setting of the run.
    pub config: Config,
    /// What token stands for what character.
    pub vocab: Vocab,
    /// Updates made.
    pub step: u64,
    /// The bytes of `metrics.jsonl` when this was saved; set by [`RunFolder`](crate::run::RunFolder).
    pub metrics_bytes: u64,
    /// The model's own tensors, under torch's names: `embedding.weight`, `layers.0.weight`.
    pub tensors: Vec<NamedTensor>,
    /// What only the training needs: the optimizer's moments, the generator, the best so far. Empty in a best one.
    pub state: Vec<NamedTensor>,
}

/// Numbers with a name and a shape.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The path of the tensor, such as `layers.0.weight`.
    pub name: String,
    /// The length along each dimension; empty: a single number.
    pub shape: Vec<usize>,
    /// The numbers, row by row.
    pub data: TensorData,
}

/// The numbers of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// 32-bit floating point.
    F32(Vec<f32>),
    /// 64-bit floating point.
    F64(Vec<f64>),
    /// Bytes.
    U8(Vec<u8>),
    /// 32-bit whole.
    U32(Vec<u32>),
    /// 64-bit whole.
    U64(Vec<u64>),
}

macro_rules! typed {
    ($variant:ident, $number:ty, $make:ident, $get:ident) => {
        impl NamedTensor {
            #[doc = concat!("A tensor of `", stringify!($number), "`.")]
            #[must_use]
            pub fn $make(name: impl Into<String>, shape: &[usize], data: Vec<$number>) -> Self {
                Self { name: name.into(), shape: shape.to_vec(), data: TensorData::$variant(data) }
            }

            #[doc = concat!("The numbers, if they are `", stringify!($number), "`.")]
            #[must_use]
            pub fn $get(&self) -> Option<&[$number]> {
                match &self.data {
                    TensorData::$variant(data) => Some(data),
                    _ => None,
                }
            }
        }
    };
}
typed!(F32, f32, f32, as_f32);
typed!(F64, f64, f64, as_f64);
typed!(U8, u8, u8, as_u8);
typed!(U32, u32, u32, as_u32);
typed!(U64, u64, u64, as_u64);

impl Checkpoint {
    /// Reads a model file.
    ///
    /// # Errors
    /// One line: the file is not there, is none of charloom's, comes from a newer charloom, is cut off or changed
    /// in any bit, or holds numbers that are not finite (each tensor that does is named).
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
        let all = checkpoint.tensors.iter().chain(&checkpoint.state);
        let broken: Vec<&str> =
            all.filter(|tensor| !tensor.data.is_finite()).map(|t| t.name.as_str()).collect();
        if !broken.is_empty() {
            let message =
                format!("not all numbers are finite in {}; train the model again", broken.join(", "));
            return Err(Error::model(path, message));
        }
        // Who opens the model lists what does not fit, but allocates it first: not for a small file's large claim.
        let held: usize = checkpoint.tensors.iter().map(|tensor| tensor.data.len()).sum();
        let claimed = checkpoint.config.model.parameters(checkpoint.vocab.len());
        if claimed.is_some_and(|claimed| claimed > 1 << 20 && claimed / 2 > held as u64) {
            let message = "its configuration asks for far more weights than it holds; train the model again";
            return Err(Error::model(path, message));
        }
        Ok(checkpoint)
    }

    /// The bytes of a model file. Equal checkpoints give equal bytes.
    ///
    /// # Errors
    /// A tensor's shape and data do not fit, a name is there twice, or the header is larger than can be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        format::encode(self)
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

impl TensorData {
    /// The number of numbers.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty tensor is as good as any")]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F64(data) => data.len(),
            Self::U8(data) => data.len(),
            Self::U32(data) => data.len(),
            Self::U64(data) => data.len(),
        }
    }

    fn is_finite(&self) -> bool {
        match self {
            Self::F32(data) => data.iter().all(|x| x.is_finite()),
            Self::F64(data) => data.iter().all(|x| x.is_finite()),
            _ => true,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
