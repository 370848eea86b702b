//! Scores whole splits: words as trees, a running text in windows.

use charloom_tensor::{Indices, NodeId, Params, Pass, Recording, Rows, kernels};

use super::batch::positions;
use super::{CausalRows, Decoder, SlidingWindow};
use crate::Result;
use crate::data::Split;
use crate::feed::{Trie, WordWindows, sliding_windows};
use crate::models::{Progress, score};

/// The most rows that are computed at once, unless one window has more.
const ROWS: usize = 1024;
/// The most elements of these rows in the widest layer.
const NUMBERS: usize = 1 << 20;

fn rows_at_once(decoder: &Decoder) -> usize {
    (NUMBERS / decoder.widest().max(1)).clamp(1, ROWS)
}

/// See [`LanguageModel::score_split`](crate::models::LanguageModel::score_split).
pub(in super::super) fn score_split(
    params: &Params<f32>,
    decoder: &Decoder,
    split: &Split,
    progress: Progress<'_>,
) -> Result<Vec<f32>> {
    let SlidingWindow { context, stride } = decoder.sliding_window;
    if split.boundary().is_none() {
        return score_text(params, decoder, &split.tokens().to_vec(), progress);
    }
    let Some(windows) = WordWindows::of_words(split, context, stride) else { return Ok(Vec::new()) };
    let of_windows = score_windows(params, decoder, &windows, progress)?;
    let mut scores = Vec::with_capacity(windows.targets());
    scores.extend(of_words(&windows, &of_windows));
    Ok(scores)
}

/// The scores of words in order, from those of their windows ([`score_windows`]).
fn of_words(windows: &WordWindows, (scores, starts): &(Vec<f32>, Vec<u32>)) -> impl Iterator<Item = f32> {
    let all = (0..windows.words()).flat_map(|word| windows.of_word(word));
    let of_window = |&i: &u32| &scores[starts[i as usize] as usize..starts[i as usize + 1] as usize];
    all.flat_map(of_window).copied()
}

/// See [`LanguageModel::total_loss`](crate::models::LanguageModel::total_loss).
pub(in super::super) fn total_loss(
    params: &Params<f32>,
    decoder: &Decoder,
    split: &Split,
    progress: Progress<'_>,
) -> Result<(f64, usize)> {
    let SlidingWindow { context, stride } = decoder.sliding_window;
    let Some(windows) = WordWindows::of_words(split, context, stride) else {
        return Ok(score::total_loss(score_split(params, decoder, split, progress)?));
    };
    let of_windows = score_windows(params, decoder, &windows, progress)?;
    Ok(score::total_loss(of_words(&windows, &of_windows)))
}

/// See [`LanguageModel::evaluation_work`](crate::models::LanguageModel::evaluation_work).
pub(in super::super) fn work(decoder: &Decoder, split: &Split) -> usize {
    let SlidingWindow { context, stride } = decoder.sliding_window;
    let of =
        |inputs: usize| sliding_windows(inputs, context, stride).map(|window| window.inputs).sum::<usize>();
    match split.boundary() {
        Some(_) => split.words().map(|word| of(word.len() + 1)).sum(),
        None => of(split.tokens().len().saturating_sub(1)),
    }
}

/// The scores of each window's scored tokens, one window after another, and where each window's start.
fn score_windows(
    params: &Params<f32>,
    decoder: &Decoder,
    windows: &WordWindows,
    progress: Progress<'_>,
) -> Result<(Vec<f32>, Vec<u32>)> {
    let [longest, ..] = windows.max_inputs();
    let most = rows_at_once(decoder).max(longest);
    let mut scorer = TrieScorer::new(params, decoder, most);
    let mut starts = Vec::with_capacity(windows.len() + 1);
    starts.push(0);
    for i in 0..windows.len() {
        let (sequence, scored_from) = windows.window(i);
        starts.push(starts[i] + (sequence.len() - 1 - scored_from) as u32);
    }
    let (mut scores, mut places) = (Vec::with_capacity(starts[windows.len()] as usize), Vec::new());
    let mut trie = Trie::with_room(most, longest);
    for i in 0..windows.len() {
        let (sequence, scored_from) = windows.window(i);
        trie.add(sequence.iter(), scored_from, 1);
        places.extend(trie.pairs(scored_from));
        let next_fits = trie.tokens.len() + longest <= most;
        if !next_fits || i + 1 == windows.len() {
            let of_pairs = scorer.log_probs(&trie);
            scores.extend(places.iter().map(|&pair| of_pairs[pair]));
            places.clear();
            trie.clear();
            progress((i + 1) as f64 / windows.len() as f64)?;
        }
    }
    Ok((scores, starts))
}

