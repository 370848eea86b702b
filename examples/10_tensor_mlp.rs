//! A multi-layer perceptron trained from Rust, without the command: which of two spirals does a point lie on?
//!
//!     cargo run --release -p charloom-nn --example 10_tensor_mlp

use charloom_nn::{AdamW, Init, Initializer, LearningRate, Linear, Schedule, Sequential, Tanh};
use charloom_tensor::{Tape, Var, rng::TorchGenerator};

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

    // The parameters live on the tape; a layer knows where.
    let tape = Tape::<f32>::new();
    let mut init = Initializer::new(Init::KaimingNormal, &mut generator);
    init.gain = 5.0 / 3.0;
    let net = Sequential::new(vec![
        Linear::new(&tape, "layers.0", 2, 32, true, &mut init).into(),
        Tanh.into(),
        Linear::new(&tape, "layers.2", 32, 32, true, &mut init).into(),
        Tanh.into(),
        Linear::new(&tape, "layers.4", 32, 2, true, &mut init).into(),
    ]);

    // One step, recorded once.
    let x = tape.input(&[BATCH, 2], &[0.0; 2 * BATCH]);
    let targets = tape.indices(&[BATCH], &[0; BATCH]);
    let mark = tape.mark();
    let logits = net.forward(x);
    let loss = logits.cross_entropy(targets);
    let step_graph = tape.graph_since(mark);

    let mut adamw = AdamW::new(&tape, [0.9, 0.999], 1e-8, 0.01);
    let schedule = LearningRate { base: 0.01, warmup: 0.05, schedule: Schedule::Cosine };
    let mut chosen = [0; BATCH];
    for step in 0..STEPS {
        generator.randint_into(POINTS as u32, &mut chosen);
        tape.set(x.id(), |x| {
            x.chunks_exact_mut(2).zip(&chosen).for_each(|(x, &i)| x.copy_from_slice(&points[i as usize]));
        });
        tape.set_indices(targets, |t| t.iter_mut().zip(&chosen).for_each(|(t, &i)| *t = classes[i as usize]));
        tape.replay(step_graph);
        if step % 200 == 0 {
            println!("step {step:4}  loss {:.4}", loss.item());
        }
        loss.backward();
        adamw.step(&tape, schedule.at(step, STEPS));
    }

    let all = tape.input(&[POINTS, 2], &points.concat());
    println!("{:.1} % of the points are told apart", 100.0 * accuracy(net.forward(all), &classes));
}

/// The share of rows whose larger logit is that of their class.
fn accuracy(logits: Var<'_, f32>, classes: &[u32]) -> f64 {
    let logits = logits.data();
    let right = logits.chunks_exact(2).zip(classes).filter(|(l, c)| u32::from(l[1] > l[0]) == **c).count();
    right as f64 / classes.len() as f64
}
