//! The bytes of a model file: 8 bytes of header length, the header in JSON, the numbers.
//!
//! The safetensors crate reads and checks the header. It is written here, because that crate keeps metadata in a
//! hash map, whose order would make the files of equal runs differ, and because the digest needs a fixed place.

use std::io::{self, Read};
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Checkpoint, MAX_BYTES, NamedTensor, TensorData};
use crate::config::Config;
use crate::{Error, Result};

/// The version of the format.
const VERSION: u64 = 2;
/// The beginning of every header of ours; the digest follows.
const PREFIX: &str = "{\"__metadata__\":{\"sha256\":\"";
/// Where the digest lies in the file.
const DIGEST: std::ops::Range<usize> = 8 + PREFIX.len()..8 + PREFIX.len() + 64;
/// How many bytes [`check_start`] needs.
pub(super) const FIRST: usize = DIGEST.end;
/// The largest header: a vocabulary of every character there is, and a thousand tensors.
const MAX_HEADER: u64 = 1 << 24;
/// The most dimensions of a tensor.
const MAX_DIMS: usize = 8;
/// The prefix, in the file, of the names of the training's own tensors.
const STATE: &str = "state.";

type Said<T> = std::result::Result<T, String>;

/// Looks at the first [`FIRST`] bytes of a file of `size` bytes and says what is wrong with it.
pub(super) fn check_start(first: &[u8], size: u64) -> Said<()> {
    // A safetensors header is an object; before it comes its length, which may look like anything.
    let is_header = first.get(8) == Some(&b'{');
    let is_pickle = first.first() == Some(&0x80) && first.get(1).is_some_and(|&version| version <= 5);
    if !is_header && (is_pickle || first.starts_with(b"PK\x03\x04")) {
        let what =
            "a pickle of PyTorch's, which may run code when it is read; charloom reads .safetensors only";
        return Err(format!("{what}, convert it with safetensors.torch.save_file"));
    }
    if crate::data::is_page(first) {
        return Err("an HTML page, no model; a download may have gone wrong".to_owned());
    }
    if let Some(what) = crate::data::not_text(first).filter(|_| !is_header) {
        return Err(what.to_owned());
    }
    let Some(length) = first.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)) else {
        return Err(format!("{size} bytes are no model file; the file may be cut off"));
    };
    if length > MAX_HEADER || !is_header {
        return Err("not a safetensors file; give a run folder or a .safetensors of charloom's".to_owned());
    }
    if length > size - 8 {
        return Err("cut off within its header; take another copy".to_owned());
    }
    if !first[8..].starts_with(PREFIX.as_bytes()) || first.len() < FIRST {
        return Err("a safetensors file, but not one of charloom's: it says nothing of a model".to_owned());
    }
    Ok(())
}

/// The bytes of a model file, given some at a time.
pub(in crate::files) struct Encoded<'c> {
    /// All that comes before the numbers.
    header: Vec<u8>,
    checkpoint: &'c Checkpoint,
}

impl Encoded<'_> {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        let numbers = |tensor: &NamedTensor| tensor.data.dtype().1 * tensor.data.len();
        self.header.len() + self.checkpoint.all().map(numbers).sum::<usize>()
    }

    /// Passes the bytes to `to`, some at a time.
    pub fn write(&self, to: &mut dyn FnMut(&[u8])) {
        to(&self.header);
        self.checkpoint.all().for_each(|tensor| tensor.data.write(to));
    }
}

