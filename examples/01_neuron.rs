//! One neuron by hand: tanh(w1 x1 + w2 x2 + b), its value, and the gradient of every number in it.
//!
//!     cargo run --release -p charloom-scalar --example 01_neuron

use charloom_scalar::Graph;

fn main() {
    let graph = Graph::new();
    let x1 = graph.value(2.0).label("x1");
    let x2 = graph.value(0.0).label("x2");
    let w1 = graph.value(-3.0).label("w1");
    let w2 = graph.value(1.0).label("w2");
    let b = graph.value(6.881_373_587_019_543).label("b");

    let n = (x1 * w1 + x2 * w2 + b).label("n");
    let out = n.tanh().label("out");
    out.backward();

    for node in graph.nodes_of(out) {
        let name = node.label.unwrap_or_else(|| node.op.to_string());
        println!("{name:>4}  data {:8.4}  grad {:8.4}", node.data, node.grad.unwrap_or(0.0));
    }
}
