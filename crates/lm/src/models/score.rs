//! Scores whole splits with any [`Reader`].

use std::ops::Range;

use super::{Adapt, Distributions, LanguageModel, Progress, Reader, SlidingWindow, State};
use crate::Result;
use crate::data::Split;
use crate::feed::{BURN_IN, MAX_CHUNKS, chunks};

/// Words that are read side by side, shared prefixes once. In larger groups few more prefixes would be
/// shared.
const SIDE_BY_SIDE: usize = 512;

/// Called for each scored token with its position, its id and the log-probabilities (V).
pub type Visit<'a> = &'a mut dyn FnMut(usize, u32, &[f32]);

/// See [`LanguageModel::score_split`](super::LanguageModel::score_split).
pub(super) fn score_split(
    reader: &mut dyn Reader,
    vocab: usize,
    split: &Split,
    progress: Progress<'_>,
) -> Result<Vec<f32>> {
    let mut scores = vec![0.0; scored_count(split)];
    predict_split(
        reader,
        vocab,
        split,
        &mut |place, token, log_probs| scores[place] = log_probs[token as usize],
        progress,
    )?;
    Ok(scores)
}

/// See [`LanguageModel::score_adapting`].
pub(super) fn score_adapting(
    model: &(impl LanguageModel + ?Sized),
    split: &Split,
    adapt: &Adapt<'_>,
    progress: Progress<'_>,
) -> Result<Option<Vec<f32>>> {
    if !model.can_adapt(split) {
        return Ok(None);
    }
    let mut scores = vec![0.0; scored_count(split)];
    let mut visit = |place: usize, token: u32, row: &[f32]| scores[place] = row[token as usize];
    model.predict_adapting(split, adapt, &mut visit, progress)?;
    Ok(Some(scores))
}

/// The number of scored tokens of a split: all but the first of a text.
pub(super) fn scored_count(split: &Split) -> usize {
    match split.boundary() {
        Some(_) => split.tokens().len(),
        None => split.tokens().len().saturating_sub(1),
    }
}

/// Reads a split and calls `visit` for each scored token; words come in any order.
///
/// # Errors
/// Only those of `progress`.
pub(super) fn predict_split(
    reader: &mut dyn Reader,
    vocab: usize,
    split: &Split,
    visit: Visit<'_>,
    progress: Progress<'_>,
) -> Result<()> {
    let Some(boundary) = split.boundary() else {
        return predict_text(reader, vocab, &split.tokens().to_vec(), visit, progress);
    };
    let mut known = Distributions::default();
    let tokens = split.tokens();
    let rest = |start: u32| tokens.slice(start as usize..tokens.len());
    let starts = starts_in_order(split, vocab, boundary);
    let (count, mut some, mut done) = (starts.len(), Vec::new(), 0);
    for starts in starts.chunks(SIDE_BY_SIDE) {
        some.clear();
        starts.iter().for_each(|&start| some.extend(rest(start).until(boundary).into_iter().flatten()));
        let words: Vec<&[u32]> = some.split_inclusive(|&token| token == boundary).collect();
        predict_words(reader, &mut known, vocab, boundary, &words, |[word, at], token, log_probs| {
            visit(starts[word] as usize + at, token, log_probs);
        });
        done += starts.len();
        progress(done as f64 / count as f64)?;
    }
    Ok(())
}

/// The start of each word, sorted by the words' tokens, then by start.
fn starts_in_order(split: &Split, vocab: usize, boundary: u32) -> Vec<u32> {
    let tokens = split.tokens();
    let rest = |start: u32| tokens.slice(start as usize..tokens.len());
    let begins = |visit: &mut dyn FnMut(usize, u32)| {
        split.words().fold(0, |start, word| {
            visit(rest(start).first().map_or(0, |token| token as usize + 1), start);
            start + word.len() as u32 + 1
        });
    };
    // Counting sort by first token, then each bucket by an 8-byte prefix: keys for all words at once would
    // take four times the memory of `starts`.
    let mut ends = vec![0; vocab + 1];
    begins(&mut |first, _| ends[first] += 1);
    let mut total = 0;
    for end in &mut ends {
        total += std::mem::replace(end, total);
    }
    let mut starts = vec![0; total];
    begins(&mut |first, start| {
        starts[ends[first]] = start;
        ends[first] += 1;
    });
    let (mut from, mut keyed) = (0, Vec::new());
    for end in ends {
        keyed.clear();
        keyed.extend(starts[from..end].iter().map(|&start| (rest(start).first_eight(boundary), start)));
        keyed.sort_unstable_by(|&(key_a, a), &(key_b, b)| {
            key_a.cmp(&key_b).then_with(|| rest(a).compare_until(rest(b), boundary)).then(a.cmp(&b))
        });
        starts[from..end].iter_mut().zip(&keyed).for_each(|(to, &(_, start))| *to = start);
        from = end;
    }
    starts
}

