use std::collections::BTreeMap;

use charloom_tensor::Element;
use charloom_tensor::rng::TorchGenerator;
use charloom_testkit::{Golden, assert_close, closeness, fixture};
use serde::Deserialize;

use super::*;
use crate::Config;
use crate::config::{Batch, Optimizer};
use crate::data::Data;

#[derive(Deserialize)]
struct Case {
    sizes: BTreeMap<String, usize>,
    contexts: Vec<u32>,
    targets: Vec<u32>,
    loss: f64,
    terms: Vec<GoldenTerm>,
}

#[derive(Deserialize)]
struct GoldenTerm {
    name: String,
    value: Golden,
    grad: Golden,
}

impl Case {
    fn term(&self, name: &str) -> &GoldenTerm {
        self.terms.iter().find(|term| term.name == name).unwrap()
    }

    fn net<E: Element>(&self) -> Net<E> {
        let size = |name: &str| self.sizes[name];
        let sizes = Sizes {
            vocab: size("vocab"),
            context: size("context"),
            embed: size("embed"),
            hidden: size("hidden"),
            batch: size("batch"),
        };
        let data = |name: &str| self.term(name).value.data.clone();
        let parameters = Parameters {
            c: data("C"),
            w1: data("W1"),
            b1: data("b1"),
            w2: data("W2"),
            b2: data("b2"),
            bn_gain: data("bn_gain"),
            bn_bias: data("bn_bias"),
        };
        Net::new(&sizes, &parameters, &self.contexts, &self.targets)
    }
}

fn data<E: Element>(m: &Matrix<E>) -> Vec<f64> {
    m.data().iter().map(|x| x.f64()).collect()
}

fn check_against_torch<E: Element>(tolerance: f64) {
    let case: Case = fixture("backprop.json");
    let mut net = case.net::<E>();
    assert_close(&[net.loss().f64()], &[case.loss], tolerance, 0.0);
    let (values, tape) = (net.values(), net.tape_gradients());
    let hand = by_hand(&values, &case.contexts, &case.targets);
    assert_eq!(case.terms.len(), Terms::NAMES.len());
    for (((name, value), (_, tape)), ((_, hand), (_, shape))) in
        values.named().into_iter().zip(tape.named()).zip(hand.named().into_iter().zip(net.shapes().named()))
    {
        let golden = case.term(name);
        assert_eq!(*shape, golden.value.shape, "{name}");
        for (what, got, wanted) in
            [("value", value, &golden.value), ("tape", tape, &golden.grad), ("by hand", hand, &golden.grad)]
        {
            closeness(&data(got), &wanted.data, tolerance, tolerance)
                .unwrap_or_else(|problem| panic!("{name}, {what}: {problem}"));
        }
    }
    let logits = shortcuts::cross_entropy(&values.logits, &case.targets);
    assert_close(&data(&logits), &case.term("logits").grad.data, tolerance, tolerance);
    let d = &hand.h_preact_norm;
    let h_preact = shortcuts::batch_norm(d, &values.bn_raw, &values.bn_gain, &values.bn_var_inv);
    assert_close(&data(&h_preact), &case.term("h_preact").grad.data, tolerance, tolerance);
}

#[test]
fn every_term_is_torchs_in_f64() {
    check_against_torch::<f64>(1e-12);
}

#[test]
fn every_term_is_torchs_in_f32() {
    check_against_torch::<f32>(2e-6);
}

/// The lesson's configuration, on the embedded names.
fn lesson() -> (Config, Data) {
    let preset = crate::presets::get("manual-backprop").unwrap();
    let mut config = Config::layered(Some(preset.toml), None).unwrap();
    let data = crate::load_data(&mut config).unwrap();
    (config, data)
}

#[test]
fn the_lesson_is_equal_in_both_precisions() {
    let (config, data) = lesson();
    let single = report::<f32>(&config, &data, &Options::default()).unwrap();
    assert_eq!((single.parameters, single.rows.len(), single.batch), (12_297, 26, 32));
    assert!(single.equal, "{single:#?}");
    let double = report::<f64>(&config, &data, &Options::default()).unwrap();
    assert!(double.equal, "{double:#?}");
    assert_eq!(double.tolerance, Tolerance { atol: 1e-12, rtol: 1e-12 });
    // The loss of the notebook's cells in torch 2.15 on this data with this seed.
    assert_close(&[single.loss, double.loss], &[3.6144936084747314; 2], 1e-6, 0.0);
    // Except in gradients that are 0 in theory, the difference is also small relative to the gradient.
    for row in double.rows.iter().filter(|row| !["b1", "logit_maxes"].contains(&row.name)) {
        assert!(row.max_difference <= 1e-12 * row.largest, "{row:?}");
    }
}

