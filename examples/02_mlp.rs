//! A network of 41 parameters learns four examples by gradient descent.
//!
//!     cargo run --release -p charloom-scalar --example 02_mlp

use charloom_scalar::{Graph, Mlp, Random, Style};

fn main() {
    let graph = Graph::new();
    let mlp = Mlp::new(&graph, &mut Random::seed(1337), 3, &[4, 4, 1], Style::NOTEBOOK);
    let mark = graph.mark();
    let predict = |x: [f64; 3]| mlp.forward(&graph.constants(&x))[0];

    println!("before: {:?}", predict([2.0, 3.0, -1.0]));

    let xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]];
    let ys = [1.0, -1.0, -1.0, 1.0];
    for k in 0..20 {
        // Each step writes over the nodes of the one before.
        graph.truncate(mark);
        let loss = graph.sum(xs.into_iter().zip(ys).map(|(x, y)| (predict(x) - y).pow(2.0)));
        mlp.zero_grad();
        loss.backward();
        mlp.step(0.05);
        println!("step {k:2}  loss {:.6}", loss.data());
    }
    for (x, y) in xs.into_iter().zip(ys) {
        println!("{x:?} -> {:7.4}, wanted {y}", predict(x).data());
    }
}
