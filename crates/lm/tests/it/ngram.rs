//! N-gram models against plain counting, and evaluation against the plain sum.

use std::collections::BTreeMap;

use charloom::config::{ModelConfig, Smoothing};
use charloom::data::Corpus;
use charloom::data::Examples;
use charloom::data::Vocab;
use charloom::data::{DataConfig, Mode};
use charloom::data::{Split, Splits};
use charloom::evaluation::{Evaluation, baselines, evaluate};
use charloom::files::{Metric, RunFolder, model_file};
use charloom::models::{Counts, LanguageModel, NGram, NGramSettings, Reach, Reader, State, count, open};
use charloom::train::save_counted;
use charloom::{Checkpoint, Config};
use charloom_testkit::{assert_close, shared_data};
use proptest::prelude::*;

fn split(bytes: &str, mode: Mode) -> (Vocab, Split) {
    let config = DataConfig { mode: Some(mode), ..DataConfig::default() };
    let corpus = Corpus::from_bytes("here", bytes.as_bytes(), &config).expect("a corpus");
    let vocab = Vocab::of(mode, [&corpus]);
    let split = Split::of(&corpus, &vocab).expect("a split");
    (vocab, split)
}

fn splits(name: &str) -> (Vocab, Splits) {
    let config = DataConfig::default();
    let corpus = Corpus::read(shared_data(name), &config).expect("the file");
    let vocab = Vocab::of(corpus.mode(), [&corpus]);
    let splits = Splits::new(&corpus, &vocab, &config, None, None).expect("splits");
    (vocab, splits)
}

fn fit(vocab: &Vocab, split: &Split, order: usize, smoothing: Smoothing, k: f64) -> NGram {
    let examples = Examples::new(split, order - 1).expect("examples");
    NGram::fit(&examples, vocab.len(), vocab.boundary(), smoothing, k).expect("a model")
}

/// The logarithms of the probabilities after a context.
fn log_probs(model: &dyn LanguageModel, context: &[u32]) -> Vec<f32> {
    let mut row = vec![0.0; model.vocab_size()];
    let state = State { rows: 1, tokens: context.to_vec(), ..State::default() };
    model.reader().log_probs(&state, &mut row);
    row
}

/// The mean loss, read from left to right, one token at a time.
fn plain(model: &dyn LanguageModel, split: &Split) -> f64 {
    let mut losses = Vec::new();
    let mut read = |first: u32, tokens: &[u32]| {
        let mut reader = model.reader();
        let mut state = reader.start(1, first);
        let mut row = vec![0.0; model.vocab_size()];
        for &token in tokens {
            reader.log_probs(&state, &mut row);
            losses.push(-f64::from(row[token as usize]));
            reader.read(&mut state, &[token]);
        }
    };
    match split.boundary() {
        Some(boundary) => {
            split.words().for_each(|word| read(boundary, &[&word.to_vec()[..], &[boundary]].concat()))
        }
        None => read(split.tokens().at(0), &split.tokens().to_vec()[1..]),
    }
    losses.iter().sum::<f64>() / losses.len() as f64
}

fn loss(model: &dyn LanguageModel, split: &Split) -> f64 {
    evaluate(model, split).expect("a loss").expect("something is judged").loss
}

/// Add-k by counting in a loop.
fn add_k(examples: &Examples, vocab: usize, k: f64, context: &[u32], target: u32) -> f64 {
    let same = || (0..examples.len()).filter(|&i| examples.context(i).eq(context.iter().copied()));
    let count = same().filter(|&i| examples.target(i) == target).count();
    (count as f64 + k) / (same().count() as f64 + k * vocab as f64)
}

/// Modified Kneser-Ney as the paper writes it: sets of n-grams, recursion, nothing shared.
struct Naive {
    /// For each length: the n of (context, target).
    n: Vec<BTreeMap<(Vec<u32>, u32), f64>>,
    vocab: usize,
}

