//! A teacher: a finished model whose distributions are learned from, besides the text.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use charloom_tensor::kernels;
use sha2::{Digest, Sha256};

use crate::config::TeacherConfig;
use crate::data::{Vocab, hex, memory};
use crate::feed::Lessons;
use crate::models::{self, Distributions, LanguageModel, State};
use crate::{Checkpoint, Error, Result, disk, files};

/// How many sequences are read side by side.
const SIDE_BY_SIDE: usize = 512;

/// What a teacher has answered, and how much it counts.
#[derive(Clone)]
pub(super) struct Answers {
    /// The probabilities of each distribution that the feed has a number for.
    ///
    /// # Shapes
    /// (D, V)
    pub table: Arc<[f32]>,
    pub weight: f64,
}

impl Answers {
    /// Reads a teacher and asks it once for every distribution.
    ///
    /// # Errors
    /// It cannot be read, is another than the configuration says, or knows other characters; more answers than can be held.
    pub fn new(teacher: &TeacherConfig, vocab: &Vocab, lessons: &Lessons) -> Result<Self> {
        let file = name_teacher(&mut teacher.clone())?;
        let checkpoint = Checkpoint::read(&file)?;
        if checkpoint.vocab != *vocab {
            let how = checkpoint.vocab.difference(vocab);
            let message = format!(
                "knows other characters than the data has ({how}); name a teacher that was trained on the same"
            );
            return Err(Error::model(file, message));
        }
        let model = models::open(&checkpoint, &file)?;
        let table = ask(&*model, lessons, teacher.temperature)?;
        Ok(Self { table, weight: teacher.weight })
    }
}

/// The file of a teacher, whose hash is made explicit.
///
/// # Errors
/// It cannot be read, or is another than before.
pub(crate) fn name_teacher(teacher: &mut TeacherConfig) -> Result<PathBuf> {
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

/// The distributions of the lessons' numbers, `softmax(log p / temperature)`: of a trie each is asked for once; else it is the mean of what the model says
/// wherever the number occurs, which costs the pupil as much as all of them do.
///
/// # Errors
/// More than can be held.
fn ask(model: &dyn LanguageModel, lessons: &Lessons, temperature: f64) -> Result<Arc<[f32]>> {
    let (vocab, count) = (model.vocab_size(), lessons.count);
    check_memory(count, vocab, memory::available())?;
    let mut table: Arc<[f32]> = std::iter::repeat_n(0.0, count * vocab).collect();
    let (means, mut asked) = (Arc::make_mut(&mut table), vec![0u32; count]);
    let (mut reader, mut known) = (model.reader(), Distributions::default());
    let (mut probs, mut evened) = (vec![0.0; vocab], vec![0.0; vocab]);
    for sequences in lessons.sequences.chunks(SIDE_BY_SIDE) {
        // The row of each sequence in the state: those that are equal so far share one, of other sequences than a trie's only
        // what is read first.
        let (mut row_of, mut firsts): (Vec<usize>, Vec<u32>) = (Vec::new(), Vec::new());
        for lesson in sequences {
            if firsts.last() != Some(&lesson.first) {
                firsts.push(lesson.first);
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
                    let number = lessons.numbers[place];
                    if !lessons.is_trie || last != Some(number) {
                        parents.push(row_of[k]);
                        tokens.push(lessons.tokens[place - 1]);
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
                let number = lessons.numbers[sequences[k].range.start + at] as usize;
                if number >= count || (lessons.is_trie && asked[number] > 0) {
                    continue;
                }
                let log_probs = known.log_probs(known.rows()[row_of[k]]);
                if temperature == 1.0 {
                    kernels::exp(log_probs, &mut probs);
                } else {
                    let divided = log_probs.iter().map(|p| (f64::from(*p) / temperature) as f32);
                    evened.iter_mut().zip(divided).for_each(|(to, p)| *to = p);
                    kernels::log_softmax_rows(&evened, vocab, &mut probs);
                    evened.copy_from_slice(&probs);
                    kernels::exp(&evened, &mut probs);
                }
                asked[number] += 1;
                // The mean of the answers so far: m + (p - m) / n.
                let n = asked[number] as f32;
                let of_number = &mut means[number * vocab..][..vocab];
                of_number.iter_mut().zip(&probs).for_each(|(mean, p)| *mean += (p - *mean) / n);
            }
        }
    }
    Ok(table)
}

/// An error if `count` distributions of `vocab` characters would not fit into memory: each probability takes 4 bytes, and
/// so does how often a distribution was asked for.
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
