//! Knowledge distillation: a trained teacher's distributions are targets besides the text.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use charloom_tensor::kernels;
use sha2::{Digest, Sha256};

use crate::config::TeacherConfig;
use crate::data::{Vocab, hex, memory};
use crate::feed::TeacherInputs;
use crate::models::{self, Distributions, LanguageModel, State};
use crate::{Checkpoint, Error, Result, disk, files};

/// Sequences that are read side by side.
const SIDE_BY_SIDE: usize = 512;

/// A teacher's distributions, and their weight in the loss.
#[derive(Clone)]
pub(super) struct SoftTargets {
    /// The probabilities of each distribution, by its number in the feed.
    ///
    /// # Shapes
    /// (D, V)
    pub table: Arc<[f32]>,
    pub weight: f64,
}

impl SoftTargets {
    /// Reads a teacher and computes all distributions, once.
    ///
    /// # Errors
    /// The teacher cannot be read, is not the file that the configuration names, or has other characters; the
    /// distributions do not fit into memory.
    pub fn new(teacher: &TeacherConfig, vocab: &Vocab, inputs: &TeacherInputs) -> Result<Self> {
        let file = resolve_teacher(&mut teacher.clone())?;
        let checkpoint = Checkpoint::read(&file)?;
        if checkpoint.vocab != *vocab {
            let how = checkpoint.vocab.difference(vocab);
            let message = format!(
                "knows other characters than the data has ({how}); name a teacher that was trained on the same"
            );
            return Err(Error::model(file, message));
        }
        let model = models::open(&checkpoint, &file)?;
        let table = soft_targets(&*model, inputs, teacher.temperature)?;
        Ok(Self { table, weight: teacher.weight })
    }
}

/// The file of a teacher; fills in its SHA-256, if the configuration has none.
///
/// # Errors
/// It cannot be read, or its SHA-256 is not the configuration's.
pub(crate) fn resolve_teacher(teacher: &mut TeacherConfig) -> Result<PathBuf> {
    if !teacher.path.exists() {
        let message =
            "no such run; it is the ``teacher``, which is read again when a training is gone on with";
        return Err(Error::model(&teacher.path, message));
    }
    let file = files::model_file(&teacher.path)?;
    let (mut hash, mut open, mut piece) = (Sha256::new(), disk::open_regular(&file)?, Vec::new());
    let fail = |error| Error::io(&file, error);
    while open.by_ref().take(1 << 16).read_to_end(&mut piece).map_err(fail)? > 0 {
        hash.update(&piece);
        piece.clear();
    }
    let found = hex(&hash.finalize());
    if teacher.sha256.get_or_insert(found.clone()) != &found {
        let message = "is another file than the teacher that the run began with (its SHA-256 differs)";
        return Err(Error::model(file, format!("{message}; bring that back, or train anew")));
    }
    Ok(file)
}

/// The distribution of each of the inputs' numbers, `softmax(log p / temperature)`. In a trie it is computed once.
/// Otherwise it is the mean over all places of the number: cross-entropy is linear in q, so the loss under
/// the mean equals the mean of the losses.
///
/// # Errors
/// More than fits into memory.
fn soft_targets(model: &dyn LanguageModel, inputs: &TeacherInputs, temperature: f64) -> Result<Arc<[f32]>> {
    let (vocab, count) = (model.vocab_size(), inputs.count);
    check_memory(count, vocab, memory::available())?;
    let mut table: Arc<[f32]> = std::iter::repeat_n(0.0, count * vocab).collect();
    let (means, mut occurrences) = (Arc::make_mut(&mut table), vec![0u32; count]);
    let (mut reader, mut known) = (model.reader(), Distributions::default());
    let (mut probs, mut tempered) = (vec![0.0; vocab], vec![0.0; vocab]);
    for sequences in inputs.sequences.chunks(SIDE_BY_SIDE) {
        // `row_of[k]` is the state's row of sequence k. At first sequences with the same first token share a
        // row; then, in a trie, those with the same prefix do.
        let (mut row_of, mut firsts): (Vec<usize>, Vec<u32>) = (Vec::new(), Vec::new());
        for sequence in sequences {
            if firsts.last() != Some(&sequence.first) {
                firsts.push(sequence.first);
            }
            row_of.push(firsts.len() - 1);
        }
        let firsts: Vec<State> = firsts.into_iter().map(|first| reader.start(1, first)).collect();
        let mut state = State::stacked(&firsts);
        let mut reading: Vec<usize> = (0..sequences.len()).collect();
        let (mut parents, mut tokens) = (Vec::new(), Vec::new());
        for at in 0.. {
            reading.retain(|&k| sequences[k].range.len() > at);
            if reading.is_empty() {
                break;
            }
            if at > 0 {
                parents.clear();
                tokens.clear();
                let mut last = None;
                for &k in &reading {
                    let place = sequences[k].range.start + at;
                    let number = inputs.numbers[place];
                    if !inputs.is_trie || last != Some(number) {
                        parents.push(row_of[k]);
                        tokens.push(inputs.tokens[place - 1]);
                    }
                    row_of[k] = parents.len() - 1;
                    last = Some(number);
                }
                if !parents.iter().copied().eq(0..state.rows) {
                    state = state.select(&parents);
                }
                reader.read(&mut state, &tokens);
            }
            reader.distributions(&state, vocab, &mut known);
            for &k in &reading {
                let number = inputs.numbers[sequences[k].range.start + at] as usize;
                if number >= count || (inputs.is_trie && occurrences[number] > 0) {
                    continue;
                }
                let log_probs = known.log_probs(known.rows()[row_of[k]]);
                if temperature == 1.0 {
                    kernels::exp(log_probs, &mut probs);
                } else {
                    let divided = log_probs.iter().map(|p| (f64::from(*p) / temperature) as f32);
                    tempered.iter_mut().zip(divided).for_each(|(to, p)| *to = p);
                    kernels::log_softmax_rows(&tempered, vocab, &mut probs);
                    tempered.copy_from_slice(&probs);
                    kernels::exp(&tempered, &mut probs);
                }
                occurrences[number] += 1;
                // The running mean: m + (p - m) / n.
                let n = occurrences[number] as f32;
                let of_number = &mut means[number * vocab..][..vocab];
                of_number.iter_mut().zip(&probs).for_each(|(mean, p)| *mean += (p - *mean) / n);
            }
        }
    }
    Ok(table)
}

/// An error if `count` distributions of `vocab` characters do not fit into memory: 4 bytes for each
/// probability, and 4 for the number of places of each distribution.
fn check_memory(count: usize, vocab: usize, available: Option<u64>) -> Result<()> {
    let needed = (count as u64).saturating_mul(4 * (vocab as u64 + 1));
    memory::check(needed, available).map_err(|message| {
        let message = format!(
            "has {count} distributions of {vocab} characters to give, which take {message}; use less text"
        );
        Error::setting("teacher", message)
    })
}

#[cfg(test)]
mod tests;