impl Naive {
    fn new(examples: &Examples, vocab: usize, boundary: Option<u32>) -> Self {
        let longest = examples.context_length();
        let mut n = vec![BTreeMap::new(); longest + 1];
        for i in 0..examples.len() {
            *n[longest]
                .entry((examples.context(i).collect::<Vec<u32>>(), examples.target(i)))
                .or_insert(0.0) += 1.0;
        }
        for length in (0..longest).rev() {
            let mut fewer = BTreeMap::new();
            for ((context, target), count) in &n[length + 1] {
                let shorter = context[1..].to_vec();
                let begins = shorter.first().copied().is_some_and(|first| Some(first) == boundary);
                *fewer.entry((shorter, *target)).or_insert(0.0) += if begins { *count } else { 1.0 };
            }
            n[length] = fewer;
        }
        Self { n, vocab }
    }

    fn discount(&self, length: usize, n: f64) -> f64 {
        let having = |n: f64| self.n[length].values().filter(|&&m| m == n).count() as f64;
        let y = having(1.0) / (having(1.0) + 2.0 * having(2.0));
        let d = |i: f64| i - (i + 1.0) * y * having(i + 1.0) / having(i);
        let sound = [1.0, 2.0, 3.0].into_iter().all(|i| d(i) > 0.0 && d(i) <= i);
        let i = n.min(3.0);
        if sound { d(i) } else { i / 2.0 }
    }

    fn p(&self, context: &[u32], target: u32) -> f64 {
        let length = context.len();
        let shorter = if length == 0 { 1.0 / self.vocab as f64 } else { self.p(&context[1..], target) };
        let seen = || self.n[length].iter().filter(|((c, _), _)| c == context);
        let total: f64 = seen().map(|(_, n)| n).sum();
        if total == 0.0 {
            return shorter;
        }
        let rest: f64 = seen().map(|(_, n)| self.discount(length, *n)).sum();
        let share =
            seen().find(|((_, t), _)| *t == target).map_or(0.0, |(_, n)| n - self.discount(length, *n));
        share / total + rest / total * shorter
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn smoothing_is_what_counting_in_loops_gives(
        names in proptest::collection::vec("[a-d]{1,6}", 2..30),
        order in 1usize..5,
        running: bool,
        k in 0.01f64..3.0,
    ) {
        let (vocab, split) = split(&names.join("\n"), if running { Mode::Text } else { Mode::Lines });
        let examples = Examples::new(&split, order - 1).expect("examples");
        prop_assume!(!examples.is_empty());
        let naive = Naive::new(&examples, vocab.len(), vocab.boundary());
        let counted = fit(&vocab, &split, order, Smoothing::AddK, k);
        let kneser_ney = fit(&vocab, &split, order, Smoothing::KneserNey, 0.0);
        // Contexts that occur, and one that may not.
        let strange = vec![vocab.len() as u32 - 1; order - 1];
        for context in (0..examples.len().min(40)).map(|i| examples.context(i).collect()).chain([strange]) {
            let row = log_probs(&counted, &context);
            let p: Vec<f64> = row.iter().map(|&l| f64::from(l).exp()).collect();
            let expected: Vec<f64> =
                (0..vocab.len()).map(|t| add_k(&examples, vocab.len(), k, &context, t as u32)).collect();
            assert_close(&p, &expected, 1e-5, 1e-7);
            let row = log_probs(&kneser_ney, &context);
            let p: Vec<f64> = row.iter().map(|&l| f64::from(l).exp()).collect();
            let expected: Vec<f64> = (0..vocab.len()).map(|t| naive.p(&context, t as u32)).collect();
            assert_close(&p, &expected, 1e-5, 1e-7);
            assert_close(&[p.iter().sum::<f64>()], &[1.0], 1e-5, 0.0);
        }
    }

    #[test]
    fn evaluation_is_the_plain_sum(names in proptest::collection::vec("[a-d]{1,6}", 2..30), running: bool) {
        let (vocab, split) = split(&names.join("\n"), if running { Mode::Text } else { Mode::Lines });
        prop_assume!(split.tokens().len() > 2);
        let model = fit(&vocab, &split, 3, Smoothing::KneserNey, 0.0);
        let evaluation = evaluate(&model, &split).expect("a loss").expect("something is judged");
        assert_close(&[evaluation.loss], &[plain(&model, &split)], 1e-12, 0.0);
        let scored = split.tokens().len() - usize::from(running);
        prop_assert_eq!(evaluation.examples, scored);
        let scores = model.score_split(&split, &mut |_| Ok(())).expect("scores");
        let mean = -scores.iter().map(|&score| f64::from(score)).sum::<f64>() / scored as f64;
        assert_close(&[mean], &[evaluation.loss], 1e-12, 0.0);
    }
}

/// A model whose probabilities are wrong.
struct Broken;

impl LanguageModel for Broken {
    fn vocab_size(&self) -> usize {
        4
    }
    fn reach(&self) -> Reach {
        Reach::AtMost(0)
    }
    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(Broken)
    }
}