/// The log-probability of every token of some sequences, which are read after `first`, one sequence after
/// another.
pub(crate) fn score_words(
    reader: &mut dyn Reader,
    known: &mut Distributions,
    vocab: usize,
    first: u32,
    words: &[&[u32]],
) -> Vec<f32> {
    let mut starts = Vec::with_capacity(words.len());
    let total = words.iter().fold(0, |start, word| {
        starts.push(start);
        start + word.len()
    });
    let mut scores = vec![0.0; total];
    predict_words(reader, known, vocab, first, words, |[word, at], token, log_probs| {
        scores[starts[word] + at] = log_probs[token as usize];
    });
    scores
}

/// Reads sequences after `first`, shared prefixes once. Calls `visit` for each token with [sequence, position],
/// its id and the log-probabilities (V).
fn predict_words(
    reader: &mut dyn Reader,
    known: &mut Distributions,
    vocab: usize,
    first: u32,
    words: &[&[u32]],
    mut visit: impl FnMut([usize; 2], u32, &[f32]),
) {
    let mut order: Vec<usize> = (0..words.len()).filter(|&word| !words[word].is_empty()).collect();
    order.sort_by_key(|&word| words[word]);
    // A node is a range of the sorted words: those with the same prefix, which is read, and at least one more
    // token.
    let mut nodes: Vec<Range<usize>> =
        std::iter::once(0..order.len()).filter(|all| !all.is_empty()).collect();
    let mut state = reader.start(nodes.len(), first);
    for at in 0.. {
        if nodes.is_empty() {
            break;
        }
        reader.distributions(&state, vocab, known);
        let (mut next, mut parents, mut tokens): (Vec<Range<usize>>, _, _) =
            (Vec::new(), Vec::new(), Vec::new());
        for (row, (node, &number)) in nodes.iter().zip(known.rows()).enumerate() {
            let log_probs = known.log_probs(number);
            let mut open = None;
            for place in node.clone() {
                let word = words[order[place]];
                visit([order[place], at], word[at], log_probs);
                if word.len() == at + 1 {
                    continue;
                }
                if open != Some(word[at]) {
                    next.push(place..place);
                    parents.push(row);
                    tokens.push(word[at]);
                    open = Some(word[at]);
                }
                next.last_mut().expect("just pushed").end = place + 1;
            }
        }
        state = state.select(&parents);
        reader.read(&mut state, &tokens);
        nodes = next;
    }
}

/// Reads a text and calls `visit` for every token but its first: for the token at i + 1 with i.
///
/// The text is cut into [`chunks`], which are read side by side, in the windows of the whole text.
///
/// # Errors
/// Only those of `progress`.
pub(crate) fn predict_text(
    reader: &mut dyn Reader,
    vocab: usize,
    tokens: &[u32],
    visit: Visit<'_>,
    progress: Progress<'_>,
) -> Result<()> {
    predict_in_chunks(reader, vocab, tokens, [MAX_CHUNKS, BURN_IN], visit, progress)
}

/// As [`predict_text`], in at most so many chunks, each with at least so many tokens read before its first target.
fn predict_in_chunks(
    reader: &mut dyn Reader,
    vocab: usize,
    tokens: &[u32],
    [max_chunks, burn_in]: [usize; 2],
    visit: Visit<'_>,
    progress: Progress<'_>,
) -> Result<()> {
    let targets = tokens.len().saturating_sub(1);
    if targets == 0 {
        return Ok(());
    }
    let SlidingWindow { context, stride } = reader.sliding_window();
    let chunks = chunks(targets, [max_chunks, burn_in.max(context)], stride);
    let longest = chunks.iter().map(|chunk| chunk.scored.end - chunk.begin).max().unwrap_or(0);
    let firsts: Vec<State> = chunks.iter().map(|chunk| reader.start(1, tokens[chunk.begin])).collect();
    let mut state = State::stacked(&firsts);
    let (mut known, mut next) = (Distributions::default(), Vec::new());
    for step in 0..longest {
        reader.distributions(&state, vocab, &mut known);
        for (chunk, &number) in chunks.iter().zip(known.rows()) {
            let place = chunk.begin + step;
            if chunk.scored.contains(&place) {
                visit(place, tokens[place + 1], known.log_probs(number));
            }
        }
        // A chunk that is done reads on beside the others; its results are not used.
        next.clear();
        next.extend(chunks.iter().map(|chunk| tokens[(chunk.begin + step + 1).min(targets)]));
        reader.read(&mut state, &next);
        if step % 8 == 0 {
            progress(step as f64 / longest as f64)?;
        }
    }
    Ok(())
}

