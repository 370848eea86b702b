//! Compares with `fixtures/rng.json`, and tests charloom's own generators.

use charloom_testkit::{assert_close, fixture, shared_data};
use serde::Deserialize;

use super::{GeneratorState, InvalidState, PythonRandom, StreamRng, TorchGenerator};

#[derive(Deserialize)]
struct Fixture {
    torch: Vec<TorchCase>,
    python: Vec<PythonCase>,
}

#[derive(Deserialize)]
struct TorchCase {
    seed: u64,
    randn_100001_sum_of_bits: i64,
    rand_f32: Vec<f32>,
    rand_f64: Vec<f64>,
    uniform: Vec<f32>,
    randn_sizes: Vec<usize>,
    randn_f32: Vec<Vec<f32>>,
    randn_f64: Vec<Vec<f64>>,
    randint: Vec<Integers>,
    randint_2000_sum: u64,
    randint_after_2000: Vec<u32>,
    randperm: Vec<Vec<u32>>,
    probs: Vec<f32>,
    multinomial: Vec<usize>,
    multinomial_exponential: Vec<usize>,
}

#[derive(Deserialize)]
struct Integers {
    low: i64,
    high: i64,
    values: Vec<i64>,
}

#[derive(Deserialize)]
struct PythonCase {
    seed: u64,
    random: Vec<f64>,
    uniform: Vec<f64>,
    bits: Vec<(u32, u64)>,
    below: Vec<(u64, u64)>,
    shuffle: Vec<usize>,
}

fn torch_cases() -> impl Iterator<Item = (TorchGenerator, TorchCase)> {
    let cases = fixture::<Fixture>("rng.json").torch;
    assert!(!cases.is_empty());
    cases.into_iter().map(|case| (TorchGenerator::new(case.seed), case))
}

#[test]
fn uniforms_are_torchs() {
    for (g, case) in torch_cases() {
        let mut all = vec![0.0; case.rand_f32.len()];
        g.clone().rand(&mut all);
        assert_eq!(all, case.rand_f32);
        let mut one_by_one = g.clone();
        assert!(case.rand_f32.iter().all(|&x| one_by_one.rand_f32() == x));
        let mut doubles = g.clone();
        assert!(case.rand_f64.iter().all(|&x| doubles.rand_f64() == x));
        let bound = 0.182_574_18;
        let mut between = vec![0.0; case.uniform.len()];
        g.clone().uniform(-bound, bound, &mut between);
        assert_eq!(between, case.uniform);
    }
}

#[test]
fn normals_are_torchs() {
    for (g, case) in torch_cases() {
        let (mut singles, mut doubles) = (g.clone(), g.clone());
        for (i, &n) in case.randn_sizes.iter().enumerate() {
            let mut single = vec![0.0f32; n];
            singles.randn_f32(&mut single);
            assert_eq!(single, case.randn_f32[i], "seed {}, {n} normals", case.seed);
            let mut double = vec![0.0f64; n];
            doubles.randn_f64(&mut double);
            assert_close(&double, &case.randn_f64[i], 1e-14, 1e-15);
        }
        let mut many = vec![0.0f32; 100_001];
        g.clone().randn_f32(&mut many);
        let sum: i64 = many.iter().map(|x| i64::from(x.to_bits() as i32)).sum();
        assert_eq!(sum, case.randn_100001_sum_of_bits);
    }
}

#[test]
fn integers_are_torchs() {
    for (g, case) in torch_cases() {
        for Integers { low, high, values } in &case.randint {
            let mut one_by_one = g.clone();
            assert!(values.iter().all(|&x| one_by_one.randint(*low, *high) == x), "{low}..{high}");
            if let (0, Ok(high)) = (*low, u32::try_from(*high)) {
                let mut bulk = vec![0; values.len()];
                g.clone().randint_into(high, &mut bulk);
                assert!(values.iter().zip(&bulk).all(|(&x, &y)| x == i64::from(y)), "0..{high}");
            }
        }
        let mut bulk = g.clone();
        let mut many = vec![0; 2000];
        bulk.randint_into(100, &mut many);
        assert_eq!(many.iter().map(|&x| u64::from(x)).sum::<u64>(), case.randint_2000_sum);
        let mut after = vec![0; case.randint_after_2000.len()];
        bulk.randint_into(100, &mut after);
        assert_eq!(after, case.randint_after_2000);
        for permutation in &case.randperm {
            assert_eq!(g.clone().randperm(permutation.len() as u32), *permutation);
        }
    }
}

