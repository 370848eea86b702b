//! Models that look at the last T tokens: each distinct context is computed once.

use super::score::{scored_count, total_loss};
use super::{Distributions, Progress, Reader, State};
use crate::Result;
use crate::data::{Examples, Split};

/// Computes the log-probabilities of the tokens after n contexts: (n, T) -> (n, V).
pub(super) type Predict<'m> = Box<dyn FnMut(&[u32], &mut [f32]) + 'm>;

/// Computes the log-probability of one token after a context, in models where that takes less than all V.
pub(super) type PredictOne<'m> = Box<dyn Fn(&[u32], u32) -> f32 + 'm>;

/// Reads with a windowed model.
pub(super) struct WindowReader<'m> {
    pub length: usize,
    pub vocab: usize,
    pub predict: Predict<'m>,
    pub predict_one: Option<PredictOne<'m>>,
}

impl Reader for WindowReader<'_> {
    fn start(&mut self, n: usize, first: u32) -> State {
        State { rows: n, tokens: vec![first; n * self.length], ..State::default() }
    }

    fn read(&mut self, state: &mut State, tokens: &[u32]) {
        if self.length > 0 {
            for (context, &token) in state.tokens.chunks_exact_mut(self.length).zip(tokens) {
                context.copy_within(1.., 0);
                context[self.length - 1] = token;
            }
        }
    }

    fn log_probs(&mut self, state: &State, out: &mut [f32]) {
        // With T = 0 there are no tokens: `out` alone tells the number of sequences.
        (self.predict)(&state.tokens, out);
    }

    fn distributions(&mut self, state: &State, vocab: usize, known: &mut Distributions) {
        known.look_up(&state.tokens, [state.rows, self.length, vocab], |contexts, out| {
            (self.predict)(contexts, out);
        });
    }
}

/// The most examples that are scored at once: finding their equal contexts takes about 16 bytes an example.
const CHUNK: usize = 1 << 19;

/// The most windows that are computed at once: enough to keep a matrix product busy.
pub(super) const WINDOWS: usize = 512;

/// The number of contexts that are computed at once: their log-probabilities take at most 4 MiB.
fn rows_at_once(vocab: usize) -> usize {
    ((1 << 20) / vocab.max(1)).clamp(1, WINDOWS)
}

