use super::*;
use crate::Config;
use crate::config::{ModelConfig, Settings};
use crate::data::{Data, DataConfig};
use crate::models::{Kind, Neural, count};
use crate::sample::{SampleOptions, Sampler};
use charloom_tensor::rng::TorchGenerator;

pub(super) fn data() -> Data {
    let path = Some(charloom_testkit::fixture_path("data/words.txt"));
    Data::load(&DataConfig { path, ..DataConfig::default() }, None).unwrap()
}

pub(super) fn ngram(order: usize, data: &Data) -> Box<dyn LanguageModel> {
    let config = Config { model: ModelConfig::of("ngram").with("order", order), ..Config::default() };
    count(&config, data).unwrap().0
}

pub(super) fn mlp(seed: u64, data: &Data) -> Box<dyn LanguageModel> {
    let config = Config { model: ModelConfig::of("mlp").with("hidden", vec![24]), ..Config::default() };
    Box::new(Neural::new(&config, data.vocab.len(), &mut TorchGenerator::new(seed)).unwrap())
}

#[test]
fn its_probabilities_are_the_weighed_means_and_sum_to_1() {
    let data = data();
    let inner = Mixture::new(vec![(0.25, mlp(2, &data)), (0.75, ngram(2, &data))]);
    let weights = [0.5, 0.2, 0.3];
    let mixture = Mixture::new(vec![(0.5, mlp(1, &data)), (0.2, ngram(4, &data)), (0.3, Box::new(inner))]);
    let vocab = data.vocab.len();
    let mut reader = mixture.reader();
    let (mut state, mut known) = (reader.start(3, 0), Distributions::default());
    let tokens = data.splits.val.tokens().to_vec();
    for step in tokens.windows(3).take(300) {
        let mut all = vec![0.0; 3 * vocab];
        reader.log_probs(&state, &mut all);
        reader.distributions(&state, vocab, &mut known);
        for row in 0..3 {
            let own = &all[row * vocab..][..vocab];
            assert_eq!(own, known.log_probs(known.rows()[row]), "the memo's are the same");
            let sum: f64 = own.iter().map(|&p| f64::from(p).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
        let of_members: Vec<Vec<f32>> = mixture
            .members()
            .iter()
            .zip(&state.members)
            .map(|(member, state)| {
                let mut out = vec![0.0; 3 * vocab];
                member.reader().log_probs(state, &mut out);
                out
            })
            .collect();
        for (at, &mixed) in all.iter().enumerate() {
            let mean: f64 = (0..3).map(|i| weights[i] * f64::from(of_members[i][at]).exp()).sum();
            assert!((f64::from(mixed).exp() - mean).abs() < 1e-7, "{mixed} is the logarithm of {mean}");
        }
        reader.read(&mut state, step);
        if step[0] == 0 {
            state = state.select(&[2, 0, 1]);
        }
    }
}

#[test]
fn splits_are_scored_as_they_are_read_and_samples_do_not_depend_on_the_memo() {
    let data = data();
    let mixture = Mixture::new(vec![(0.6, mlp(1, &data)), (0.4, ngram(4, &data))]);
    let scores = mixture.score_split(&data.splits.val, &mut |_| Ok(())).unwrap();
    let read = super::super::score::score_split(
        &mut *mixture.reader(),
        data.vocab.len(),
        &data.splits.val,
        &mut |_| Ok(()),
    );
    assert_eq!(scores, read.unwrap());
    let texts = |n| {
        let options = SampleOptions { n, ..SampleOptions::default() };
        let all = Sampler::new(&mixture, &data.vocab, options, None).unwrap();
        all.map(|sample| sample.unwrap().text).collect::<Vec<_>>()
    };
    assert_eq!(texts(3), texts(500)[..3]);
}

#[test]
fn a_weight_of_0_and_impossible_characters_do_no_harm() {
    let terms = |terms: &[f64]| log_sum_exp(terms.iter().copied());
    assert_eq!(terms(&[f64::NEG_INFINITY, -3.0]), -3.0);
    assert_eq!(terms(&[f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
    assert!((terms(&[-2000.0, -2000.0]) - (-2000.0 + 2f64.ln())).abs() < 1e-9);
    assert!(terms(&[f64::NAN, -1.0]).is_nan() && terms(&[f64::NAN; 2]).is_nan());
}

#[test]
fn fitted_weights_never_lose_likelihood_and_end_at_the_largest() {
    let data = data();
    let members = [mlp(1, &data), ngram(2, &data), ngram(4, &data)];
    let scores = members.iter().map(|member| member.score_split(&data.splits.val, &mut |_| Ok(())).unwrap());
    let scores: Vec<Vec<f32>> = scores.collect();
    let FittedWeights { weights, log_likelihoods } = fit_weights(&scores);
    assert!(log_likelihoods.len() > 3 && log_likelihoods.windows(2).all(|pair| pair[1] >= pair[0] - 1e-12));
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{weights:?}");
    let mean = |weights: &[f64]| {
        let of = |at: usize| -> f64 {
            (0..3).map(|i| weights[i] * f64::from(scores[i][at]).exp()).sum::<f64>().ln()
        };
        (0..scores[0].len()).map(of).sum::<f64>() / scores[0].len() as f64
    };
    let best = mean(&weights);
    assert!((best - log_likelihoods.last().unwrap()).abs() < 1e-8);
    for (from, to) in [(0, 1), (1, 2), (2, 1), (1, 0), (2, 0), (0, 2)] {
        let mut other = weights.clone();
        let moved = other[from].min(1e-3);
        (other[from], other[to]) = (other[from] - moved, other[to] + moved);
        assert!(mean(&other) <= best + 1e-8, "moving {moved} from {from} to {to} is better");
    }
}

fn refusal(model: &ModelConfig) -> String {
    super::super::check(model).expect_err("refused").to_string()
}

fn mixture_of(members: Vec<(f64, ModelConfig)>) -> ModelConfig {
    pool_of(
        OpinionPool::Mean,
        members.into_iter().map(|(weight, model)| (weight, Vec::new(), model)).collect(),
    )
}

fn pool_of(pool: OpinionPool, members: Vec<(f64, Vec<f64>, ModelConfig)>) -> ModelConfig {
    let member = |(weight, by_entropy, model)| Member { weight, by_entropy, model, train: None };
    let mut model = ModelConfig::of("mixture");
    model.write(&MixtureSettings { pool, members: members.into_iter().map(member).collect() }).unwrap();
    model
}

#[test]
fn what_a_configuration_may_claim_is_limited() {
    let leaf = || ModelConfig::of("ngram");
    assert_eq!(MixtureKind.settings()[0].key, MixtureSettings::SETTINGS[0].key);
    let product = |weight: f64, by_entropy: Vec<f64>| {
        pool_of(OpinionPool::Product, vec![(weight, by_entropy, leaf()), (1.0, vec![0.0; 2], leaf())])
    };
    assert!(crate::models::check(&product(-0.3, vec![0.2, -0.1])).is_ok());
    assert!(
        refusal(&product(0.5, vec![0.2])).contains("member 0: ``by_entropy`` has 1 numbers for 2 members")
    );
    for (weight, b) in [(f64::NAN, 0.0), (0.5, f64::INFINITY), (2e3, 0.0), (0.5, -1e9)] {
        assert!(refusal(&product(weight, vec![0.0, b])).contains("not from -1000 to 1000"));
    }
    let mean = pool_of(OpinionPool::Mean, vec![(1.0, vec![0.1], leaf())]);
    assert!(refusal(&mean).contains("a mean knows no ``by_entropy``"));
    assert!(refusal(&mixture_of(vec![])).contains("charloom mix"));
    assert!(refusal(&mixture_of(vec![(0.5, leaf()), (0.6, leaf())])).contains("1.1, not 1"));
    assert!(refusal(&mixture_of(vec![(f64::NAN, leaf())])).contains("NaN"));
    assert!(
        refusal(&mixture_of(vec![(-0.5, leaf()), (1.5, leaf())]))
            .contains("member 0: the weight -0.5 is not")
    );
    let said = refusal(&mixture_of(vec![(1.0, leaf().with("order", 99))]));
    assert!(said.starts_with("``model.members.0.order`` 99"), "{said}");
    assert!(refusal(&mixture_of(vec![(1.0, ModelConfig::of("nrgam"))])).contains("did you mean \"ngram\"?"));
    let many = |n: usize| mixture_of(vec![(1.0 / n as f64, leaf()); n]);
    assert!(crate::models::check(&many(64)).is_ok());
    assert!(refusal(&many(65)).contains("more than 64"));
    assert!(refusal(&mixture_of(vec![(0.5, many(32)), (0.5, many(32))])).contains("more than 64"));
    let deep = |depth: usize| (0..depth).fold(leaf(), |model, _| mixture_of(vec![(1.0, model)]));
    assert!(crate::models::check(&deep(4)).is_ok());
    assert!(refusal(&deep(5)).contains("4 deep"));
    // A file written by hand may be nested deeper than any stack allows.
    for text in ["model.members.".repeat(100_000) + "x = 1", format!("model.a = {}", "[".repeat(100_000))] {
        assert!(Config::from_toml(&text, "deep.toml".as_ref()).is_err());
    }
    let keys = format!("[model]\nkind = 'mixture'\na{} = 1", ".a".repeat(200_000));
    let config = Config::from_toml(&keys, "deep.toml".as_ref());
    assert!(config.is_err_and(|error| !error.to_string().contains('\n')));
}