#[test]
fn bulk_remainders_are_exact() {
    let mut plain = TorchGenerator::new(7);
    let mut bulk = plain.clone();
    for high in [1, 2, 3, 27, 32033, 182_625, 1_000_003, (1 << 28) - 1] {
        let mut out = [0; 1000];
        bulk.randint_into(high, &mut out);
        assert!(out.iter().all(|&x| x == plain.random32() % high), "modulo {high}");
    }
}

#[test]
fn categories_are_torchs() {
    for (g, case) in torch_cases() {
        let mut cumulative = g.clone();
        assert!(case.multinomial.iter().all(|&x| cumulative.multinomial_cumulative(&case.probs) == x));
        let mut exponential = g.clone();
        let exact = case.multinomial_exponential.iter();
        assert!(exact.into_iter().all(|&x| exponential.multinomial_exponential(&case.probs) == x));
    }
}

#[derive(Deserialize)]
struct Multinomial {
    cases: Vec<MultinomialCase>,
    exponentials: Exponentials,
}

#[derive(Deserialize)]
struct MultinomialCase {
    kind: String,
    seed: u64,
    /// As bits.
    probs: Vec<u32>,
    exponential: Vec<usize>,
    exponential_after: [u32; 4],
    cumulative: Vec<usize>,
    cumulative_after: [u32; 4],
}

#[derive(Deserialize)]
struct Exponentials {
    seed: u64,
    n: usize,
    /// The bits of the first numbers.
    first: Vec<u32>,
    sum_of_bits: u64,
}

/// The generator's next four numbers modulo 2^27, which identify its state.
fn position(g: &TorchGenerator) -> [u32; 4] {
    let mut next = [0; 4];
    g.clone().randint_into(1 << 27, &mut next);
    next
}

#[test]
fn both_rules_of_multinomial_are_torchs() {
    let Multinomial { cases, exponentials } = fixture("notebooks/multinomial.json");
    assert!(cases.len() > 20);
    for case in cases {
        let name = format!("{} of {}, seed {}", case.kind, case.probs.len(), case.seed);
        let probs: Vec<f32> = case.probs.iter().map(|&bits| f32::from_bits(bits)).collect();
        let mut g = TorchGenerator::new(case.seed);
        let drawn: Vec<usize> = case.exponential.iter().map(|_| g.multinomial_exponential(&probs)).collect();
        assert_eq!(drawn, case.exponential, "exponential rule, {name}");
        assert_eq!(position(&g), case.exponential_after, "after the exponential rule, {name}");
        let mut g = TorchGenerator::new(case.seed);
        let drawn: Vec<usize> = case.cumulative.iter().map(|_| g.multinomial_cumulative(&probs)).collect();
        assert_eq!(drawn, case.cumulative, "cumulative rule, {name}");
        assert_eq!(position(&g), case.cumulative_after, "after the cumulative rule, {name}");
    }
    let mut g = TorchGenerator::new(exponentials.seed);
    let bits: Vec<u32> = (0..exponentials.n).map(|_| g.exponential_f32().to_bits()).collect();
    assert_eq!(bits[..exponentials.first.len()], exponentials.first);
    assert_eq!(bits.iter().map(|&x| u64::from(x)).sum::<u64>(), exponentials.sum_of_bits);
}

#[derive(Deserialize)]
struct DeepNet {
    words: [u32; 3],
    examples: [u32; 3],
    first_batch: Vec<u32>,
    position_after: Positions,
}

#[derive(Deserialize)]
struct Positions {
    split: [u32; 4],
    parameters: [u32; 4],
    training: [u32; 4],
}

/// The deep net of notebook 000: split, parameters in torch's order, and 50,000 batches from one generator.
#[test]
fn one_generator_draws_a_whole_notebook() {
    let DeepNet { words, examples, first_batch, position_after } = fixture("notebooks/deep.json");
    let mut g = TorchGenerator::new(101);
    g.randperm(words.iter().sum());
    assert_eq!(position(&g), position_after.split);
    g.randn_f32(&mut [0.0; 27 * 10]);
    let mut linear = |inputs: usize, outputs: usize| {
        let bound = 1.0 / (inputs as f32).sqrt();
        g.uniform(-bound, bound, &mut vec![0.0; inputs * outputs]);
    };
    linear(80, 200);
    (1..6).for_each(|_| linear(200, 200));
    linear(200, 27);
    linear(1, 27);
    assert_eq!(position(&g), position_after.parameters);
    let mut batch = vec![0; first_batch.len()];
    g.randint_into(examples[0], &mut batch);
    assert_eq!(batch, first_batch);
    (1..50_000).for_each(|_| g.randint_into(examples[0], &mut batch));
    assert_eq!(position(&g), position_after.training);
}

