//! Against fixtures/scalar.json: PyTorch's values and gradients, CPython's random numbers.

use charloom_scalar::{Graph, Mlp, Random, Style, Value, moons};
use serde_json::Value as Json;

fn golden() -> Json {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/scalar.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Within 1e-12, relative above 1; a NaN on either side fails.
#[track_caller]
fn close(what: &str, got: f64, want: f64) {
    let bound = 1e-12 * want.abs().max(1.0);
    assert!((got - want).abs() <= bound, "{what}: {got:e}, PyTorch has {want:e}");
}

#[track_caller]
fn all_close(what: &str, got: &[f64], want: &Json) {
    let want = numbers(want);
    assert_eq!(got.len(), want.len(), "{what}: how many");
    for (i, (&got, want)) in got.iter().zip(want).enumerate() {
        close(&format!("{what}[{i}]"), got, want);
    }
}

#[test]
fn random_numbers_are_cpythons() {
    for case in golden()["random"].as_array().unwrap() {
        let mut random = Random::seed(case["seed"].as_i64().unwrap());
        let uniform: Vec<u64> = (0..8).map(|_| random.uniform(-1.0, 1.0).to_bits()).collect();
        let want: Vec<u64> =
            case["uniform"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap()).collect();
        assert_eq!(uniform, want, "seed {}", case["seed"]);
        let gauss: Vec<f64> = (0..5).map(|_| random.gauss(0.0, 0.5)).collect();
        all_close("gauss", &gauss, &case["gauss"]);
    }
}

#[test]
fn every_op_has_pytorchs_value_and_gradient() {
    let graph = Graph::new();
    let leaf = |x| graph.value(x);
    let (a, b, c, d) = (leaf(0.7), leaf(-1.3), leaf(2.1), leaf(0.4));
    let e = a * b + c / d - 2.0;
    let f = (e * d).tanh() + (a - b).sigmoid() * 3.0;
    let g = c.pow(d) + c.pow(2.5) + 1.5 / a;
    let h = (f.exp() + g).ln() - (-b).sqrt();
    let i = (h + 0.5).relu() * (1.0 - d) + (a - 5.0).relu() + f / h + 0.25 * a;
    let y = i + i * i + 3.0 - (graph.constant(2.0)).pow(d);
    y.backward();
    let named =
        [("a", a), ("b", b), ("c", c), ("d", d), ("e", e), ("f", f), ("g", g), ("h", h), ("i", i), ("y", y)];
    let want = &golden()["every_op"];
    assert_eq!(want.as_object().unwrap().len(), named.len());
    for (name, value) in named {
        all_close(name, &[value.data(), value.grad()], &want[name]);
    }
}

#[test]
fn the_notebooks_network_is_pytorchs() {
    let want = &golden()["notebook"];
    let graph = Graph::new();
    let mlp = Mlp::new(&graph, &mut Random::seed(1337), 3, &[4, 4, 1], Style::NOTEBOOK);
    let mark = graph.mark();
    let y = mlp.forward(&graph.constants(&[2.0, 3.0, -1.0]))[0];
    y.backward();
    close("y", y.data(), want["y"].as_f64().unwrap());
    all_close("data", &mlp.parameters().map(Value::data).collect::<Vec<_>>(), &want["data"]);
    all_close("grad", &mlp.parameters().map(Value::grad).collect::<Vec<_>>(), &want["grad"]);

    let xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]];
    let ys = [1.0, -1.0, -1.0, 1.0];
    let predict = || xs.map(|x| mlp.forward(&graph.constants(&x))[0]);
    let mut losses = Vec::new();
    for _ in 0..20 {
        graph.truncate(mark);
        let loss = graph.sum(predict().into_iter().zip(ys).map(|(p, y)| (p - y).pow(2.0)));
        losses.push(loss.data());
        mlp.zero_grad();
        loss.backward();
        mlp.step(0.05);
    }
    all_close("losses", &losses, &want["losses"]);
    all_close("predictions", &predict().map(Value::data), &want["predictions"]);
}

#[test]
fn two_moons_train_as_in_pytorch() {
    let want = &golden()["moons"];
    let mut random = Random::seed(1337);
    let data = moons(30, 0.1, &mut random);
    for ((x, _), want) in data.iter().zip(want["points"].as_array().unwrap()) {
        all_close("point", x, want);
    }
    let graph = Graph::new();
    let mlp = Mlp::new(&graph, &mut random, 2, &[8, 8, 1], Style::MICROGRAD);
    let mark = graph.mark();
    let score = |x: &[f64; 2]| mlp.forward(&graph.constants(x))[0];
    let mut losses = Vec::new();
    for k in 0..10 {
        graph.truncate(mark);
        let margins = graph.sum(data.iter().map(|(x, y)| (1.0 - *y * score(x)).relu()));
        let loss = margins / data.len() as f64 + 1e-4 * graph.sum(mlp.parameters().map(|p| p * p));
        losses.push(loss.data());
        mlp.zero_grad();
        loss.backward();
        mlp.step(0.5 - 0.04 * f64::from(k));
    }
    all_close("losses", &losses, &want["losses"]);
    let right = data.iter().filter(|(x, y)| (score(x).data() > 0.0) == (*y > 0.0)).count();
    close("accuracy", right as f64 / data.len() as f64, want["accuracy"].as_f64().unwrap());
}
