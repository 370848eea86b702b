//! Sampling against exact probabilities, and scoring.

use std::collections::{HashMap, HashSet};

use charloom::config::{RandomStream, Smoothing};
use charloom::data::{Corpus, Data, DataConfig, Mode, Split, Tokens, Vocab};
use charloom::evaluation::{evaluate, score};
use charloom::models::{LanguageModel, NGram, Reach, Reader, State};
use charloom::sample::{KnownWords, Novelty, Sample, SampleOptions, Sampler};
use charloom_tensor::rng::TorchGenerator;
use charloom_testkit::{assert_close, shared_data};

fn bigram(bytes: &str, mode: Mode, k: f64) -> (Vocab, NGram) {
    let config = DataConfig { mode: Some(mode), ..DataConfig::default() };
    let corpus = Corpus::from_bytes("here", bytes.as_bytes(), &config).expect("a corpus");
    let vocab = Vocab::of(mode, [&corpus]);
    let examples = Split::of(&corpus, &vocab).expect("a split").examples(1).expect("examples");
    let model = NGram::fit(&examples, vocab.len(), vocab.boundary(), Smoothing::AddK, k).expect("a model");
    (vocab, model)
}

fn draw(model: &dyn LanguageModel, vocab: &Vocab, options: SampleOptions) -> Vec<Sample> {
    Sampler::new(model, vocab, options, None).expect("good options").map(|s| s.expect("a sample")).collect()
}

/// The logarithms of the probabilities of what follows a token.
fn after(model: &dyn LanguageModel, token: u32) -> Vec<f32> {
    let mut row = vec![0.0; model.vocab_size()];
    let mut reader = model.reader();
    let state = reader.start(1, token);
    reader.log_probs(&state, &mut row);
    row
}

fn texts(samples: &[Sample]) -> Vec<&str> {
    samples.iter().map(|sample| sample.text.as_str()).collect()
}

/// Each first character's share of n samples, and its probability with weights p^(1/temperature), some allowed.
fn first_characters(options: &SampleOptions, allowed: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let (vocab, model) = bigram("aab\nab\nabc\nb\nca\nbca", Mode::Lines, 0.1);
    let row = after(&model, 0);
    let weights: Vec<f64> = (0..row.len())
        .map(|t| if allowed.contains(&t) { (f64::from(row[t]) / options.temperature).exp() } else { 0.0 })
        .collect();
    let total: f64 = weights.iter().sum();
    let samples = draw(&model, &vocab, options.clone());
    let mut shares = vec![0.0; vocab.len()];
    for sample in &samples {
        shares[sample.tokens.first().copied().unwrap_or(0) as usize] += 1.0 / samples.len() as f64;
    }
    (shares, weights.iter().map(|w| w / total).collect())
}

#[test]
fn characters_come_as_often_as_they_should() {
    let n = 40_000;
    // Five standard errors at most: 5 * sqrt(0.25 / n).
    let close = |options: SampleOptions, allowed: &[usize]| {
        let (shares, expected) = first_characters(&options, allowed);
        assert_close(&shares, &expected, 0.0, 0.0125);
    };
    for stream in [RandomStream::Words, RandomStream::Torch, RandomStream::TorchCdf] {
        let options = SampleOptions { n, stream, ..SampleOptions::default() };
        close(options.clone(), &[0, 1, 2, 3]);
        close(SampleOptions { temperature: 0.5, ..options.clone() }, &[0, 1, 2, 3]);
        close(SampleOptions { temperature: 3.0, ..options.clone() }, &[0, 1, 2, 3]);
        close(SampleOptions { min_length: 1, ..options.clone() }, &[1, 2, 3]);
        // Words begin with a (3), b (2), c (1), and end at once never: a is 0.484 likely, b 0.328.
        close(SampleOptions { top_k: 2, ..options.clone() }, &[1, 2]);
        close(SampleOptions { top_p: 0.48, ..options.clone() }, &[1]);
        close(SampleOptions { top_p: 0.5, ..options }, &[1, 2]);
    }
}