#[test]
fn a_wrong_gradient_shows_in_its_row_only() {
    let (config, data) = lesson();
    for name in Terms::NAMES.iter().chain(&["cross_entropy", "batch_norm"]) {
        let options = Options { wrong: Some((*name).to_owned()), train: false, ..Options::default() };
        let report = report::<f32>(&config, &data, &options).unwrap();
        assert!(!report.equal);
        let wrong: Vec<_> =
            report.rows.iter().chain(&report.shortcuts).filter(|row| !row.approximate).collect();
        assert_eq!(wrong.len(), 1, "{wrong:#?}");
        assert_eq!((wrong[0].name, wrong[0].exact), (*name, false));
    }
    let options = Options { wrong: Some("prob".to_owned()), train: false, ..Options::default() };
    let error = report::<f32>(&config, &data, &options).unwrap_err().to_string();
    assert!(error.contains("did you mean \"probs\"?"), "{error}");
}

#[test]
fn training_ends_where_the_tapes_ends() {
    let (mut config, data) = lesson();
    (config.train.steps, config.train.lr_drops) = (24, vec![(0.5, 0.1)]);
    let options = Options { wrong: None, train: true, ..Options::default() };
    let training = report::<f64>(&config, &data, &options).unwrap().training.unwrap();
    assert!(training.approximate && training.max_difference < 1e-11, "{training:?}");
    assert_close(&[training.loss], &[training.tape_loss], 1e-12, 0.0);
    let single = report::<f32>(&config, &data, &options).unwrap().training.unwrap();
    assert!(single.approximate && single.loss < 3.2, "{single:?}");

    let options = Options { wrong: Some("W2".to_owned()), train: true, ..Options::default() };
    let report = report::<f64>(&config, &data, &options).unwrap();
    assert!(!report.equal && !report.training.unwrap().approximate);
}

#[test]
fn other_sizes_are_equal_too() {
    let (mut config, data) = lesson();
    config.model = config.model.with("context", 1).with("embed", 1).with("hidden", vec![3]);
    config.train.batch = Batch::Size(2);
    assert!(report::<f64>(&config, &data, &Options::default()).unwrap().equal);
    config.model = config.model.with("context", 5).with("embed", 4).with("hidden", vec![17]);
    config.train.batch = Batch::Size(300);
    assert!(report::<f64>(&config, &data, &Options::default()).unwrap().equal);
}

#[test]
fn other_nets_are_refused_by_their_setting() {
    let (config, data) = lesson();
    let refused = |change: &dyn Fn(&mut Config)| {
        let mut config = config.clone();
        change(&mut config);
        let options = Options { wrong: None, train: true, ..Options::default() };
        let error = report::<f32>(&config, &data, &options).unwrap_err();
        assert!(matches!(error, crate::Error::Setting { .. }), "{error:?}");
        error.to_string()
    };
    assert!(refused(&|c| c.model.set("hidden", vec![20, 20])).starts_with("``hidden``"));
    assert!(refused(&|c| c.model.set("hidden", vec![])).starts_with("``hidden``"));
    assert!(refused(&|c| c.train.batch = Batch::Size(1 << 19)).contains("the limit is"));
    assert!(refused(&|c| c.model.set("norm", "none")).starts_with("``norm``"));
    assert!(refused(&|c| c.model.set("embed", 0)).starts_with("``embed``"));
    assert!(refused(&|c| c.train.batch = Batch::Full).starts_with("``batch``"));
    assert!(refused(&|c| c.train.batch = Batch::Size(1)).starts_with("``batch``"));
    assert!(refused(&|c| c.train.optimizer = Optimizer::AdamW).contains("``optimizer``"));
}

#[test]
fn nan_is_equal_to_nothing() {
    let tolerance = Tolerance { atol: 1.0, rtol: 1.0 };
    let nan = Matrix::new(2, vec![0.5f64, f64::NAN]);
    let row = compare("nan", &[2], &nan, &nan, tolerance);
    assert!(!row.exact && !row.approximate && row.max_difference.is_nan());
    let row = compare("size", &[2], &Matrix::new(1, vec![1.0]), &Matrix::new(1, vec![1.0, 1.0]), tolerance);
    assert!(!row.exact && !row.approximate);
    let infinite = Matrix::new(1, vec![f64::INFINITY]);
    assert!(!compare("infinite", &[1], &infinite, &infinite, tolerance).approximate);
}

#[test]
fn parameters_are_the_notebooks() {
    let sizes = Sizes { vocab: 27, context: 3, embed: 10, hidden: 200, batch: 32 };
    let mut generator = TorchGenerator::new(42);
    let parameters = Parameters::draw(&sizes, 5.0 / 3.0, 200f64.sqrt() * 0.1, &mut generator);
    // torch.manual_seed(42), then the notebook's cell: the first value of each parameter.
    let first = [&parameters.c, &parameters.w1, &parameters.b1, &parameters.w2, &parameters.b2].map(|p| p[0]);
    assert_close(
        &first,
        &[
            1.9269152879714966,
            -0.02678307518362999,
            -0.13770455121994019,
            -0.11373024433851242,
            -0.11419501155614853,
        ],
        1e-7,
        0.0,
    );
    assert_close(&[parameters.bn_gain[0]], &[1.1], 1e-7, 0.0);
}