impl WindowReader<'_> {
    /// Calls `found` with the index of each distinct context, in order, and the log-probabilities of its
    /// distinct targets.
    fn each_distinct(
        &mut self,
        examples: &Examples,
        progress: Progress<'_>,
        mut found: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        let distinct = if examples.is_empty() { 0 } else { examples.distinct_len() };
        let rows = rows_at_once(self.vocab);
        let (mut contexts, mut log_probs, mut of_targets) = (Vec::new(), Vec::new(), Vec::new());
        let targets = |d: usize| examples.distinct_targets(d).iter().map(|&(token, _)| token);
        for from in (0..distinct).step_by(rows) {
            let chunk = from..(from + rows).min(distinct);
            contexts.clear();
            chunk.clone().for_each(|d| contexts.extend(examples.distinct_context(d)));
            if self.predict_one.is_none() {
                log_probs.resize(chunk.len() * self.vocab, 0.0);
                (self.predict)(&contexts, &mut log_probs);
            }
            for (i, d) in chunk.clone().enumerate() {
                of_targets.clear();
                match &self.predict_one {
                    Some(predict) => {
                        let context = &contexts[i * self.length..][..self.length];
                        of_targets.extend(targets(d).map(|token| predict(context, token)));
                    }
                    None => {
                        let row = &log_probs[i * self.vocab..][..self.vocab];
                        of_targets.extend(targets(d).map(|token| row[token as usize]));
                    }
                }
                found(d, &of_targets);
            }
            progress(chunk.end as f64 / distinct as f64)?;
        }
        Ok(())
    }

    /// The scores of a text's first characters, whose context is not full: it is filled on the left with the
    /// first character. Empty for words.
    fn scores_of_start(&mut self, split: &Split) -> Vec<f32> {
        let tokens = split.tokens();
        let Some(first) = tokens.first().filter(|_| split.boundary().is_none()) else { return Vec::new() };
        let mut state = self.start(1, first);
        let mut row = vec![0.0; self.vocab];
        let unfilled = tokens.slice(1..tokens.len().min(self.length.max(1)));
        unfilled
            .iter()
            .map(|token| {
                self.log_probs(&state, &mut row);
                self.read(&mut state, &[token]);
                row[token as usize]
            })
            .collect()
    }

    /// See [`LanguageModel::score_split`](super::LanguageModel::score_split).
    pub fn score_split(&mut self, split: &Split, progress: Progress<'_>) -> Result<Vec<f32>> {
        let mut scores = self.scores_of_start(split);
        let length = self.length;
        // With T = 0 a text's first character is an example too, but it is not scored.
        let mut skipped = split.examples(length)?.len() + scores.len() - scored_count(split);
        each_chunk(split, length, progress, |examples, progress| {
            // The log-probabilities of each context's distinct targets, and where those of each context
            // start.
            let (mut of_targets, mut starts) = (Vec::new(), Vec::new());
            self.each_distinct(examples, progress, |_, log_probs| {
                starts.push(of_targets.len());
                of_targets.extend_from_slice(log_probs);
            })?;
            scores.extend((std::mem::take(&mut skipped)..examples.len()).map(|i| {
                let id = examples.context_id(i);
                let targets = examples.distinct_targets(id);
                let place = targets.partition_point(|&(target, _)| target < examples.target(i));
                of_targets[starts[id] + place]
            }));
            Ok(())
        })?;
        Ok(scores)
    }

    /// See [`LanguageModel::total_loss`](super::LanguageModel::total_loss).
    pub fn total_loss(&mut self, split: &Split, progress: Progress<'_>) -> Result<(f64, usize)> {
        if self.length == 0 && split.boundary().is_none() {
            return Ok(total_loss(self.score_split(split, progress)?));
        }
        let start = self.scores_of_start(split);
        let mut total: f64 = start.iter().map(|&log_prob| -f64::from(log_prob)).sum();
        let mut scored = start.len();
        each_chunk(split, self.length, progress, |examples, progress| {
            scored += examples.len();
            self.each_distinct(examples, progress, |d, log_probs| {
                for (&(_, often), &log_prob) in examples.distinct_targets(d).iter().zip(log_probs) {
                    total -= f64::from(log_prob) * f64::from(often);
                }
            })
        })?;
        Ok((total, scored))
    }
}

/// The number of distinct contexts that are computed to score a split.
pub(super) fn count_distinct(split: &Split, context: usize) -> Result<usize> {
    let mut count = 0;
    each_chunk(split, context, &mut |_| Ok(()), |examples, _| {
        count += examples.distinct_len();
        Ok(())
    })?;
    Ok(count)
}

/// Calls `on_chunk` with the examples of a split; if they are more than CHUNK, with those of one chunk after
/// another, so that only one chunk is in memory.
fn each_chunk(
    split: &Split,
    context: usize,
    progress: Progress<'_>,
    mut on_chunk: impl FnMut(&Examples, Progress<'_>) -> Result<()>,
) -> Result<()> {
    let examples = split.examples(context)?;
    if examples.len() <= CHUNK {
        return on_chunk(&examples, progress);
    }
    let chunks = split.chunks(CHUNK, context);
    for (i, chunk) in chunks.iter().enumerate() {
        // Not `chunk.examples`, which would keep them in memory for later calls.
        let examples = Examples::new(chunk, context)?;
        on_chunk(&examples, &mut |share| progress((i as f64 + share) / chunks.len() as f64))?;
    }
    Ok(())
}
