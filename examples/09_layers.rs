//! Layers as objects: Linear, BatchNorm, Tanh, a stack of them, and which parameters they have.
//!
//!     cargo run --release -p charloom-nn --example 09_layers

use charloom_nn::{BatchNorm1d, Init, Initializer, Linear, Scope, Sequential, Tanh};
use charloom_tensor::{Params, Tape, rng::TorchGenerator};

fn main() {
    let mut generator = TorchGenerator::new(2_147_483_647);
    let mut params = Params::<f32>::new();
    let mut scope =
        Scope::draw(&mut params, Initializer::new(Init::KaimingNormal, &mut generator)).with_gain(5.0 / 3.0);
    let stack = Sequential::new(vec![
        Linear::new(&mut scope.at("layers.0"), 21, 200, true).into(),
        BatchNorm1d::new(&mut scope.at("layers.1"), 200).into(),
        Tanh.into(),
        Linear::new(&mut scope.at("layers.3"), 200, 27, true).into(),
    ]);

    // A layer that lists its parameters can forget one: notebook 003's gave the bias without the weight. Here parameters
    // are made in one place, which knows them all.
    for entry in params.trained() {
        println!("{:16} {:?}", entry.name, entry.shape);
    }
    let embedding = 27 * 7;
    println!("{} parameters, and {embedding} of the embedding", params.parameter_count());
    assert_eq!(params.parameter_count() + embedding, 10_416);
    let biases = params.trained().filter(|entry| entry.shape.rank() == 1).map(|entry| entry.shape.len());
    assert_eq!(biases.sum::<usize>() + embedding, 816);

    let mut numbers = vec![0.0; 64 * 21];
    generator.randn_f32(&mut numbers);
    let tape = Tape::with(&params);
    tape.set_training(true);
    let mut x = tape.input(&[64, 21], &numbers);
    for layer in &stack.layers {
        x = layer.forward(x);
        let data = x.data();
        let mean = data.iter().sum::<f32>() / data.len() as f32;
        println!("{:12} {:?}, mean {mean:.3}", layer.name(), x.shape());
    }
    println!("{x:?}");

    let bn = BatchNorm1d::new(
        &mut Scope::draw(&mut Params::new(), Initializer::new(Init::Torch, &mut generator)),
        3,
    );
    println!("momentum {}", bn.running.momentum);
    println!("tanh(0.8) = {:?}", Tape::<f32>::new().input(&[], &[0.8]).tanh());
}

#[test]
fn it_runs() {
    main();
}
