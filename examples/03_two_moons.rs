//! A classifier of two moons: max-margin loss, a little weight decay, a falling learning rate.
//!
//!     cargo run --release -p charloom-scalar --example 03_two_moons

use charloom_scalar::{Graph, Mlp, Random, Style, moons};

fn main() {
    let mut random = Random::seed(1337);
    let data = moons(100, 0.1, &mut random);
    let graph = Graph::new();
    let mlp = Mlp::new(&graph, &mut random, 2, &[16, 16, 1], Style::MICROGRAD);
    let mark = graph.mark();
    let score = |x: &[f64; 2]| mlp.forward(&graph.constants(x))[0];

    let steps = 100;
    for k in 0..steps {
        graph.truncate(mark);
        let scores: Vec<_> = data.iter().map(|(x, _)| score(x)).collect();
        // A score on the right side by 1 or more costs nothing.
        let margins = data.iter().zip(&scores).map(|((_, y), &score)| (1.0 - *y * score).relu());
        let data_loss = graph.sum(margins) / data.len() as f64;
        let decay = 1e-4 * graph.sum(mlp.parameters().map(|p| p * p));
        let loss = data_loss + decay;

        mlp.zero_grad();
        loss.backward();
        mlp.step(1.0 - 0.9 * f64::from(k) / f64::from(steps));

        let right = data.iter().zip(&scores).filter(|((_, y), score)| (score.data() > 0.0) == (*y > 0.0));
        if k % 10 == 0 || k + 1 == steps {
            println!("step {k:2}  loss {:.6}  accuracy {}%", loss.data(), right.count() * 100 / data.len());
        }
    }

    // What the network thinks of the whole plane.
    for row in 0..20 {
        let y = 1.6 - 0.14 * f64::from(row);
        let line = (0..60).map(|column| {
            graph.truncate(mark);
            if score(&[-1.6 + 0.07 * f64::from(column), y]).data() > 0.0 { '#' } else { '.' }
        });
        println!("{}", line.collect::<String>());
    }
}
