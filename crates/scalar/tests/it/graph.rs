//! What holds of any graph.

use std::panic::{AssertUnwindSafe, catch_unwind};

use charloom_scalar::{Activation, Bias, Graph, Neuron, Random};

#[test]
fn a_value_used_twice_gets_both_gradients() {
    let graph = Graph::new();
    let a = graph.value(3.0);
    (a + a).backward();
    assert_eq!(a.grad(), 2.0);

    let (a, b) = (graph.value(-2.0), graph.value(3.0));
    let (d, e) = (a * b, a + b);
    (d * e).backward();
    assert_eq!((a.grad(), b.grad()), (-3.0, -8.0));
}

#[test]
fn leaves_accumulate_over_passes_and_nothing_else_does() {
    let graph = Graph::new();
    let a = graph.value(2.0);
    let h = a * a;
    let y = h * 3.0;
    y.backward();
    y.backward();
    assert_eq!((a.grad(), h.grad(), y.grad()), (24.0, 3.0, 1.0));
    a.backward();
    assert_eq!((a.grad(), h.grad()), (25.0, 0.0));
    graph.zero_grad();
    assert_eq!(a.grad(), 0.0);
}

#[test]
fn numbers_stand_on_either_side() {
    let graph = Graph::new();
    let x = graph.value(4.0);
    for (y, data, grad) in [
        (x + 1.0, 5.0, 1.0),
        (1.0 + x, 5.0, 1.0),
        (x - 1.0, 3.0, 1.0),
        (1.0 - x, -3.0, -1.0),
        (x * 2.0, 8.0, 2.0),
        (2.0 * x, 8.0, 2.0),
        (x / 2.0, 2.0, 0.5),
        (2.0 / x, 0.5, -0.125),
        (-x, -4.0, -1.0),
        (x.pow(2.0), 16.0, 8.0),
    ] {
        x.zero_grad();
        y.backward();
        assert_eq!((y.data(), x.grad()), (data, grad));
    }
}

#[test]
fn what_the_root_does_not_depend_on_is_left_alone() {
    let graph = Graph::new();
    let (a, b) = (graph.value(0.0), graph.value(1.0));
    let infinite = a.ln();
    (b * 2.0).backward();
    assert_eq!((a.grad(), b.grad(), infinite.grad()), (0.0, 2.0, 0.0));
}

#[test]
fn choices_at_the_edges_are_pytorchs() {
    let graph = Graph::new();
    let grads = |x: f64, n: f64| {
        let (x, n) = (graph.value(x), graph.value(n));
        x.pow(n).backward();
        (x.grad(), n.grad())
    };
    assert_eq!(grads(0.0, 0.0), (0.0, 0.0));
    assert_eq!(grads(0.0, 2.0), (0.0, 0.0));
    let negative = grads(-2.0, 2.0);
    assert_eq!(negative.0, -4.0);
    assert!(negative.1.is_nan());
    // The gradient of a constant exponent does not exist, whatever the base.
    let n = graph.constant(2.0);
    graph.value(-2.0).pow(n).backward();
    assert_eq!(n.grad(), 0.0);

    let zero = graph.value(0.0);
    zero.relu().backward();
    assert_eq!(zero.grad(), 0.0);
    assert!(graph.value(f64::NAN).relu().data().is_nan());
}

#[test]
fn a_chain_of_a_million_nodes() {
    let graph = Graph::new();
    let a = graph.value(0.5);
    let mut y = a;
    for _ in 0..1_000_000 {
        y = y + a;
    }
    y.backward();
    assert_eq!((y.data(), a.grad()), (500_000.5, 1_000_001.0));
}

#[test]
fn a_neurons_one_node_has_the_bits_of_its_steps() {
    for inputs in [0, 1, 2, 7, 50] {
        let graph = Graph::new();
        let neuron = Neuron::new(&graph, &mut Random::seed(7), inputs, Activation::Tanh, Bias::Uniform);
        let mut random = Random::seed(8);
        let x: Vec<_> = (0..inputs).map(|_| graph.value(random.uniform(-2.0, 2.0))).collect();
        let bits = || -> Vec<u64> {
            neuron.parameters().chain(x.iter().copied()).map(|v| v.grad().to_bits()).collect()
        };
        let fused = neuron.forward(&x);
        fused.backward();
        let fused_grads = bits();
        graph.zero_grad();
        let steps = neuron.forward_in_steps(&x);
        steps.backward();
        assert_eq!(fused.data().to_bits(), steps.data().to_bits());
        assert_eq!(fused_grads, bits());
        assert_eq!(graph.nodes_of(fused).len(), 2 * inputs + 3);
        assert_eq!(graph.nodes_of(steps).len(), 4 * inputs + 2);
    }
}

#[test]
fn truncate_keeps_what_was_before_and_spots_what_was_after() {
    let graph = Graph::new();
    let w = graph.value(2.0).label("w");
    let mark = graph.mark();
    let old = (w * 3.0).label("old");
    graph.truncate(mark);
    assert_eq!((graph.len(), w.data()), (1, 2.0));
    assert!(catch_unwind(AssertUnwindSafe(|| old.data())).is_err());
    // Another node now lies where the old one lay, and the old handle still is not taken for it.
    let new = (w * 5.0, w * 7.0);
    assert!(catch_unwind(AssertUnwindSafe(|| old + 1.0)).is_err());
    assert_eq!(new.1.data(), 14.0);
    graph.truncate(graph.mark());
    assert_eq!(new.1.data(), 14.0);
}

#[test]
fn misuse_panics() {
    let (one, two) = (Graph::new(), Graph::new());
    let (a, b) = (one.value(1.0), two.value(1.0));
    let fails = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).is_err();
    assert!(fails(&|| _ = (a + b).data()));
    assert!(fails(&|| _ = one.affine(&[a], &[], a).data()));
    assert!(fails(&|| _ = one.affine(&[a], &[b], a).data()));
    assert!(fails(&|| (a + 1.0).set_data(2.0)));
    assert!(!fails(&|| a.set_data(2.0)));
    // A panic leaves the graph usable.
    assert_eq!((a + 1.0).data(), 3.0);
}
