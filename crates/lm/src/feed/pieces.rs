//! Sequences cut into windows, for models that see at most T tokens.

use std::ops::Range;

use super::{Sequence, TeacherInputs};
use crate::data::{Split, Tokens};

/// A window of a sequence: some of its inputs, of which the later ones have their next token scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The position of the first input in the sequence.
    pub start: usize,
    /// The number of inputs.
    pub inputs: usize,
    /// The first input of the window whose next token is scored; those of earlier ones were scored in the
    /// window before.
    pub scored_from: usize,
}

/// The windows of a sequence of `inputs` inputs: the first T of them, T being `context`, then moved on by
/// `stride` until every input is in a window.
///
/// So each target after the first T is predicted from at least `T - stride + 1` tokens, the first T from all
/// tokens before them.
pub(crate) fn windows(inputs: usize, context: usize, stride: usize) -> impl Iterator<Item = Window> {
    let further = inputs.saturating_sub(context).div_ceil(stride);
    (0..=further).map(move |k| Window {
        start: k * stride,
        inputs: context.min(inputs - k * stride),
        scored_from: if k == 0 { 0 } else { context - stride },
    })
}

/// A part of a text: it reads from the token at `begin` on and scores the targets in `scored`. Target i is
/// the token at i + 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub begin: usize,
    pub scored: Range<usize>,
}

/// The most parts that a text is cut into.
pub(crate) const MAX_PARTS: usize = 256;

/// How many tokens a part reads before its first scored target, so that the state knows what comes before.
pub(crate) const WARM_UP: usize = 1024;

/// The parts of a text of `targets` targets, which are read side by side; at most `max_parts`.
///
/// A part begins to read at the last multiple of `stride` that is `warm_up` tokens before its first scored
/// target, or at the text's beginning: so every target is predicted from all tokens before it, or from at
/// least `warm_up`, and [`windows`] moved on by `stride` are those of the whole text. Parts are long enough
/// that warming up is about a third of all reading or less.
pub(crate) fn parts(targets: usize, [max_parts, warm_up]: [usize; 2], stride: usize) -> Vec<Part> {
    let each = targets.div_ceil((targets / (2 * warm_up)).clamp(1, max_parts)).max(1);
    let part = |start: usize| Part {
        begin: start.saturating_sub(warm_up) / stride * stride,
        scored: start..(start + each).min(targets),
    };
    (0..targets).step_by(each).map(part).collect()
}

/// The different windows of a split's words, sorted, so that windows with a common prefix are neighbours. A
/// view of the split's tokens that takes 8 bytes for each word, or 12 if some words have several windows.
pub(crate) struct Pieces {
    split: Split,
    boundary: u32,
    context: usize,
    stride: usize,
    /// Where each window begins in `split.tokens_with_start()`.
    pieces: Vec<u32>,
    /// The windows of each word, word after word, as indices into `pieces`.
    of_words: Vec<u32>,
    /// Where each word's windows begin in `of_words`, and the end; empty if each word has one window.
    starts: Vec<u32>,
}

impl Pieces {
    /// The windows of all words of a split; `None` for a running text or a split without words.
    pub fn of_words(split: &Split, context: usize, stride: usize) -> Option<Self> {
        let boundary = split.boundary()?;
        // Positions, and numbers of windows, of which there are fewer, then fit into 32 bits too.
        u32::try_from(split.tokens_with_start().len()).ok()?;
        let [words, longest] =
            split.words().fold([0, 0], |[words, longest], word| [words + 1, longest.max(word.len() + 1)]);
        let (mut pieces, mut starts) = (Vec::with_capacity(words), Vec::new());
        if longest > context {
            starts.reserve_exact(words + 1);
            starts.push(0);
        }
        let mut at = 0;
        for word in split.words() {
            let inputs = word.len() + 1;
            pieces.extend(windows(inputs, context, stride).map(|window| (at + window.start) as u32));
            if longest > context {
                starts.push(pieces.len() as u32);
            }
            at += inputs;
        }
        pieces.shrink_to_fit();
        let split = split.clone();
        let mut all = Self { split, boundary, context, stride, pieces, of_words: Vec::new(), starts };
        all.merge();
        (!all.pieces.is_empty()).then_some(all)
    }

    /// Sorts the windows of all words and keeps one of each that are equal.
    fn merge(&mut self) {
        let mut order: Vec<u32> = (0..self.pieces.len() as u32).collect();
        order.sort_unstable_by_key(|&i| (self.piece(i as usize).0, i));
        self.of_words = vec![0; order.len()];
        let mut count = 0;
        for k in 0..order.len() {
            let piece = self.piece(order[k] as usize).0;
            if k == 0 || self.piece(order[count - 1] as usize).0 != piece {
                order[count] = order[k];
                count += 1;
            }
            self.of_words[order[k] as usize] = count as u32 - 1;
        }
        order.truncate(count);
        order.iter_mut().for_each(|i| *i = self.pieces[*i as usize]);
        self.pieces = order;
    }

    /// The number of different windows.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The number of words.
    pub fn words(&self) -> usize {
        if self.starts.is_empty() { self.of_words.len() } else { self.starts.len() - 1 }
    }