impl Reader for Broken {
    fn start(&mut self, n: usize, _: u32) -> State {
        State { rows: n, ..State::default() }
    }
    fn read(&mut self, _: &mut State, _: &[u32]) {}
    fn log_probs(&mut self, _: &State, out: &mut [f32]) {
        out.fill(f32::NAN);
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let (_, words) = split("emma", Mode::Lines);
    assert!(evaluate(&Broken, &words).expect_err("refused").to_string().contains("not a number"));
    let (vocab, text) = split("emma", Mode::Text);
    let none = Examples::new(&text, 4).expect("examples");
    let error = NGram::fit(&none, 4, None, Smoothing::KneserNey, 0.0).expect_err("refused");
    assert!(error.to_string().contains("no examples"));
    // Nothing is judged in a text of one character, nor in none.
    let (_, one) = split("a", Mode::Text);
    let model = fit(&vocab, &text, 2, Smoothing::KneserNey, 0.0);
    assert_eq!(evaluate(&model, &one).expect("no loss"), None);
}

#[test]
fn settings_out_of_range_are_refused() {
    let (vocab, split) = split("emma\nava", Mode::Lines);
    let fit = |t, smoothing, k| {
        let examples = Examples::new(&split, t).expect("examples");
        NGram::fit(&examples, vocab.len(), Some(0), smoothing, k).map(|model| model.order())
    };
    assert_eq!(fit(11, Smoothing::KneserNey, 0.0).expect("a model"), 12);
    assert!(fit(12, Smoothing::KneserNey, 0.0).expect_err("refused").to_string().contains("from 1 to 12"));
    for k in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = fit(1, Smoothing::AddK, k).expect_err("refused");
        assert!(matches!(refused, charloom::Error::Setting { key, .. } if key == "k"));
    }
}

#[test]
fn counts_are_the_whole_model() {
    let (vocab, split) = split("emma\nava\nmia", Mode::Lines);
    let model = fit(&vocab, &split, 3, Smoothing::KneserNey, 0.0);
    let again = |counts| NGram::from_counts(3, vocab.len(), Some(0), counts, Smoothing::KneserNey, 0.0);
    let copy = again(model.counts()).expect("a model");
    assert_eq!(loss(&copy, &split), loss(&model, &split));
    let bad = |change: fn(&mut Counts)| {
        let mut counts = model.counts();
        change(&mut counts);
        again(counts).is_err()
    };
    assert!(bad(|counts| counts.grams[0] = 99));
    assert!(bad(|counts| counts.counts[0] = 0));
    assert!(bad(|counts| counts.counts.truncate(1)));
    assert!(bad(|counts| *counts = Counts::default()));
}