/// See [`LanguageModel::total_loss`](super::LanguageModel::total_loss).
pub(super) fn total_loss(scores: impl IntoIterator<Item = f32>) -> (f64, usize) {
    let mut targets = 0;
    let losses = scores.into_iter().map(|log_prob| {
        targets += 1;
        -f64::from(log_prob)
    });
    (losses.sum(), targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Data, DataConfig};

    #[test]
    fn words_begin_in_their_order() {
        let data = Data::load(&DataConfig::default(), None).unwrap();
        let (split, boundary) = (&data.splits.val, data.splits.val.boundary().unwrap());
        let mut words = Vec::new();
        split.words().fold(0, |start, word| {
            words.push((word.to_vec(), start));
            start + word.len() as u32 + 1
        });
        words.sort();
        let starts = starts_in_order(split, data.vocab.len(), boundary);
        assert!(starts.into_iter().eq(words.into_iter().map(|(_, start)| start)));
    }

    /// A reader whose log-probabilities depend on all that it has read, and which counts the tokens it reads.
    struct Hashing {
        reads: usize,
    }

    fn mix(x: f32, token: u32) -> f32 {
        ((x * 7.0 + token as f32 + 1.0) * 12.9898).sin()
    }

    impl Reader for Hashing {
        fn start(&mut self, n: usize, first: u32) -> State {
            State { rows: n, numbers: vec![mix(0.0, first); n], ..State::default() }
        }

        fn read(&mut self, state: &mut State, tokens: &[u32]) {
            self.reads += tokens.len();
            state.numbers.iter_mut().zip(tokens).for_each(|(x, &token)| *x = mix(*x, token));
        }

        fn log_probs(&mut self, state: &State, out: &mut [f32]) {
            for (out, x) in out.chunks_exact_mut(4).zip(&state.numbers) {
                out.iter_mut().enumerate().for_each(|(token, p)| *p = mix(*x, token as u32));
            }
        }
    }

    /// The scores of one sequence, read by itself.
    fn alone(first: u32, tokens: &[u32]) -> Vec<f32> {
        let mut x = mix(0.0, first);
        let score = |&token: &u32| {
            let score = mix(x, token);
            x = mix(x, token);
            score
        };
        tokens.iter().map(score).collect()
    }

    #[test]
    fn words_of_equal_beginnings_are_read_once_and_scored_as_if_each_were_alone() {
        let words: [&[u32]; 8] = [&[2, 1, 0], &[1, 0], &[2, 1, 3, 0], &[], &[2, 1, 0], &[1], &[0], &[2, 1]];
        let mut reader = Hashing { reads: 0 };
        let scores = score_words(&mut reader, &mut Distributions::default(), 4, 0, &words);
        let expected: Vec<f32> = words.iter().flat_map(|word| alone(0, word)).collect();
        assert_eq!(scores, expected);
        // The shared prefixes 1, 2, 21 and 213 are read once.
        assert_eq!(reader.reads, 4);
    }

    #[test]
    fn a_chunk_of_a_text_knows_what_stands_before_it() {
        let tokens: Vec<u32> = (0..200).map(|i| i * i % 7 % 4).collect();
        let score = |chunks, burn_in| {
            let mut calls = 0;
            let mut progress = |_| {
                calls += 1;
                Ok(())
            };
            let mut scores = vec![0.0; tokens.len() - 1];
            let mut visit = |place, token, all: &[f32]| scores[place] = all[token as usize];
            predict_in_chunks(
                &mut Hashing { reads: 0 },
                4,
                &tokens,
                [chunks, burn_in],
                &mut visit,
                &mut progress,
            )
            .unwrap();
            scores
        };
        let whole = alone(tokens[0], &tokens[1..]);
        assert_eq!(score(1, 10), whole);
        // Nine chunks of 23 tokens, of which all but the first read 10 before those that they score.
        let chunks = score(64, 10);
        assert_eq!(chunks.len(), 199);
        for (start, begin) in [(23, 13), (46, 36), (184, 174)] {
            let of_chunk = &alone(tokens[begin], &tokens[begin + 1..])[start - begin..];
            assert_eq!(chunks[start..start + 5], of_chunk[..5]);
        }
        assert_eq!(chunks[..23], whole[..23]);
        let mut visit = |place, _, _: &[f32]| panic!("{place} of a text of one token is judged");
        predict_in_chunks(&mut Hashing { reads: 0 }, 4, &tokens[..1], [4, 10], &mut visit, &mut |_| Ok(()))
            .unwrap();
    }
}
