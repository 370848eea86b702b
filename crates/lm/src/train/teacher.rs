//! Knowledge distillation: a trained teacher's distributions are targets besides the text.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use charloom_tensor::kernels;
use sha2::{Digest, Sha256};

use crate::config::TeacherConfig;
use crate::data::{Vocab, hex, memory};
use crate::feed::{Reading, Sequence, TeacherInputs};
use crate::models::{self, Distributions, LanguageModel, Reader, State, predict_text};
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
/// the mean equals the mean of the losses. A text's places have the probabilities of an evaluation of the whole text.
///
/// # Errors
/// More than fits into memory.
fn soft_targets(model: &dyn LanguageModel, inputs: &TeacherInputs, temperature: f64) -> Result<Arc<[f32]>> {
    let (vocab, count) = (model.vocab_size(), inputs.count);
    check_memory(count, vocab, memory::available())?;
    let mut table: Arc<[f32]> = std::iter::repeat_n(0.0, count * vocab).collect();
    let mut means = Means {
        temperature,
        vocab,
        table: Arc::make_mut(&mut table),
        occurrences: vec![0; count],
        probs: vec![0.0; vocab],
        tempered: vec![0.0; vocab],
    };
    let mut reader = model.reader();
    match &inputs.reading {
        Reading::Text => {
            let mut add = |place: usize, _, log_probs: &[f32]| means.add(inputs.numbers[place], log_probs);
            predict_text(&mut *reader, vocab, &inputs.tokens, &mut add, &mut |_| Ok(()))?;
        }
        Reading::Sequences { all, is_trie } => {
            let mut known = Distributions::default();
            for sequences in all.chunks(SIDE_BY_SIDE) {
                read_sequences(&mut *reader, &mut known, inputs, sequences, *is_trie, &mut means);
            }
        }
    }
    Ok(table)
}

/// The mean of the distributions of each number so far.
struct Means<'t> {
    temperature: f64,
    vocab: usize,
    /// (D, V)
    table: &'t mut [f32],
    /// (D)
    occurrences: Vec<u32>,
    /// One distribution, and its logarithm.
    probs: Vec<f32>,
    tempered: Vec<f32>,
}

impl Means<'_> {
    /// Whether a distribution of this number is not needed, or was added before.
    fn has(&self, number: u32) -> bool {
        self.occurrences.get(number as usize).is_none_or(|&n| n > 0)
    }

    /// Adds a distribution of this number, if it is needed.
    fn add(&mut self, number: u32, log_probs: &[f32]) {
        let Self { temperature, vocab, table, occurrences, probs, tempered } = self;
        let Some(occurrences) = occurrences.get_mut(number as usize) else { return };
        if *temperature == 1.0 {
            kernels::exp(log_probs, probs);
        } else {
            let divided = log_probs.iter().map(|p| (f64::from(*p) / *temperature) as f32);
            tempered.iter_mut().zip(divided).for_each(|(to, p)| *to = p);
            kernels::log_softmax_rows(tempered, *vocab, probs);
            tempered.copy_from_slice(probs);
            kernels::exp(tempered, probs);
        }
        *occurrences += 1;
        // The running mean: m + (p - m) / n.
        let n = *occurrences as f32;
        let of_number = &mut table[number as usize * *vocab..][..*vocab];
        of_number.iter_mut().zip(&*probs).for_each(|(mean, p)| *mean += (p - *mean) / n);
    }
}

/// Adds the distributions of these sequences, which are read side by side.
fn read_sequences(
    reader: &mut dyn Reader,
    known: &mut Distributions,
    inputs: &TeacherInputs,
    sequences: &[Sequence],
    is_trie: bool,
    means: &mut Means<'_>,
) {
    // `row_of[k]` is the state's row of sequence k. At first sequences with the same first token share a row; then,
    // in a trie, those with the same prefix do.
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
                if !is_trie || last != Some(number) {
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
        reader.distributions(&state, means.vocab, known);
        for &k in &reading {
            let number = inputs.numbers[sequences[k].range.start + at];
            if !is_trie || !means.has(number) {
                means.add(number, known.log_probs(known.rows()[row_of[k]]));
            }
        }
    }
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