    /// The windows of a word, as indices for [`Pieces::piece`].
    pub fn of_word(&self, word: usize) -> &[u32] {
        match self.starts.get(word..word + 2) {
            Some(range) => &self.of_words[range[0] as usize..range[1] as usize],
            None => &self.of_words[word..word + 1],
        }
    }

    /// A window's inputs followed by its last target; and its first input whose next token is scored.
    pub fn piece(&self, i: usize) -> (Tokens<'_>, usize) {
        let Range { start, end } = self.inputs(i);
        let tokens = self.split.tokens_with_start();
        (tokens.part(start..end + 1), self.scored_from(tokens, start))
    }

    /// Where a window's inputs are in `split.tokens_with_start()`.
    pub fn inputs(&self, i: usize) -> Range<usize> {
        let (start, tokens) = (self.pieces[i] as usize, self.split.tokens_with_start());
        let most = self.context.min(tokens.len() - start - 1);
        let inside = tokens.part(start + 1..start + most).iter().position(|token| token == self.boundary);
        start..start + inside.map_or(most, |place| place + 1)
    }

    /// The first input whose next token is scored in the window that begins at `start`: 0 in a word's first
    /// window, which begins with the boundary.
    fn scored_from(&self, tokens: Tokens<'_>, start: usize) -> usize {
        if tokens.at(start) == self.boundary { 0 } else { self.context - self.stride }
    }

    /// What to ask a teacher, and the number of its distribution after each input, for inputs whose next
    /// token is scored. Each different prefix of a window has a number; if each word has one window, these
    /// are the prefixes of words.
    pub fn teacher_inputs(&self) -> (TeacherInputs, Vec<u32>) {
        let [longest, ..] = self.most_inputs();
        let (all, mut count) = (self.split.tokens_with_start().to_vec(), 0);
        let mut numbers = vec![0; all.len()];
        let scored_from = |from| self.scored_from(self.split.tokens_with_start(), from);
        // The number of each input of the last window; `None` if its next token was not scored there.
        let (mut path, mut before): (Vec<Option<u32>>, &[u32]) = (vec![None; longest], &[]);
        for Range { start, end } in (0..self.len()).map(|i| self.inputs(i)) {
            let (inputs, first) = (&all[start..end], scored_from(start));
            let same = before.iter().zip(inputs).take_while(|(a, b)| a == b).count();
            path[same..inputs.len()].fill(None);
            for (number, place) in path[first..inputs.len()].iter_mut().zip(start + first..) {
                numbers[place] = *number.get_or_insert_with(|| {
                    count += 1;
                    count - 1
                });
            }
            before = inputs;
        }
        let (first, tokens) = (self.boundary, &all[1..]);
        let mut of_targets = Vec::with_capacity(tokens.len());
        let mut sequences: Vec<Range<usize>> = Vec::with_capacity(self.words());
        for word in 0..self.words() {
            let start = of_targets.len();
            for inputs in self.of_word(word).iter().map(|&i| self.inputs(i as usize)) {
                of_targets.extend_from_slice(&numbers[inputs.start + scored_from(inputs.start)..inputs.end]);
            }
            sequences.push(start..of_targets.len());
        }
        let is_trie = self.most_windows() == 1;
        if is_trie {
            sequences.sort_by_key(|word| &tokens[word.clone()]);
            sequences.dedup_by(|a, b| tokens[a.clone()] == tokens[b.clone()]);
        }
        let sequences = sequences.into_iter().map(|range| Sequence { first, range }).collect();
        let tokens = tokens.to_vec();
        (TeacherInputs { tokens, sequences, numbers: of_targets, count: count as usize, is_trie }, numbers)
    }

    /// The number of targets of all words.
    pub fn targets(&self) -> usize {
        self.split.tokens().len()
    }

    /// The most windows of a word.
    pub fn most_windows(&self) -> usize {
        (0..self.words()).map(|word| self.of_word(word).len()).max().unwrap_or(0)
    }

    /// The number of inputs: the most of a window, the most of a word's windows together, and of all windows.
    pub fn most_inputs(&self) -> [usize; 3] {
        let inputs = |i: usize| self.inputs(i).len();
        let of_word = |word| self.of_word(word).iter().map(|&i| inputs(i as usize)).sum();
        let of_words = (0..self.words()).map(of_word).max().unwrap_or(0);
        [(0..self.len()).map(inputs).max().unwrap_or(0), of_words, (0..self.len()).map(inputs).sum()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_but_the_first_windows_is_judged_once_with_enough_before_it() {
        for (inputs, context, stride) in [(5, 8, 2), (8, 8, 2), (9, 8, 2), (30, 8, 2), (31, 8, 8), (12, 5, 1)]
        {
            let mut scored = vec![0; inputs];
            for window in windows(inputs, context, stride) {
                for at in window.scored_from..window.inputs {
                    scored[window.start + at] += 1;
                    assert!(window.start == 0 || at + 1 > context - stride);
                }
            }
            assert_eq!(scored, vec![1; inputs], "{inputs} {context} {stride}");
        }
    }
}
