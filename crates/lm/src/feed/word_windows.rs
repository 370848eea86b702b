//! The windows in which a split's words are read.

use std::ops::Range;

use super::{Reading, Sequence, TeacherInputs, sliding_windows};
use crate::data::{Split, Tokens};

/// The different windows of a split's words, sorted, so that windows with a common prefix are neighbours. A
/// view of the split's tokens that takes 8 bytes for each word, or 12 if some words have several windows.
pub(crate) struct WordWindows {
    split: Split,
    boundary: u32,
    context: usize,
    stride: usize,
    /// Where each window begins in `split.tokens_with_start()`.
    begins: Vec<u32>,
    /// The windows of each word, word after word, as indices into `begins`.
    of_words: Vec<u32>,
    /// Where each word's windows begin in `of_words`, and the end; empty if each word has one window.
    starts: Vec<u32>,
}

impl WordWindows {
    /// The windows of all words of a split; `None` for a running text or a split without words.
    pub fn of_words(split: &Split, context: usize, stride: usize) -> Option<Self> {
        let boundary = split.boundary()?;
        // Positions, and numbers of windows, of which there are fewer, then fit into 32 bits too.
        u32::try_from(split.tokens_with_start().len()).ok()?;
        let [words, longest] =
            split.words().fold([0, 0], |[words, longest], word| [words + 1, longest.max(word.len() + 1)]);
        let (mut begins, mut starts) = (Vec::with_capacity(words), Vec::new());
        if longest > context {
            starts.reserve_exact(words + 1);
            starts.push(0);
        }
        let mut at = 0;
        for word in split.words() {
            let inputs = word.len() + 1;
            begins.extend(sliding_windows(inputs, context, stride).map(|window| (at + window.start) as u32));
            if longest > context {
                starts.push(begins.len() as u32);
            }
            at += inputs;
        }
        begins.shrink_to_fit();
        let split = split.clone();
        let mut all = Self { split, boundary, context, stride, begins, of_words: Vec::new(), starts };
        all.merge();
        (!all.begins.is_empty()).then_some(all)
    }

    /// Sorts the windows of all words and keeps one of each that are equal.
    fn merge(&mut self) {
        let mut order: Vec<u32> = (0..self.begins.len() as u32).collect();
        order.sort_unstable_by_key(|&i| (self.window(i as usize).0, i));
        self.of_words = vec![0; order.len()];
        let mut count = 0;
        for k in 0..order.len() {
            let window = self.window(order[k] as usize).0;
            if k == 0 || self.window(order[count - 1] as usize).0 != window {
                order[count] = order[k];
                count += 1;
            }
            self.of_words[order[k] as usize] = count as u32 - 1;
        }
        order.truncate(count);
        order.iter_mut().for_each(|i| *i = self.begins[*i as usize]);
        self.begins = order;
    }

    /// The number of different windows.
    pub fn len(&self) -> usize {
        self.begins.len()
    }

    /// The number of words.
    pub fn words(&self) -> usize {
        if self.starts.is_empty() { self.of_words.len() } else { self.starts.len() - 1 }
    }

    /// The windows of a word, as indices for [`WordWindows::window`].
    pub fn of_word(&self, word: usize) -> &[u32] {
        match self.starts.get(word..word + 2) {
            Some(range) => &self.of_words[range[0] as usize..range[1] as usize],
            None => &self.of_words[word..word + 1],
        }
    }

    /// A window's inputs followed by its last target; and its first input whose next token is scored.
    pub fn window(&self, i: usize) -> (Tokens<'_>, usize) {
        let Range { start, end } = self.inputs(i);
        let tokens = self.split.tokens_with_start();
        (tokens.slice(start..end + 1), self.scored_from(tokens, start))
    }

    /// Where a window's inputs are in `split.tokens_with_start()`.
    pub fn inputs(&self, i: usize) -> Range<usize> {
        let (start, tokens) = (self.begins[i] as usize, self.split.tokens_with_start());
        let most = self.context.min(tokens.len() - start - 1);
        let inside = tokens.slice(start + 1..start + most).iter().position(|token| token == self.boundary);
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
        let [longest, ..] = self.max_inputs();
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
        let is_trie = self.max_windows() == 1;
        if is_trie {
            sequences.sort_by_key(|word| &tokens[word.clone()]);
            sequences.dedup_by(|a, b| tokens[a.clone()] == tokens[b.clone()]);
        }
        let all = sequences.into_iter().map(|range| Sequence { first, range }).collect();
        let (tokens, reading) = (tokens.to_vec(), Reading::Sequences { all, is_trie });
        (TeacherInputs { tokens, reading, numbers: of_targets, count: count as usize }, numbers)
    }

    /// The number of targets of all words.
    pub fn targets(&self) -> usize {
        self.split.tokens().len()
    }

    /// The most windows of a word.
    pub fn max_windows(&self) -> usize {
        (0..self.words()).map(|word| self.of_word(word).len()).max().unwrap_or(0)
    }

    /// The number of inputs: the most of a window, the most of a word's windows together, and of all windows.
    pub fn max_inputs(&self) -> [usize; 3] {
        let inputs = |i: usize| self.inputs(i).len();
        let of_word = |word| self.of_word(word).iter().map(|&i| inputs(i as usize)).sum();
        let of_words = (0..self.words()).map(of_word).max().unwrap_or(0);
        [(0..self.len()).map(inputs).max().unwrap_or(0), of_words, (0..self.len()).map(inputs).sum()]
    }
}