#[test]
fn a_state_goes_on_bit_for_bit() {
    let mut g = TorchGenerator::new(42);
    // An odd count below 16 leaves a second normal behind; the positions cover both ends of a block.
    for skip in [0, 1, 3, 620, 624, 5] {
        for _ in 0..skip {
            g.random32();
        }
        g.randn_f32(&mut [0.0; 3]);
        let mut resumed = TorchGenerator::from_state(&g.state()).unwrap();
        assert_eq!(resumed, g);
        let (mut a, mut b) = ([0.0; 5], [0.0; 5]);
        g.randn_f64(&mut a);
        resumed.randn_f64(&mut b);
        assert_eq!(a, b);
        assert_eq!(resumed.random64(), g.random64());
        resumed.random32();
        assert_ne!(resumed, g);
    }
}

#[test]
fn invalid_states_are_refused() {
    let good = TorchGenerator::new(1).state();
    let refused = |change: fn(&mut GeneratorState)| {
        let mut state = good.clone();
        change(&mut state);
        TorchGenerator::from_state(&state).unwrap_err()
    };
    assert_eq!(refused(|s| s.words.truncate(10)), InvalidState::Length(10));
    assert_eq!(refused(|s| s.position = 625), InvalidState::Position(625));
    assert_eq!(refused(|s| s.words[1..].fill(0)), InvalidState::Zero);
    assert!(matches!(refused(|s| s.next_normal = Some(f64::NAN)), InvalidState::Normal(_)));
}

#[test]
fn python_draws_are_pythons() {
    for case in fixture::<Fixture>("rng.json").python {
        let g = PythonRandom::new(case.seed);
        let (mut random, mut uniform, mut bits, mut below) = (g.clone(), g.clone(), g.clone(), g.clone());
        assert!(case.random.iter().all(|&x| random.random() == x));
        assert!(case.uniform.iter().all(|&x| uniform.uniform(-1.0, 1.0) == x));
        assert!(case.bits.iter().all(|&(k, x)| bits.getrandbits(k) == x));
        assert!(case.below.iter().all(|&(n, x)| below.randbelow(n) == x));
        let mut items: Vec<usize> = (0..case.shuffle.len()).collect();
        g.clone().shuffle(&mut items);
        assert_eq!(items, case.shuffle);
    }
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn names_are_shuffled_as_in_the_notebooks() {
    let path = shared_data("names.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut names: Vec<&str> = text.lines().collect();
    PythonRandom::new(42).shuffle(&mut names);
    assert_eq!(names[..4], ["yuheng", "diondre", "xavien", "jori"]);
}

/// These numbers are charloom's own and never change.
#[test]
fn stream_numbers_stay() {
    let draw = |seed, i| {
        let mut g = StreamRng::new(seed, i);
        [g.next_u64(), g.next_u64(), g.next_u64()]
    };
    assert_eq!(draw(0, 0), [0xfeb4_8c6e_8d14_c16b, 0x48d3_5221_9945_0d65, 0x3d33_7a61_887d_ab97]);
    assert_eq!(draw(42, 0), [0xeac6_ce13_a2a0_7ede, 0x2830_7e38_b243_a844, 0xb48b_1465_79f8_8943]);
    assert_eq!(draw(42, 1), [0xa202_fc3d_19ae_8728, 0x5c25_ecef_2fe4_4b2d, 0xbb88_5517_6a68_5b6c]);
    assert_eq!(
        draw(u64::MAX, u64::MAX),
        [0x9b8b_9aa1_acca_63c3, 0xaca8_63df_70ee_418d, 0x6bb6_517b_e74f_4c59]
    );
}

#[test]
fn streams_are_uniform_and_unlike_each_other() {
    const WORDS: u64 = 20_000;
    let mut counts = [[0u32; 10]; 3];
    let mut firsts = std::collections::HashSet::new();
    let mut covariance = 0.0;
    let mut last = 0.5;
    for i in 0..WORDS {
        let mut g = StreamRng::new(42, i);
        firsts.insert(g.clone().next_u64());
        for count in &mut counts {
            let u = g.uniform_f64();
            count[(u * 10.0) as usize] += 1;
        }
        let u = StreamRng::new(42, i).uniform_f64();
        covariance += (u - 0.5) * (last - 0.5);
        last = u;
    }
    assert_eq!(firsts.len() as u64, WORDS);
    // Chi-squared with 9 degrees of freedom is above 33.7 in only one case of ten thousand.
    for count in counts {
        let expected = WORDS as f64 / 10.0;
        let chi2: f64 = count.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
        assert!(chi2 < 33.7, "{count:?}");
    }
    // Neighbours: the mean of products of centred uniforms has a standard deviation of 1/12/sqrt(n).
    assert!((covariance / WORDS as f64).abs() < 4.0 / 12.0 / (WORDS as f64).sqrt());
}
