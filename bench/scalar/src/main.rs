//! Trains on two moons and prints seconds, last loss and accuracy: `bench-scalar relu|tanh STEPS`.

use std::time::Instant;

use charloom_scalar::{Graph, Mlp, Random, Style, moons};

fn main() {
    let mut args = std::env::args().skip(1);
    let (kind, steps) = (args.next().expect("relu or tanh"), args.next().expect("how many steps"));
    let style = if kind == "relu" { Style::MICROGRAD } else { Style::NOTEBOOK };
    let steps: i32 = steps.parse().expect("a number of steps");

    let mut random = Random::seed(1337);
    let data = moons(100, 0.1, &mut random);
    let graph = Graph::new();
    let mlp = Mlp::new(&graph, &mut random, 2, &[16, 16, 1], style);
    let mark = graph.mark();
    let (mut last, mut right) = (0.0, 0);

    let start = Instant::now();
    for k in 0..steps {
        graph.truncate(mark);
        let scores: Vec<_> = data.iter().map(|(x, _)| mlp.forward(&graph.constants(x))[0]).collect();
        let margins = data.iter().zip(&scores).map(|((_, y), &score)| (1.0 - *y * score).relu());
        let loss = graph.sum(margins) / data.len() as f64 + 1e-4 * graph.sum(mlp.parameters().map(|p| p * p));
        mlp.zero_grad();
        loss.backward();
        mlp.step(1.0 - 0.9 * f64::from(k) / f64::from(steps));
        last = loss.data();
        right = data.iter().zip(&scores).filter(|((_, y), s)| (s.data() > 0.0) == (*y > 0.0)).count();
    }
    println!("{} {last:?} {right}", start.elapsed().as_secs_f64());
}
