use super::tests::{data, mlp, ngram};
use super::*;
use crate::data::Data;
use crate::models::{Adapt, Distributions};

fn members(data: &Data) -> [Box<dyn LanguageModel>; 3] {
    [mlp(1, data), ngram(2, data), ngram(4, data)]
}

/// A product of three with powers that differ and depend on the entropies, one of them below 0.
fn product(data: &Data) -> (Vec<Power>, Mixture) {
    let numbers = [[0.6, 0.1, 0.0, -0.2], [-0.3, 0.05, 0.2, 0.1], [0.9, -0.1, 0.3, 0.0]];
    let power = |[base, b @ ..]: [f64; 4]| Power { base, by_entropy: b.to_vec() };
    let powers = numbers.map(power).to_vec();
    let mixture = Mixture::product(powers.iter().cloned().zip(members(data)).collect());
    (powers, mixture)
}

#[test]
fn its_probabilities_are_products_of_powers_and_sum_to_1() {
    let data = data();
    let (powers, mixture) = product(&data);
    let vocab = data.vocab.len();
    let mut reader = mixture.reader();
    let (mut state, mut known) = (reader.start(3, 0), Distributions::default());
    for step in data.splits.val.tokens().to_vec().windows(3).take(200) {
        let mut all = vec![0.0; 3 * vocab];
        reader.log_probs(&state, &mut all);
        reader.distributions(&state, vocab, &mut known);
        let mut of_members = vec![vec![0.0; 3 * vocab]; 3];
        for ((member, state), out) in mixture.members().iter().zip(&state.members).zip(&mut of_members) {
            member.reader().log_probs(state, out);
        }
        for row in 0..3 {
            let own = &all[row * vocab..][..vocab];
            assert_eq!(own, known.log_probs(known.rows()[row]), "the memo's are the same");
            let sum: f64 = own.iter().map(|&p| f64::from(p).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
            let rows: Vec<Vec<f64>> = of_members
                .iter()
                .map(|all| all[row * vocab..][..vocab].iter().map(|&p| f64::from(p)).collect())
                .collect();
            let entropy = |row: &Vec<f64>| -row.iter().map(|l| l.exp() * l).sum::<f64>();
            let entropies: Vec<f64> = rows.iter().map(entropy).collect();
            let weight =
                |p: &Power| p.base + p.by_entropy.iter().zip(&entropies).map(|(b, h)| b * h).sum::<f64>();
            let weights: Vec<f64> = powers.iter().map(weight).collect();
            let term = |x: usize| (0..3).map(|i| weights[i] * rows[i][x]).sum::<f64>().exp();
            let total: f64 = (0..vocab).map(term).sum();
            for (x, &log_prob) in own.iter().enumerate() {
                let expected = (term(x) / total).ln();
                assert!((f64::from(log_prob) - expected).abs() < 1e-5, "{log_prob} and {expected}");
            }
        }
        reader.read(&mut state, step);
        if step[0] == 0 {
            state = state.select(&[2, 0, 1]);
        }
    }
}

#[test]
fn fitted_powers_are_better_than_the_best_weights_and_nothing_near_is_better() {
    let data = data();
    let split = &data.splits.train;
    let members = members(&data);
    let (mut log_probs, mut tokens) = (Vec::new(), Vec::new());
    for member in &members {
        let (own, scored) = predictions(&**member, split, None, &mut |_| Ok(())).unwrap();
        (log_probs, tokens) = ([log_probs, vec![own]].concat(), scored);
    }
    let expected = Predictions { log_probs: &log_probs, tokens: &tokens, vocab: data.vocab.len() };
    let (powers, means) = fit_powers(&expected, &mut || Ok(())).unwrap();
    let total = |powers: &[Power]| expected.scores(powers).iter().map(|&s| f64::from(s)).sum::<f64>();
    let best = total(&powers);
    let scores: Vec<Vec<f32>> =
        members.iter().map(|member| member.score_split(split, &mut |_| Ok(())).unwrap()).collect();
    let weights = fit_weights(&scores).weights;
    let mean: f64 = mean_scores(&weights, &scores).iter().map(|&s| f64::from(s)).sum();
    assert!(best > mean, "{best} and {mean}");
    // -N times the loss of the fit, whose penalty is on each power's mean over the text and on its b.
    let penalized = |powers: &[Power], means: &[f64]| {
        let of_power = |(power, mean): (&Power, &f64)| {
            (mean - 1.0 / 3.0).powi(2) + power.by_entropy.iter().map(|b| b * b).sum::<f64>()
        };
        total(powers) - 10.0 * powers.iter().zip(means).map(of_power).sum::<f64>()
    };
    let best = penalized(&powers, &means);
    for i in 0..3 {
        for moved in [-0.03, 0.03] {
            let (mut other, mut others) = (powers.clone(), means.clone());
            (other[i].base, others[i]) = (other[i].base + moved, others[i] + moved);
            assert!(penalized(&other, &others) < best, "power {i} moved by {moved}");
        }
    }
    // The mixture of the fitted powers gives the same scores.
    let product = Mixture::product(powers.iter().cloned().zip(members).collect());
    assert_eq!(product.score_split(split, &mut |_| Ok(())).unwrap(), expected.scores(&powers));
    let stopped = fit_powers(&expected, &mut || Err(Error::usage("stop")));
    assert!(stopped.is_err_and(|error| error.to_string().contains("stop")));
}

#[test]
fn what_a_member_thinks_impossible_does_no_harm_and_what_is_not_a_number_is_not_hidden() {
    let powers =
        [[1.0, 0.0, 0.0], [-0.5, 0.0, 0.0]].map(|[base, b @ ..]| Power { base, by_entropy: b.to_vec() });
    let (sure, even) = ([0.0, f32::NEG_INFINITY], [0.5f32.ln(); 2]);
    let mut out = [0.0; 2];
    product::multiply(&powers, &[&even, &sure], &mut Scratch::default(), &mut out);
    assert!(out.iter().all(|p| p.is_finite()), "{out:?}");
    product::multiply(&powers, &[&[f32::NAN, 0.0], &sure], &mut Scratch::default(), &mut out);
    assert!(out.iter().any(|p| p.is_nan()), "{out:?}");
}

#[test]
fn in_a_product_those_adapt_that_can() {
    let data = data();
    let even = || Power { base: 0.5, by_entropy: vec![0.0; 2] };
    let mixture = Mixture::product(vec![(even(), mlp(1, &data)), (even(), ngram(2, &data))]);
    let (split, adapt) = (&data.splits.train, Adapt::new(0.1).unwrap());
    let fixed = mixture.score_split(split, &mut |_| Ok(())).unwrap();
    let adapted = mixture.score_adapting(split, &adapt, &mut |_| Ok(())).unwrap().expect("a net learns");
    assert_eq!(fixed.len(), adapted.len());
    let total = |scores: &[f32]| scores.iter().map(|&s| f64::from(s)).sum::<f64>();
    assert!(total(&adapted) > total(&fixed) + 50.0, "{} and {}", total(&adapted), total(&fixed));
    let counts: Vec<_> = [2, 4].map(|order| (0.5, ngram(order, &data))).into();
    assert!(Mixture::new(counts).score_adapting(split, &adapt, &mut |_| Ok(())).unwrap().is_none());
}