#[test]
fn a_checkpoint_holds_the_model() {
    let (vocab, split) = split("emma\nava\nmia", Mode::Lines);
    let model = fit(&vocab, &split, 3, Smoothing::AddK, 0.5);
    let config = NGramSettings { order: 3, smoothing: Smoothing::AddK, k: 0.5 };
    let tensors = model.tensors();
    let copy = NGram::from_tensors(&config, &vocab, &tensors).expect("a model");
    assert_eq!(loss(&copy, &split), loss(&model, &split));
    assert!(NGram::from_tensors(&config, &vocab, &tensors[..1]).is_err());
    let other = NGramSettings { order: 2, ..config };
    assert!(NGram::from_tensors(&other, &vocab, &tensors).is_err());
}

#[test]
fn a_run_holds_the_model_and_its_losses() {
    let home = tempfile::tempdir().expect("a folder");
    // Of one word nothing is left to validate on.
    for (words, splits) in
        [("emma\n", &["train"][..]), ("emma\nava\nmia\nnoa\nole\nida\n", &["train", "val"])]
    {
        let path = home.path().join("words");
        std::fs::write(&path, words).expect("written");
        let mut config = Config::default();
        config.data.path = Some(path);
        config.model = ModelConfig::of("ngram").with("order", 2);
        let data = charloom::load_data(&mut config).expect("data");
        let (model, tensors) = count(&config, &data).expect("a model");
        let mut run = RunFolder::create_next(home.path(), "run").expect("a folder");
        save_counted((&*model, tensors), &config, &data, &mut run).expect("saved");
        let metrics = Metric::read_all(run.path()).expect("metrics");
        assert_eq!(metrics.iter().map(|metric| metric.split.as_str()).collect::<Vec<_>>(), splits);
        let file = model_file(run.path()).expect("a model file");
        let back = open(&Checkpoint::read(&file).expect("read"), &file).expect("a model");
        assert_eq!(loss(&*back, &data.splits.train), metrics[0].loss);
    }
}

#[test]
fn several_splits_add_up() {
    let all = Evaluation::of_all(&[Evaluation::new(1.0, 3), Evaluation::new(2.0, 1)]);
    assert_eq!((all.loss, all.examples), (1.25, 4));
    assert_close(&[all.bits_per_char, all.perplexity], &[1.25 / 2.0f64.ln(), 1.25f64.exp()], 1e-15, 0.0);
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn names_give_the_known_losses() {
    let (vocab, splits) = splits("names.txt");
    let model = fit(&vocab, &splits.train, 5, Smoothing::KneserNey, 0.0);
    let of_test = loss(&model, &splits.test);
    assert!((1.985..=1.995).contains(&of_test), "{of_test}");
    let baselines = baselines(&splits.train, &splits.test, vocab.len()).expect("losses").expect("baselines");
    let bigram = fit(&vocab, &splits.train, 2, Smoothing::AddK, 1.0);
    assert_close(&[baselines.uniform], &[27.0f64.ln()], 1e-15, 0.0);
    // A model's own logarithms are of 32 bits.
    assert_close(&[baselines.bigram], &[loss(&bigram, &splits.test)], 1e-7, 0.0);
    assert!(baselines.bigram < baselines.unigram && baselines.unigram < baselines.uniform);

    // The bigram of the lectures, on all names at once: one added to each count, computed in torch in f64.
    let file = shared_data("names.txt");
    let (vocab, all) = split(&std::fs::read_to_string(file).expect("text"), Mode::Lines);
    let bigram = fit(&vocab, &all, 2, Smoothing::AddK, 1.0);
    assert_close(&[loss(&bigram, &all)], &[2.454576820116076], 1e-7, 0.0);
}

#[test]
#[ignore = "reads tinyshakespeare.txt, which is no part of the repository, in ../shared/data"]
fn tiny_shakespeare_is_within_the_bound() {
    let (vocab, splits) = splits("tinyshakespeare.txt");
    let model = fit(&vocab, &splits.train, 7, Smoothing::KneserNey, 0.0);
    let of_val = loss(&model, &splits.val);
    assert!((1.45..=1.57).contains(&of_val), "{of_val}");
}
