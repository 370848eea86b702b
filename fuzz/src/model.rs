//! Model files.

use std::path::Path;

use charloom::Checkpoint;
use charloom::evaluation::score;
use charloom::models;
use charloom::sample::{SampleOptions, Sampler};
use sha2::{Digest, Sha256};

/// After a first byte of 0, bytes as they are. Else the rest of a header and, after a line feed, the numbers: the
/// header's length, its beginning and a digest that fits are put before it, or nothing behind the digest would ever be
/// reached.
pub fn file(bytes: &[u8]) -> Vec<u8> {
    const START: &str = "{\"__metadata__\":{\"sha256\":\"";
    let Some((&kind, bytes)) = bytes.split_first() else { return Vec::new() };
    if kind == 0 {
        return bytes.to_vec();
    }
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let numbers = bytes.get(end + 1..).unwrap_or_default();
    let mut file = ((START.len() + 64 + end) as u64).to_le_bytes().to_vec();
    for part in [START.as_bytes(), &[b'0'; 64], &bytes[..end], numbers] {
        file.extend_from_slice(part);
    }
    let digest: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    file[8 + START.len()..][..64].copy_from_slice(digest.as_bytes());
    file
}

/// The checkpoint in a file, if there is one.
///
/// # Panics
/// An error of more than one line; a checkpoint that is another after it was written and read.
pub fn read(bytes: &[u8]) -> Option<Checkpoint> {
    let path = Path::new("fuzz.safetensors");
    match Checkpoint::from_bytes(&file(bytes), path) {
        Ok(checkpoint) => {
            let bytes = checkpoint.to_bytes().expect("what was read is written");
            let again = Checkpoint::from_bytes(&bytes, path).expect("what was written is read");
            assert!(sorted(&checkpoint) == sorted(&again), "it is another");
            Some(checkpoint)
        }
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error:?}");
            None
        }
    }
}

/// Tensors without numbers may lie at the same place, and have no order then.
fn sorted(checkpoint: &Checkpoint) -> Checkpoint {
    let mut checkpoint = checkpoint.clone();
    for tensors in [&mut checkpoint.tensors, &mut checkpoint.state] {
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
    }
    checkpoint
}

/// Reads a model file, and scores and samples with the model in it.
///
/// # Panics
/// As [`read`]; a probability above 1.
pub fn model(bytes: &[u8]) {
    let Some(checkpoint) = read(bytes) else { return };
    let model = match models::open(&checkpoint, Path::new("fuzz.safetensors")) {
        Ok(model) => model,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error:?}");
            return;
        }
    };
    let vocab = &checkpoint.vocab;
    let text: String = vocab.characters()[usize::from(vocab.boundary().is_some())..].iter().take(8).collect();
    for scored in score(&*model, vocab, &[text.as_str(), ""]) {
        let scored = scored.expect("the characters are the vocabulary's");
        // Finite weights may be large enough for sums that are not.
        assert!(scored.log_prob.is_nan() || scored.log_prob <= 1e-3, "{scored:?}");
    }
    for temperature in [0.0, 1.0] {
        let options = SampleOptions { n: 2, max_length: 8, temperature, ..SampleOptions::default() };
        let samples = Sampler::new(&*model, vocab, options, None).expect("the options are valid");
        assert!(samples.count() <= 2);
    }
}