#[test]
fn more_words_only_extend_the_list() {
    let (vocab, model) = bigram("emma\nolivia\nava\nmia\nnoa", Mode::Lines, 0.1);
    let draw = |n, seed| draw(&model, &vocab, SampleOptions { n, seed, ..SampleOptions::default() });
    let many = draw(3000, 1);
    assert_eq!(draw(7, 1), many[..7]);
    assert_eq!(draw(1500, 1), many[..1500]);
    assert_ne!(draw(7, 2), many[..7]);
    assert_eq!(many.len(), 3000);
    // The first come soon: not many are drawn beside them.
    let options = SampleOptions { n: 3000, ..SampleOptions::default() };
    let mut sampler = Sampler::new(&model, &vocab, options, None).unwrap();
    assert!(sampler.next().unwrap().is_ok() && sampler.tried() < 100);
}

#[test]
fn the_torch_stream_is_a_notebooks_loop() {
    let (vocab, model) = bigram("emma\nolivia\nava\nmia\nnoa", Mode::Lines, 0.1);
    type Rule = fn(&mut TorchGenerator, &[f32]) -> usize;
    let rules: [(RandomStream, Rule); 2] = [
        (RandomStream::Torch, TorchGenerator::multinomial_exponential),
        (RandomStream::TorchCdf, TorchGenerator::multinomial_cumulative),
    ];
    for (stream, rule) in rules {
        let options = SampleOptions { n: 20, seed: 2_147_483_657, stream, ..SampleOptions::default() };
        let samples = draw(&model, &vocab, options);
        let mut generator = TorchGenerator::new(2_147_483_657);
        for sample in samples {
            let mut word = Vec::new();
            loop {
                let row = after(&model, word.last().copied().unwrap_or(0));
                let p: Vec<f32> = row.iter().map(|&l| f64::from(l).exp() as f32).collect();
                match rule(&mut generator, &p) {
                    0 => break,
                    token => word.push(token as u32),
                }
            }
            assert_eq!(sample.tokens, word);
        }
    }
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn the_lectures_bigram_prints_its_words() {
    let path = shared_data("names.txt");
    let (vocab, model) = bigram(&std::fs::read_to_string(path).expect("names"), Mode::Lines, 1.0);
    let options = SampleOptions {
        n: 5,
        seed: 2_147_483_647,
        stream: RandomStream::TorchCdf,
        ..SampleOptions::default()
    };
    let samples = draw(&model, &vocab, options);
    assert_eq!(texts(&samples), ["mor", "axx", "minaymoryles", "kondlaisah", "anchshizarie"]);
}

#[test]
fn lengths_and_prefixes_are_kept() {
    let (vocab, model) = bigram("emma\nolivia\nava\nmia\nnoa", Mode::Lines, 0.1);
    let options = SampleOptions {
        n: 200,
        prefix: "mi".into(),
        min_length: 4,
        max_length: 6,
        temperature: 1.5,
        ..SampleOptions::default()
    };
    let samples = draw(&model, &vocab, options);
    assert!(samples.iter().all(|s| s.text.starts_with("mi") && (4..=6).contains(&s.text.len())));
    assert!(samples.iter().all(|s| s.truncated == (s.text.len() == 6)));
    assert!(samples.iter().any(|s| s.truncated) && samples.iter().any(|s| !s.truncated));
    let likeliest = draw(
        &model,
        &vocab,
        SampleOptions { n: 3, temperature: 0.0, max_length: 9, ..SampleOptions::default() },
    );
    assert_eq!(texts(&likeliest).iter().collect::<HashSet<_>>().len(), 1);
}

#[test]
fn a_text_has_the_length_asked_for() {
    let (vocab, model) = bigram("to be, or not to be\nthat is the question", Mode::Text, 0.1);
    let options = SampleOptions { n: 2, prefix: "to b".into(), max_length: 80, ..SampleOptions::default() };
    let samples = draw(&model, &vocab, options.clone());
    assert!(samples.iter().all(|s| s.tokens.len() == 80 && s.text.starts_with("to b") && !s.truncated));
    assert_ne!(samples[0].text, samples[1].text);
    let words = SampleOptions { unique: true, ..options };
    let refused = Sampler::new(&model, &vocab, words, None).expect_err("refused");
    assert!(matches!(refused, charloom::Error::Usage { .. }), "{refused:?}");
}

#[test]
fn news_only_and_no_end_without_any() {
    let data = Data::load(&DataConfig::default(), None).expect("names");
    let known = KnownWords::of(&data.splits);
    let examples = data.splits.train.examples(4).expect("examples");
    let model = NGram::fit(&examples, 27, Some(0), Smoothing::KneserNey, 0.0).expect("a model");
    let options = SampleOptions { n: 2000, novel: true, unique: true, ..SampleOptions::default() };
    let sampler = Sampler::new(&model, &data.vocab, options, Some(&known)).expect("good options");
    let samples: Vec<Sample> = sampler.map(|s| s.expect("a sample")).collect();
    let train: HashSet<Vec<u32>> = data.splits.train.words().map(Tokens::to_vec).collect();
    assert!(samples.iter().all(|s| !train.contains(&s.tokens[..]) && s.novelty != Some(Novelty::InTrain)));
    assert_eq!(samples.iter().map(|s| &s.text).collect::<HashSet<_>>().len(), 2000);
    assert!(samples.iter().any(|s| s.novelty == Some(Novelty::InVal)));

    let options = SampleOptions { n: u64::MAX, unique: true, temperature: 0.0, ..SampleOptions::default() };
    let mut sampler = Sampler::new(&model, &data.vocab, options, None).expect("good options");
    assert_eq!(sampler.by_ref().count(), 1);
    assert!(sampler.gave_up());
    let options = SampleOptions { n: 1_000_000_000_000, ..SampleOptions::default() };
    let endless = Sampler::new(&model, &data.vocab, options, None).expect("good options");
    assert_eq!(endless.take(3).count(), 3);
}

#[test]
fn wrong_options_are_refused() {
    let (vocab, model) = bigram("emma\nava", Mode::Lines, 0.1);
    let refused = |change: fn(&mut SampleOptions)| {
        let mut options = SampleOptions::default();
        change(&mut options);
        let error = Sampler::new(&model, &vocab, options, None).expect_err("refused");
        assert!(matches!(error, charloom::Error::Setting { .. }), "{error:?}");
        error.to_string()
    };
    assert!(refused(|o| o.temperature = f64::NAN).contains("``temperature`` NaN"));
    assert!(refused(|o| o.temperature = -1.0).contains("``temperature`` -1"));
    assert!(refused(|o| o.temperature = f64::INFINITY).contains("``temperature`` inf"));
    assert!(refused(|o| o.top_p = 0.0).contains("``top_p`` 0"));
    assert!(refused(|o| o.top_p = f64::NAN).contains("``top_p`` NaN"));
    assert!(refused(|o| o.max_length = 0).contains("``max_length`` 0 is out of range"));
    assert!(refused(|o| o.min_length = 501).contains("``max_length`` 500"));
    assert!(refused(|o| o.prefix = "ex".into()).contains("'x' (U+0078, character 2)"));
    assert!(refused(|o| o.novel = true).contains("``data``"));
}

#[test]
fn a_score_is_the_probability_that_sampling_has() {
    let (vocab, model) = bigram("emma\nolivia\nava\nmia\nnoa", Mode::Lines, 0.1);
    let samples = draw(&model, &vocab, SampleOptions { n: 1000, ..SampleOptions::default() });
    let scores = score(&model, &vocab, &texts(&samples));
    let mut sum = HashMap::new();
    for (sample, score) in samples.iter().zip(scores) {
        let score = score.expect("known characters");
        assert_close(&[score.log_prob], &[sample.log_prob], 1e-12, 0.0);
        assert_eq!(score.characters.len(), sample.tokens.len() + 1);
        assert_eq!(score.characters.last().map(|c| c.character), Some('.'));
        sum.insert(score.text, score.log_prob.exp());
    }
    let total: f64 = sum.values().sum();
    assert!(total > 0.1 && total < 1.0, "{total}");
    let unknown = score(&model, &vocab, &["ava", "max"]).pop().expect("two").expect_err("unknown");
    assert_eq!((unknown.character, unknown.position), ('x', 3));
}

#[test]
fn scores_of_all_words_are_the_evaluation() {
    let data = Data::load(&DataConfig::default(), None).expect("names");
    let train = data.splits.train.examples(2).expect("examples");
    let model = NGram::fit(&train, 27, Some(0), Smoothing::KneserNey, 0.0).expect("a model");
    let words: Vec<String> = data.splits.test.words().map(|word| data.vocab.decode(word)).collect();
    let scores = score(&model, &data.vocab, &words);
    let total: f64 = scores.iter().map(|score| score.as_ref().expect("known characters").log_prob).sum();
    let test = evaluate(&model, &data.splits.test).expect("numbers").expect("a loss");
    assert_close(&[-total / test.examples as f64], &[test.loss], 1e-10, 0.0);
}

/// A model that remembers everything: after tokens whose sum is s, token t of n has the weight 1 + (s + 3 t) mod n.
struct Sums(usize);

impl Sums {
    fn weights(&self, sum: u32) -> Vec<f64> {
        let n = self.0 as u32;
        (0..n).map(|token| f64::from(1 + (sum + 3 * token) % n)).collect()
    }

    fn log_prob(&self, sum: u32, token: u32) -> f64 {
        let weights = self.weights(sum);
        (weights[token as usize] / weights.iter().sum::<f64>()).ln()
    }
}

impl LanguageModel for Sums {
    fn vocab_size(&self) -> usize {
        self.0
    }

    fn reach(&self) -> Reach {
        Reach::Unbounded
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(SumsReader(self))
    }
}

struct SumsReader<'m>(&'m Sums);

