//! A multi-layer perceptron trained from Rust, without the command: which of two spirals does a point lie on?
//!
//!     cargo run --release -p charloom-nn --example 10_tensor_mlp

use charloom_nn::{
    AdamW, Init, Initializer, LearningRate, Linear, Optimizer, Schedule, Scope, Sequential, Tanh,
};
use charloom_tensor::{Grads, Params, Pass, Recording, Tape, Var, rng::TorchGenerator};

const POINTS: usize = 400;
const BATCH: usize = 64;
const STEPS: u64 = 2000;

/// Points of the plane, and the spiral that each lies on.
fn spirals(generator: &mut TorchGenerator) -> (Vec<[f32; 2]>, Vec<u32>) {
    (0..POINTS)
        .map(|i| {
            let class = i % 2;
            let turn = 0.3 + 2.0 * generator.rand_f32();
            let angle = std::f32::consts::PI * (turn + class as f32);
            ([turn * angle.cos(), turn * angle.sin()], class as u32)
        })
        .unzip()
}

fn main() {
    let mut generator = TorchGenerator::new(42);
    let (points, classes) = spirals(&mut generator);

    // The parameters; a layer knows which are its own.
    let mut params = Params::<f32>::new();
    let init = Initializer::new(Init::KaimingNormal, &mut generator);
    let mut scope = Scope::draw(&mut params, init).with_gain(5.0 / 3.0);
    let net = Sequential::new(vec![
        Linear::new(&mut scope.at("layers.0"), 2, 32, true).into(),
        Tanh.into(),
        Linear::new(&mut scope.at("layers.2"), 32, 32, true).into(),
        Tanh.into(),
        Linear::new(&mut scope.at("layers.4"), 32, 2, true).into(),
    ]);

    // One step, recorded once.
    let (mut recording, (x, targets, loss)) = Recording::new(&params, |tape| {
        let x = tape.input(&[BATCH, 2], &[0.0; 2 * BATCH]);
        let targets = tape.indices(&[BATCH], &[0; BATCH]);
        (x.id(), targets, net.forward(x).cross_entropy(targets).id())
    });

    let mut grads = Grads::zeros(&params);
    let mut adamw = Optimizer::adamw(&params, AdamW::default(), 0.01);
    let schedule = LearningRate { base: 0.01, floor: 0.0, warmup: 0.05, schedule: Schedule::Cosine };
    let mut chosen = [0; BATCH];
    for step in 0..STEPS {
        generator.randint_into(POINTS as u32, &mut chosen);
        recording.set(x, |x| {
            x.chunks_exact_mut(2).zip(&chosen).for_each(|(x, &i)| x.copy_from_slice(&points[i as usize]));
        });
        recording
            .set_indices(targets, |t| t.iter_mut().zip(&chosen).for_each(|(t, &i)| *t = classes[i as usize]));
        recording.forward(&params, &Pass::training());
        if step % 200 == 0 {
            println!("step {step:4}  loss {:.4}", recording.item(loss));
        }
        recording.backward(&params, &mut grads, loss, &Pass::training());
        adamw.step(&mut params, &mut grads, schedule.at(step, STEPS));
    }

    let tape = Tape::with(&params);
    let all = tape.input(&[POINTS, 2], &points.concat());
    println!("{:.1} % of the points are told apart", 100.0 * accuracy(net.forward(all), &classes));
}

/// The share of rows whose larger logit is that of their class.
fn accuracy(logits: Var<'_, f32>, classes: &[u32]) -> f64 {
    let logits = logits.data();
    let right = logits.chunks_exact(2).zip(classes).filter(|(l, c)| u32::from(l[1] > l[0]) == **c).count();
    right as f64 / classes.len() as f64
}
