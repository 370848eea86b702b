//! Every layer's gradients against differences, in f64.

use charloom_nn::{
    BatchNorm1d, Dropout, Embedding, Flatten, FlattenConsecutive, Gelu, Init, Initializer, Layer, LayerNorm,
    Linear, Relu, Sequential, Tanh,
};
use charloom_tensor::{Element, Id, Indices, Tape, Var, rng::TorchGenerator};
use charloom_testkit::gradcheck;

/// What goes into a layer.
enum Input {
    Tensor(Vec<usize>),
    Tokens,
}

/// Numbers of no pattern, none of them near 0, where relu has no slope.
fn numbers(n: usize, phase: f64) -> Vec<f64> {
    (0..n)
        .map(|i| (i as f64 * 2.399 + phase).sin() * 1.7)
        .map(|x| if x.abs() < 0.05 { x + 0.2 } else { x })
        .collect()
}

fn tokens(tape: &Tape<f64>) -> Indices {
    tape.indices(&[4, 4], &[0, 1, 2, 3, 1, 1, 4, 0, 2, 2, 2, 2, 3, 0, 4, 1])
}

/// Checks the gradient of a weighted sum of the layer's outputs for its input and every parameter.
fn check(input: Input, layers: impl Fn(&Tape<f64>, &mut Initializer<'_>) -> (Option<Embedding>, Vec<Layer>)) {
    for training in [true, false] {
        let tape = Tape::<f64>::new();
        let mut generator = TorchGenerator::new(7);
        let mut init = Initializer::new(Init::UnitNormal, &mut generator);
        let (embedding, layers) = layers(&tape, &mut init);
        tape.set_training(training);
        // Norms start at weight 1 and bias 0, where a wrong gradient could hide.
        tape.with_parameters(|params, _| {
            params.iter_mut().enumerate().for_each(|(i, p)| *p += 0.1 * (i as f64).cos());
        });
        let mark = tape.mark();
        let mut x: Option<Id> = None;
        let start: Var<'_, f64> = match (&input, &embedding) {
            (Input::Tensor(shape), _) => {
                let leaf = tape.variable(shape, &numbers(shape.iter().product(), 0.3));
                x = Some(leaf.id());
                leaf
            }
            (Input::Tokens, embedding) => {
                embedding.expect("tokens need a table").forward(&tape, tokens(&tape))
            }
        };
        let y = Sequential::new(layers).forward(start);
        let weights = tape.input(y.shape().dims(), &numbers(y.shape().len(), 1.1));
        let loss = (y * weights).sum_all();
        let graph = tape.graph_since(mark);
        loss.backward();

        if let Some(x) = x {
            let (point, gradient) = (tape.var(x).data(), tape.var(x).grad());
            let f = |p: &[f64]| {
                tape.set(x, |data| data.copy_from_slice(p));
                tape.replay(graph);
                loss.item()
            };
            gradcheck(f, &point, &gradient).assert_below(1e-6);
            tape.set(x, |data| data.copy_from_slice(&point));
        }
        let (point, gradient) = tape.with_parameters(|params, grads| (params.to_vec(), grads.to_vec()));
        if point.is_empty() {
            continue;
        }
        let f = |p: &[f64]| {
            tape.with_parameters(|params, _| params.copy_from_slice(p));
            tape.replay(graph);
            loss.item()
        };
        gradcheck(f, &point, &gradient).assert_below(1e-6);
        assert!(gradient.iter().any(|g| g.f64().abs() > 1e-3), "a gradient of zeros shows nothing");
    }
}

fn tensor(shape: &[usize]) -> Input {
    Input::Tensor(shape.to_vec())
}

#[test]
fn linear() {
    check(tensor(&[3, 4]), |t, i| (None, vec![Linear::new(t, "l", 4, 5, true, i).into()]));
    check(tensor(&[2, 3, 4]), |t, i| (None, vec![Linear::new(t, "l", 4, 2, false, i).into()]));
}

#[test]
fn embedding() {
    check(Input::Tokens, |t, i| (Some(Embedding::new(t, "e", 5, 3, i)), vec![Flatten.into()]));
}

#[test]
fn batch_norm() {
    check(tensor(&[5, 3]), |t, _| (None, vec![BatchNorm1d::new(t, "n", 3).into()]));
    check(tensor(&[3, 2, 4]), |t, _| (None, vec![BatchNorm1d::new(t, "n", 4).into()]));
}

#[test]
fn layer_norm() {
    check(tensor(&[5, 3]), |t, _| (None, vec![LayerNorm::new(t, "n", 3).into()]));
    check(tensor(&[3, 2, 4]), |t, _| (None, vec![LayerNorm::new(t, "n", 4).into()]));
}

#[test]
fn activations_and_dropout() {
    for layer in [Layer::Tanh(Tanh), Relu.into(), Gelu.into()] {
        check(tensor(&[3, 4]), |_, _| (None, vec![layer]));
    }
    check(tensor(&[3, 4]), |_, _| (None, vec![Dropout { p: 0.4, seed: 3, layer: 1 }.into()]));
}

#[test]
fn a_tree_of_positions() {
    check(Input::Tokens, |t, i| {
        let layers: Vec<Layer> = vec![
            FlattenConsecutive { n: 2 }.into(),
            Linear::new(t, "layers.1", 6, 4, false, i).into(),
            BatchNorm1d::new(t, "layers.2", 4).into(),
            Tanh.into(),
            FlattenConsecutive { n: 2 }.into(),
            Linear::new(t, "layers.5", 8, 5, true, i).into(),
        ];
        (Some(Embedding::new(t, "embedding", 5, 3, i)), layers)
    });
}

#[test]
fn neighbours_come_together() {
    let tape = Tape::<f64>::new();
    let x = tape.input(&[2, 4, 3], &numbers(24, 0.0));
    let y = FlattenConsecutive { n: 2 }.forward(x);
    assert_eq!(y.shape().dims(), [2, 2, 6]);
    assert_eq!(y.data(), x.data());
    assert_eq!(FlattenConsecutive { n: 4 }.forward(x).shape().dims(), [2, 12]);
}