/// Computes one trie after another with one recording.
struct TrieScorer<'m> {
    params: &'m Params<f32>,
    vocab: usize,
    recording: Recording<f32>,
    /// Tokens, parents, positions.
    inputs: [Indices; 3],
    logits: NodeId,
    log_probs: Vec<f32>,
    of_pairs: Vec<f32>,
}

impl<'m> TrieScorer<'m> {
    fn new(params: &'m Params<f32>, decoder: &Decoder, most: usize) -> Self {
        let (recording, (inputs, logits)) = Recording::new(params, |tape| {
            let axis = tape.axis(most);
            let inputs = [(); 3].map(|()| tape.index_rows(axis, &[]));
            let [tokens, parents, positions] = inputs;
            let logits = decoder.logits(tape, [tokens, positions], &mut CausalRows::Tree(parents));
            (inputs, logits.contiguous().id())
        });
        let vocab = decoder.vocab;
        Self { params, vocab, recording, inputs, logits, log_probs: Vec::new(), of_pairs: Vec::new() }
    }

    /// The log-probability of each (node, target) pair.
    fn log_probs(&mut self, trie: &Trie) -> &[f32] {
        let rows = trie.tokens.len();
        for (input, data) in self.inputs.into_iter().zip([&trie.tokens, &trie.parents, &trie.positions]) {
            self.recording.set_indices(input, |to| to[..rows].copy_from_slice(data));
        }
        self.recording.forward(self.params, &Pass { rows: &[Rows::First(rows)], ..Pass::evaluation() });
        self.log_probs.resize(rows * self.vocab, 0.0);
        let (vocab, log_probs) = (self.vocab, &mut self.log_probs);
        self.recording.with_data(self.logits, |logits| kernels::log_softmax_rows(logits, vocab, log_probs));
        let pairs = trie.nodes.iter().zip(&trie.targets);
        self.of_pairs.clear();
        self.of_pairs
            .extend(pairs.map(|(&node, &target)| log_probs[node as usize * vocab + target as usize]));
        &self.of_pairs
    }
}

/// The scores of every token of a text but its first.
fn score_text(
    params: &Params<f32>,
    decoder: &Decoder,
    tokens: &[u32],
    progress: Progress<'_>,
) -> Result<Vec<f32>> {
    let Some(inputs) = tokens.len().checked_sub(1).filter(|&inputs| inputs > 0) else {
        return Ok(Vec::new());
    };
    let SlidingWindow { context, stride } = decoder.sliding_window;
    let length = context.min(inputs);
    let all: Vec<_> = sliding_windows(inputs, context, stride).collect();
    let sequences = (rows_at_once(decoder) / length).clamp(1, all.len());
    let (mut recording, (of_tokens, logits)) = Recording::new(params, |tape| {
        let of_tokens = tape.indices(&[sequences * length], &vec![0; sequences * length]);
        let inputs = [of_tokens, positions(tape, [sequences, length])];
        (of_tokens, decoder.logits(tape, inputs, &mut CausalRows::Sequences(length)).contiguous().id())
    });
    let mut log_probs = vec![0.0; sequences * length * decoder.vocab];
    let mut scores = Vec::with_capacity(inputs);
    for (k, some) in all.chunks(sequences).enumerate() {
        // Rows that are not filled (after the text's end, and in the last batch) are computed but not used.
        recording.set_indices(of_tokens, |to| {
            for (to, window) in to.chunks_exact_mut(length).zip(some) {
                to[..window.inputs].copy_from_slice(&tokens[window.start..][..window.inputs]);
            }
        });
        recording.forward(params, &Pass::evaluation());
        recording
            .with_data(logits, |logits| kernels::log_softmax_rows(logits, decoder.vocab, &mut log_probs));
        for (rows, window) in log_probs.chunks_exact(length * decoder.vocab).zip(some) {
            let of_row = |at: usize| rows[at * decoder.vocab + tokens[window.start + at + 1] as usize];
            scores.extend((window.scored_from..window.inputs).map(of_row));
        }
        progress((k * sequences + some.len()) as f64 / all.len() as f64)?;
    }
    Ok(scores)
}
