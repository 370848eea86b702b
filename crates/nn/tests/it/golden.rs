//! PyTorch's numbers: initial parameters, optimizer steps, clipped gradients (`fixtures/layers.json`).

use charloom_nn::{AdamW, Init, Initializer, Optimizer, RmsProp, Sgd, clip_grad_norm, clip_grad_value};
use charloom_tensor::{Grads, Params, rng::TorchGenerator};
use charloom_testkit::{Golden, assert_close, fixture};
use serde::Deserialize;

#[derive(Deserialize)]
struct Layers {
    inits: Vec<InitCase>,
    optims: Vec<OptimCase>,
    clips: Vec<ClipCase>,
}

#[derive(Deserialize)]
struct InitCase {
    init: String,
    seed: u64,
    gain: f64,
    output_scale: f64,
    model: Model,
    tensors: Vec<Named>,
}

#[derive(Deserialize)]
struct Model {
    vocab: usize,
    context: usize,
    #[serde(default)]
    embed: usize,
    #[serde(default)]
    hidden: Vec<usize>,
    norm: Option<String>,
    bias: Option<bool>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    data: Vec<f64>,
}

#[derive(Deserialize)]
struct OptimCase {
    optimizer: String,
    options: Options,
    curvature: Vec<f32>,
    centre: Vec<f32>,
    start: Vec<f32>,
    steps: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Options {
    lr: f64,
    #[serde(default)]
    momentum: f64,
    #[serde(default)]
    weight_decay: f64,
    #[serde(default)]
    betas: [f64; 2],
    #[serde(default)]
    eps: f64,
    #[serde(default)]
    nesterov: bool,
    #[serde(default)]
    alpha: f64,
}

#[derive(Deserialize)]
struct ClipCase {
    max_norm: f64,
    grads: Vec<Golden>,
    norm: f64,
    clipped: Vec<Golden>,
}

/// Every tensor of a model in the order it is drawn.
fn draw(case: &InitCase, init: Init) -> Vec<Vec<f32>> {
    let mut generator = TorchGenerator::new(case.seed);
    let mut init = Initializer::new(init, &mut generator);
    let Model { vocab, context, embed, hidden, norm, bias } = &case.model;
    let mut drawn = Vec::new();
    let mut inputs = context * vocab;
    if *embed > 0 {
        drawn.push(init.embedding(*vocab, *embed));
        inputs = context * embed;
    }
    for &width in hidden {
        drawn.push(init.weight(inputs, width, case.gain, 1.0));
        drawn.extend(norm.is_none().then(|| init.bias(inputs, width)));
        inputs = width;
    }
    drawn.push(init.weight(inputs, *vocab, 1.0, case.output_scale));
    drawn.extend(bias.unwrap_or(true).then(|| init.bias(inputs, *vocab)));
    drawn
}

#[test]
fn initial_parameters_are_torchs() {
    let cases = fixture::<Layers>("layers.json").inits;
    for case in &cases {
        let init = match case.init.as_str() {
            "unit-normal" => Init::UnitNormal,
            "kaiming-normal" => Init::KaimingNormal,
            "torch" => Init::Torch,
            "unit-columns" => Init::UnitColumns,
            other => panic!("fixture: no initialization {other:?}"),
        };
        // The order of torch's own sums of squares is not ours.
        let tolerance = if init == Init::UnitColumns { 4e-7 } else { 0.0 };
        let drawn = draw(case, init);
        assert_eq!(drawn.len(), case.tensors.len());
        for (drawn, expected) in drawn.iter().zip(&case.tensors) {
            println!("{} {} {}", case.init, case.seed, expected.name);
            let expected: Vec<f32> = expected.data.iter().map(|&x| x as f32).collect();
            assert_close(drawn, &expected, tolerance, 0.0);
        }
    }
    assert!(cases.len() >= 40);
}

#[test]
fn optimizers_step_as_torchs() {
    let cases = fixture::<Layers>("layers.json").optims;
    for case in &cases {
        let mut params = Params::<f32>::new();
        let id = params.add("p", &[case.start.len()], &case.start);
        let mut grads = Grads::zeros(&params);
        let entry = params.entry(id).clone();
        let Options { lr, momentum, weight_decay, betas, eps, nesterov, alpha } = case.options;
        let new = |params: &Params<f32>| match case.optimizer.as_str() {
            "sgd" => Optimizer::sgd(params, Sgd { momentum, nesterov }, weight_decay),
            "rmsprop" => Optimizer::rmsprop(params, RmsProp { alpha, eps }, weight_decay),
            "adamw" => Optimizer::adamw(params, AdamW { betas, eps }, weight_decay),
            other => panic!("fixture: no optimizer {other:?}"),
        };
        let mut optimizer = new(&params);
        for (step, expected) in case.steps.iter().enumerate() {
            let p = params.read(id);
            let g: Vec<f32> = (0..p.len()).map(|i| case.curvature[i] * (p[i] - case.centre[i])).collect();
            entry.write(&g, grads.values_mut());
            optimizer.step(&mut params, &mut grads, lr);
            assert_close(&params.read(id), expected, 1e-5, 1e-6);
            // From its stored state it goes on as if nothing had happened.
            let state = optimizer.state(&params);
            optimizer = new(&params);
            let find = |name: &str| state.iter().find(|t| t.name == name).map(|t| t.data.as_slice());
            optimizer.load(&params, step as u64 + 1, find).unwrap();
        }
        assert_eq!(case.steps.len(), 10);
    }
    assert!(cases.len() >= 9);
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let mut params = Params::<f32>::new();
    params.add("p", &[3], &[0.0; 3]);
    let mut optimizer = Optimizer::sgd(&params, Sgd { momentum: 0.9, nesterov: false }, 0.0);
    let error = optimizer.load(&params, 1, |_| Some(&[0.0; 4])).unwrap_err();
    assert_eq!(error.to_string(), "the optimizer's state has no momentum.p of size [3]");
    assert!(optimizer.load(&params, 1, |_| None).is_err());
}

#[test]
fn gradients_are_clipped_as_torchs() {
    let cases = fixture::<Layers>("layers.json").clips;
    for case in &cases {
        let mut params = Params::<f32>::new();
        for (i, grad) in case.grads.iter().enumerate() {
            params.add(&format!("p{i}"), &grad.shape, &vec![0.0; grad.data.len()]);
        }
        let mut grads = Grads::zeros(&params);
        for (entry, grad) in params.entries().iter().zip(&case.grads) {
            entry.write(&grad.f32(), grads.values_mut());
        }
        let norm = clip_grad_norm(&mut grads, case.max_norm);
        assert_close(&[norm], &[case.norm], 1e-6, 0.0);
        for (entry, expected) in params.entries().iter().zip(&case.clipped) {
            assert_close(&entry.read(grads.values()), &expected.f32(), 1e-6, 0.0);
        }
    }
    assert!(cases.len() >= 5);
}

#[test]
fn elements_are_clipped_and_what_is_no_number_stays() {
    let mut params = Params::<f32>::new();
    params.add("p", &[4], &[0.0; 4]);
    let mut grads = Grads::zeros(&params);
    grads.values_mut()[..4].copy_from_slice(&[3.0, -0.1, -2.0, f32::NAN]);
    clip_grad_value(&mut grads, 0.5);
    assert_eq!(grads.values()[..3], [0.5, -0.1, -0.5]);
    assert!(grads.values()[3].is_nan());
}

#[test]
fn an_average_begins_with_the_first_step_and_then_follows() {
    let mut params = Params::<f64>::new();
    let p = params.add("p", &[1], &[8.0]);
    let mut grads = Grads::zeros(&params);
    let mut sgd = Optimizer::sgd(&params, Sgd::default(), 0.0).averaging(&params, 0.75);
    grads.values_mut().fill(1.0);
    let mut seen = vec![sgd.average().unwrap()[0]];
    for _ in 0..3 {
        sgd.step(&mut params, &mut grads, 1.0);
        seen.push(sgd.average().unwrap()[0]);
    }
    assert_eq!((params.read(p)[0], seen), (5.0, vec![8.0, 7.0, 6.75, 6.3125]));
}
