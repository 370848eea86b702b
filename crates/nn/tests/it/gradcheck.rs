//! Every layer's gradients against differences, in f64.

use charloom_nn::{
    BatchNorm1d, Dropout, Embedding, Flatten, FlattenConsecutive, Gelu, GeluTanh, Init, Initializer, Layer,
    LayerNorm, Linear, Relu, RmsNorm, Scope, Sequential, SquaredRelu, Tanh,
};
use charloom_tensor::{Grads, Params, Pass, Recording, Tape, rng::TorchGenerator};
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

/// What is checked: layers, and the table before them where the input is tokens.
type Net = (Option<Embedding>, Vec<Layer>);

/// Checks the gradient of a weighted sum of the layer's outputs for its input and every parameter.
fn check(input: Input, layers: impl Fn(&mut Scope<'_>) -> Net) {
    for training in [true, false] {
        let mut drawn = Params::<f32>::new();
        let mut generator = TorchGenerator::new(7);
        let init = Initializer::new(Init::UnitNormal, &mut generator);
        let (embedding, layers) = layers(&mut Scope::draw(&mut drawn, init));
        let mut params = drawn.cast::<f64>();
        // Norms start at weight 1 and bias 0, where a wrong gradient could hide.
        params.values_mut().iter_mut().enumerate().for_each(|(i, p)| *p += 0.1 * (i as f64).cos());
        let (mut recording, (x, loss)) = Recording::new(&params, |tape| {
            let x = match (&input, &embedding) {
                (Input::Tensor(shape), _) => tape.variable(shape, &numbers(shape.iter().product(), 0.3)),
                (Input::Tokens, embedding) => {
                    let tokens = tape.indices(&[4, 4], &[0, 1, 2, 3, 1, 1, 4, 0, 2, 2, 2, 2, 3, 0, 4, 1]);
                    embedding.expect("tokens need a table").forward(tape, tokens)
                }
            };
            let y = Sequential::new(layers.clone()).forward(x);
            let weights = tape.input(y.shape().dims(), &numbers(y.shape().len(), 1.1));
            (x.id(), (y * weights).sum_all().id())
        });
        let pass = Pass { training, ..Pass::default() };
        let mut grads = Grads::zeros(&params);
        recording.forward(&params, &pass);
        recording.backward(&params, &mut grads, loss, &pass);
        if matches!(input, Input::Tensor(_)) {
            let point = recording.with_data(x, <[f64]>::to_vec);
            let gradient = recording.with_grad(x, <[f64]>::to_vec);
            let f = |p: &[f64]| {
                recording.set(x, |data| data.copy_from_slice(p));
                recording.forward(&params, &pass);
                recording.item(loss)
            };
            gradcheck(f, &point, &gradient).assert_below(1e-6);
            recording.set(x, |data| data.copy_from_slice(&point));
        }
        let (point, gradient) = (params.values().to_vec(), grads.values());
        if point.is_empty() {
            continue;
        }
        let f = |p: &[f64]| {
            params.values_mut().copy_from_slice(p);
            recording.forward(&params, &pass);
            recording.item(loss)
        };
        gradcheck(f, &point, gradient).assert_below(1e-6);
        assert!(gradient.iter().any(|g| g.abs() > 1e-3), "a gradient of zeros shows nothing");
    }
}

fn tensor(shape: &[usize]) -> Input {
    Input::Tensor(shape.to_vec())
}

#[test]
fn linear() {
    check(tensor(&[3, 4]), |s| (None, vec![Linear::new(s, 4, 5, true).into()]));
    check(tensor(&[2, 3, 4]), |s| (None, vec![Linear::new(s, 4, 2, false).into()]));
}

#[test]
fn embedding() {
    check(Input::Tokens, |s| (Some(Embedding::new(s, 5, 3)), vec![Flatten.into()]));
}

#[test]
fn batch_norm() {
    check(tensor(&[5, 3]), |s| (None, vec![BatchNorm1d::new(s, 3).into()]));
    check(tensor(&[3, 2, 4]), |s| (None, vec![BatchNorm1d::new(s, 4).into()]));
}

#[test]
fn layer_norm() {
    check(tensor(&[5, 3]), |s| (None, vec![LayerNorm::new(s, 3).into()]));
    check(tensor(&[3, 2, 4]), |s| (None, vec![LayerNorm::new(s, 4).into()]));
}

#[test]
fn rms_norm() {
    check(tensor(&[5, 3]), |s| (None, vec![RmsNorm::new(s, 3).into()]));
    check(tensor(&[3, 2, 4]), |_| (None, vec![RmsNorm::plain().into()]));
}

#[test]
fn activations_and_dropout() {
    for layer in [Layer::Tanh(Tanh), Relu.into(), Gelu.into(), GeluTanh.into(), SquaredRelu.into()] {
        check(tensor(&[3, 4]), |_| (None, vec![layer]));
    }
    check(tensor(&[3, 4]), |_| (None, vec![Dropout { p: 0.4, seed: 3, layer: 1 }.into()]));
}

#[test]
fn a_tree_of_positions() {
    check(Input::Tokens, |s| {
        let embedding = Embedding::new(&mut s.at("embedding"), 5, 3);
        let layers: Vec<Layer> = vec![
            FlattenConsecutive { n: 2 }.into(),
            Linear::new(&mut s.at("layers.1"), 6, 4, false).into(),
            BatchNorm1d::new(&mut s.at("layers.2"), 4).into(),
            Tanh.into(),
            FlattenConsecutive { n: 2 }.into(),
            Linear::new(&mut s.at("layers.5"), 8, 5, true).into(),
        ];
        (Some(embedding), layers)
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