impl Reader for SumsReader<'_> {
    fn start(&mut self, n: usize, first: u32) -> State {
        State { rows: n, tokens: vec![first; n], ..State::default() }
    }

    fn read(&mut self, state: &mut State, tokens: &[u32]) {
        assert_eq!((state.rows, state.tokens.len()), (tokens.len(), tokens.len()));
        state.tokens.iter_mut().zip(tokens).for_each(|(sum, token)| *sum += token);
    }

    fn log_probs(&mut self, state: &State, out: &mut [f32]) {
        for (row, &sum) in out.chunks_exact_mut(self.0.0).zip(&state.tokens) {
            row.iter_mut().zip(0..).for_each(|(p, token)| *p = self.0.log_prob(sum, token) as f32);
        }
    }
}

#[test]
fn a_state_stays_with_its_word_while_others_end() {
    let vocab = Vocab::new(Mode::Lines, "abcdefg".chars());
    let model = Sums(vocab.len());
    for stream in [RandomStream::Words, RandomStream::Torch, RandomStream::TorchCdf] {
        let options = SampleOptions { n: 1500, prefix: "fed".into(), stream, ..SampleOptions::default() };
        let samples = draw(&model, &vocab, options);
        let lengths: HashSet<usize> = samples.iter().map(|sample| sample.tokens.len()).collect();
        assert!(lengths.len() > 10, "{lengths:?}");
        for sample in &samples {
            let (prefix, drawn) = sample.tokens.split_at(3);
            let mut sum: u32 = prefix.iter().sum();
            let mut expected = 0.0;
            for &token in drawn.iter().chain(&[0]) {
                expected += model.log_prob(sum, token);
                sum += token;
            }
            assert_close(&[sample.log_prob], &[expected], 1e-6, 0.0);
        }
    }
}