pub(super) fn encode(checkpoint: &Checkpoint) -> Result<Encoded<'_>> {
    let vocab = serde_json::to_string(&checkpoint.vocab).map_err(|error| Error::Failed(error.to_string()))?;
    let mut header = Map::new();
    header.insert(
        "__metadata__".to_owned(),
        json!({
            "sha256": "0".repeat(64),
            "format": VERSION.to_string(),
            "step": checkpoint.step.to_string(),
            "metrics_bytes": checkpoint.metrics_bytes.to_string(),
            "vocab": vocab,
            "config": checkpoint.config.to_toml(),
        }),
    );
    let own = checkpoint.tensors.iter().map(|tensor| (tensor.name.clone(), tensor));
    let state = checkpoint.state.iter().map(|tensor| (format!("{STATE}{}", tensor.name), tensor));
    let mut end = 0;
    for (name, tensor) in own.chain(state) {
        let numbers = tensor.shape.iter().try_fold(1usize, |all, &length| all.checked_mul(length));
        if numbers != Some(tensor.data.len()) {
            let (shape, len) = (&tensor.shape, tensor.data.len());
            return Err(Error::Failed(format!(
                "the tensor {name} has {len} numbers for the shape {shape:?}"
            )));
        }
        let start = end;
        let (dtype, size) = tensor.data.dtype();
        end += size * tensor.data.len();
        let info = json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end]});
        if header.insert(name.clone(), info).is_some() {
            return Err(Error::Failed(format!("the tensor {name} is there twice")));
        }
    }
    let mut header = serde_json::to_vec(&header).map_err(|error| Error::Failed(error.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() as u64 > MAX_HEADER || (header.len() + end) as u64 > MAX_BYTES - 8 {
        return Err(Error::Failed("the model is too large for a file that could be read again".to_owned()));
    }
    let header = [&(header.len() as u64).to_le_bytes()[..], &header].concat();
    let mut encoded = Encoded { header, checkpoint };
    let mut hash = Sha256::new();
    encoded.write(&mut |bytes| hash.update(bytes));
    encoded.header[DIGEST].copy_from_slice(crate::data::hex(&hash.finalize()).as_bytes());
    Ok(encoded)
}

pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<Checkpoint> {
    let refuse = |message: String| Error::model(path, message);
    check_start(&bytes[..bytes.len().min(FIRST)], bytes.len() as u64).map_err(refuse)?;
    let length = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length) as usize);
    let header = &bytes[8..8 + length];
    let version = version(header).map_err(refuse)?;
    if version > VERSION {
        return Err(refuse(format!(
            "written by a newer charloom (format {version}; this one reads up to {VERSION}): update charloom"
        )));
    }
    check_digest(bytes).map_err(|error| Error::io(path, error))?.map_err(refuse)?;
    let broken = |error: &dyn std::fmt::Display| refuse(format!("not a valid safetensors file: {error}"));
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| broken(&error))?;
    let views = SafeTensors::deserialize(bytes).map_err(|error| broken(&error))?;
    let text = |key: &str| {
        let found = metadata.metadata().as_ref().and_then(|metadata| metadata.get(key));
        found.ok_or_else(|| refuse(format!("its metadata has no {key:?}")))
    };
    let number =
        |key: &str| text(key)?.parse().map_err(|_| refuse(format!("its {key:?} is no whole number")));
    let mut config = Config::from_toml(text("config")?, path)?;
    if version == 1 {
        keep_own_settings(&mut config);
    }
    config.validate().map_err(|error| Error::model(path, error))?;
    let vocab =
        serde_json::from_str(text("vocab")?).map_err(|error| refuse(format!("its vocabulary: {error}")))?;
    let (step, metrics_bytes) = (number("step")?, number("metrics_bytes")?);
    let (mut tensors, mut state) = (Vec::new(), Vec::new());
    let mut names = metadata.offset_keys();
    // By name too: empty tensors may have equal offsets, and they come out of a hash map in no fixed order.
    names.sort_by_cached_key(|name| (metadata.info(name).map(|info| info.data_offsets), name.clone()));
    for name in names {
        let view = views.tensor(&name).map_err(|error| broken(&error))?;
        let data = TensorData::read(view.dtype(), view.data())
            .ok_or_else(|| refuse(format!("the tensor {name} is of the unknown type {:?}", view.dtype())))?;
        let shape = view.shape().to_vec();
        // A length of 0 counts as 1, so that the other lengths of an empty tensor are limited too.
        let numbers = shape.iter().try_fold(1u64, |all, &length| all.checked_mul(length.max(1) as u64));
        if shape.len() > MAX_DIMS || numbers.is_none_or(|numbers| numbers > MAX_BYTES) {
            let (name, dims) = (&name, shape.len());
            return Err(refuse(format!(
                "the tensor {name} has a shape that no model's has, of {dims} dimensions"
            )));
        }
        match name.strip_prefix(STATE) {
            Some(name) => state.push(NamedTensor { name: name.to_owned(), shape, data }),
            None => tensors.push(NamedTensor { name, shape, data }),
        }
    }
    Ok(Checkpoint { config, vocab, step, metrics_bytes, tensors, state })
}

/// Removes the settings of other kinds of model: format 1 knew three kinds and wrote the settings of all into
/// every file.
fn keep_own_settings(config: &mut Config) {
    let foreign: &[&str] = match config.model.kind.as_str() {
        "mlp" => &["order", "smoothing", "k"],
        "linear" => &["embed", "hidden", "activation", "norm", "dropout", "gain", "order", "smoothing", "k"],
        _ => &[
            "context",
            "embed",
            "hidden",
            "activation",
            "norm",
            "dropout",
            "bias",
            "init",
            "gain",
            "output_scale",
        ],
    };
    config.model.retain(|key| !foreign.contains(&key));
}

fn version(header: &[u8]) -> Said<u64> {
    // Only the metadata is read: another version may describe tensors in another way.
    #[derive(serde::Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: Map<String, Value>,
    }
    let header: Header =
        serde_json::from_slice(header).map_err(|_| "its header is damaged; take another copy")?;
    let version = header.metadata.get("format").and_then(Value::as_str).and_then(|text| text.parse().ok());
    version.ok_or_else(|| "its header does not say which format it has; take another copy".to_owned())
}

/// The error for a file whose checksum is wrong.
const CHANGED: &str = "cut off or changed since it was written (its checksum differs); take another copy";

/// Compares the checksum in a file with that of its bytes, which are read in small pieces.
///
/// # Errors
/// The outer error is one of reading the file, the inner one says that the checksums differ.
pub(super) fn check_digest(mut file: impl Read) -> io::Result<Said<()>> {
    let mut start = [0; FIRST];
    file.read_exact(&mut start)?;
    let mut said = [0; DIGEST.end - DIGEST.start];
    // The digest itself is hashed as zeros.
    said.copy_from_slice(&start[DIGEST]);
    start[DIGEST].fill(b'0');
    let mut hash = Sha256::new();
    hash.update(start);
    let mut piece = Vec::new();
    while file.by_ref().take(1 << 16).read_to_end(&mut piece)? > 0 {
        hash.update(&piece);
        piece.clear();
    }
    let fits = crate::data::hex(&hash.finalize()).as_bytes() == said;
    Ok(if fits { Ok(()) } else { Err(CHANGED.to_owned()) })
}
