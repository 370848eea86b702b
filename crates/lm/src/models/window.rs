//! Models that look at the last T tokens: each different context is asked for once.

use super::score::total_loss;
use super::{Distributions, Reader, State, Tell};
use crate::Result;
use crate::data::{Examples, Split};

/// What a windowed model is asked: the contexts, (n, T), and where the logarithms of probabilities go, (n, V).
pub(super) type Ask<'m> = Box<dyn FnMut(&[u32], &mut [f32]) + 'm>;

/// What a model may be asked that finds one token's probability for less than all of them: after a context, of a token.
pub(super) type AskOne<'m> = Box<dyn Fn(&[u32], u32) -> f32 + 'm>;

/// Reads with a windowed model.
pub(super) struct WindowReader<'m> {
    pub length: usize,
    pub vocab: usize,
    pub ask: Ask<'m>,
    pub ask_one: Option<AskOne<'m>>,
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
        // Without a context all sequences ask the same.
        (self.ask)(&state.tokens, out);
    }

    fn distributions(&mut self, state: &State, vocab: usize, known: &mut Distributions) {
        known.look_up(&state.tokens, [state.rows, self.length, vocab], |contexts, out| {
            (self.ask)(contexts, out);
        });
    }
}

/// The most examples that are judged at once: which of their contexts are equal takes some 16 bytes each.
const PIECE: usize = 1 << 19;

/// The most windows that a model is asked for at once: enough to keep a matrix product busy.
pub(super) const WINDOWS: usize = 512;

/// How many it is asked for at once, in a few MiB.
fn rows_at_once(vocab: usize) -> usize {
    ((1 << 20) / vocab.max(1)).clamp(1, WINDOWS)
}

impl WindowReader<'_> {
    /// Calls `found` with each different context of the examples, in order, and the logarithms of the probabilities of its
    /// different targets.
    fn each_distinct(
        &mut self,
        examples: &Examples,
        tell: Tell<'_>,
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
            if self.ask_one.is_none() {
                log_probs.resize(chunk.len() * self.vocab, 0.0);
                (self.ask)(&contexts, &mut log_probs);
            }
            for (i, d) in chunk.clone().enumerate() {
                of_targets.clear();
                match &self.ask_one {
                    Some(ask) => {
                        let context = &contexts[i * self.length..][..self.length];
                        of_targets.extend(targets(d).map(|token| ask(context, token)));
                    }
                    None => {
                        let row = &log_probs[i * self.vocab..][..self.vocab];
                        of_targets.extend(targets(d).map(|token| row[token as usize]));
                    }
                }
                found(d, &of_targets);
            }
            tell(chunk.end as f64 / distinct as f64)?;
        }
        Ok(())
    }

    /// Of a text the characters after the first whose context is not full: its first character is repeated before it.
    fn head(&mut self, split: &Split) -> Vec<f32> {
        let tokens = split.tokens();
        let Some(first) = tokens.first().filter(|_| split.boundary().is_none()) else { return Vec::new() };
        let mut state = self.start(1, first);
        let mut row = vec![0.0; self.vocab];
        let unfilled = tokens.part(1..tokens.len().min(self.length.max(1)));
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
    pub fn score_split(&mut self, split: &Split, tell: Tell<'_>) -> Result<Vec<f32>> {
        let mut scores = self.head(split);
        let length = self.length;
        // A context of no token stands before a text's first character too, which is not judged.
        let mut skipped = split.examples(length)?.len() + scores.len() - judged(split);
        each_piece(split, length, tell, |examples, tell| {
            // The different targets of each context, one context after another, and where each begins.
            let (mut of_targets, mut starts) = (Vec::new(), Vec::new());
            self.each_distinct(examples, tell, |_, log_probs| {
                starts.push(of_targets.len());
                of_targets.extend_from_slice(log_probs);
            })?;
            scores.extend((std::mem::take(&mut skipped)..examples.len()).map(|i| {
                let class = examples.class(i);
                let targets = examples.distinct_targets(class);
                let place = targets.partition_point(|&(target, _)| target < examples.target(i));
                of_targets[starts[class] + place]
            }));
            Ok(())
        })?;
        Ok(scores)
    }

    /// See [`LanguageModel::total_loss`](super::LanguageModel::total_loss).
    pub fn total_loss(&mut self, split: &Split, tell: Tell<'_>) -> Result<(f64, usize)> {
        if self.length == 0 && split.boundary().is_none() {
            return Ok(total_loss(self.score_split(split, tell)?));
        }
        let head = self.head(split);
        let mut total: f64 = head.iter().map(|&log_prob| -f64::from(log_prob)).sum();
        let mut judged = head.len();
        each_piece(split, self.length, tell, |examples, tell| {
            judged += examples.len();
            self.each_distinct(examples, tell, |d, log_probs| {
                for (&(_, often), &log_prob) in examples.distinct_targets(d).iter().zip(log_probs) {
                    total -= f64::from(log_prob) * f64::from(often);
                }
            })
        })?;
        Ok((total, judged))
    }
}

/// How many contexts a model is asked for to judge a split.
pub(super) fn count_distinct(split: &Split, context: usize) -> Result<usize> {
    let mut count = 0;
    each_piece(split, context, &mut |_| Ok(()), |examples, _| {
        count += examples.distinct_len();
        Ok(())
    })?;
    Ok(count)
}

/// Calls `judge` with the examples of a split, or, where they are many, with those of one piece after another, of which each
/// is forgotten before the next.
fn each_piece(
    split: &Split,
    context: usize,
    tell: Tell<'_>,
    mut judge: impl FnMut(&Examples, Tell<'_>) -> Result<()>,
) -> Result<()> {
    let examples = split.examples(context)?;
    if examples.len() <= PIECE {
        return judge(&examples, tell);
    }
    let pieces = split.pieces(PIECE, context);
    for (i, piece) in pieces.iter().enumerate() {
        // A piece that keeps no list of examples, for nobody asks for them again.
        let examples = Examples::new(piece, context)?;
        judge(&examples, &mut |share| tell((i as f64 + share) / pieces.len() as f64))?;
    }
    Ok(())
}

/// How many tokens of a split are judged.
fn judged(split: &Split) -> usize {
    let tokens = split.tokens().len();
    if split.boundary().is_some() { tokens } else { tokens.saturating_sub(1) }
}
