//! Gradients of what lies between: a tape keeps those of all its nodes, where torch needs `retain_grad`.
//!
//!     cargo run --release -p charloom-nn --example 08_gradients_kept

use charloom_nn::{Init, Initializer, Linear, Scope};
use charloom_tensor::{Params, Tape, rng::TorchGenerator};

const ROWS: usize = 4;

fn main() {
    let mut generator = TorchGenerator::new(2_147_483_647);
    let mut params = Params::<f32>::new();
    let mut scope = Scope::draw(&mut params, Initializer::new(Init::KaimingNormal, &mut generator));
    let first = Linear::new(&mut scope.at("layers.0"), 3, 5, true);
    let last = Linear::new(&mut scope.at("layers.2"), 5, 2, true);

    let tape = Tape::with(&params);
    let x = tape.arange(12).view(&[ROWS, 3]);
    let h = first.forward(x).tanh();
    let logits = last.forward(h);
    let targets = [0, 1, 1, 0];
    let loss = logits.cross_entropy(tape.indices(&[ROWS], &targets));
    // Before this there is no gradient: a forward pass makes none.
    loss.backward();

    println!("loss {loss:?}");
    let show = |name: &str, dims: &[usize], grad: &[f32]| {
        println!("d loss / d {name}\n{}", charloom_tensor::print_floats(dims, grad));
    };
    show("h", h.shape().dims(), &h.grad());
    show("logits", logits.shape().dims(), &logits.grad());
    show("layers.2.bias", &[2], &tape.param(last.bias.expect("it has one")).grad());

    // The gradient of the logits is (softmax - one-hot) / n, so that each row of it sums to 0.
    let softmax = logits.softmax(1).data();
    for (i, (p, g)) in softmax.chunks_exact(2).zip(logits.grad().chunks_exact(2)).enumerate() {
        for class in 0..2 {
            let wanted = (p[class] - f32::from(targets[i] == class as u32)) / ROWS as f32;
            assert!((g[class] - wanted).abs() < 1e-6, "row {i}");
        }
    }
}

#[test]
fn it_runs() {
    main();
}
