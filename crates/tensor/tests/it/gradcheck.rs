//! Gradients of the operations and of what is made of them, against differences in f64, to 1e-6 relative.
//!
//! Operations with a file of their own tests are checked there; here are those that work together.

use crate::check::{check, numbers, worst};
use charloom_tensor::kernels::Activation;
use charloom_tensor::ops::{RunningStats, SoftTargets, Targets};
use charloom_tensor::{Element, Env, InputGrads, Inputs, Op, Params, Var};

type Binary = for<'t> fn(Var<'t, f64>, Var<'t, f64>) -> Var<'t, f64>;

#[test]
fn arithmetic_broadcasts() {
    let shapes: [[&[usize]; 2]; 7] = [
        [&[2, 3], &[2, 3]],
        [&[2, 3], &[3]],
        [&[2, 1], &[1, 3]],
        [&[3], &[4, 2, 3]],
        [&[4, 1, 3], &[2, 1]],
        [&[2, 3], &[]],
        [&[], &[]],
    ];
    let operations: [Binary; 4] = [|a, b| a + b, |a, b| a - b, |a, b| a * b, |a, b| a / b];
    for [a, b] in shapes {
        for f in operations {
            check(&[a, b], |v| f(v[0], v[1]));
        }
        // A power of a negative number is one only for whole exponents, so the bases are positive.
        check(&[a, b], |v| v[0].exp().pow(v[1]));
    }
    for exponent in [-1.0, 0.0, 1.0, 2.0, 3.0] {
        check(&[&[2, 3]], |v| v[0].powf(exponent));
    }
    check(&[&[3]], |v| (2.0 - v[0]) * 3.0 / (1.5 + v[0] * v[0]) + 1.0 / v[0] - 0.5);
}

#[test]
fn a_value_used_twice_gets_both_gradients() {
    check(&[&[3]], |v| v[0] * v[0]);
    check(&[&[3]], |v| v[0] + v[0]);
    check(&[&[2, 3]], |v| v[0] * v[0].slice(0, 1, 2));
    check(&[&[2, 3]], |v| {
        let y = v[0].tanh();
        y * y.exp() + y.sum(&[1], true) * v[0]
    });
    check(&[&[3, 3]], |v| v[0].linear(v[0], Some(v[0].slice(0, 1, 2).reshape(&[3]))));
}

#[test]
fn views_pass_gradients_to_what_they_look_at() {
    check(&[&[2, 6]], |v| v[0].reshape(&[3, 4]).transpose(0, 1).tanh());
    check(&[&[3, 4]], |v| v[0].transpose(0, 1).reshape(&[2, 6]).slice(1, 1, 4) * 2.0);
    check(&[&[3, 4]], |v| v[0].slice(1, 1, 3).slice(0, 0, 2).transpose(0, 1).exp());
    check(&[&[2, 3, 4]], |v| v[0].transpose(0, 2).slice(0, 1, 3).flatten(1) * v[0].slice(2, 0, 1).sum_all());
    // Two pieces of one tensor, each with its own user, and a part that has none.
    check(&[&[4, 3]], |v| v[0].slice(0, 0, 1).tanh() + v[0].slice(0, 2, 3).exp());
    // A view of a view of an operation's output, and that output itself.
    check(&[&[4, 3]], |v| {
        let y = v[0].sigmoid();
        y.transpose(0, 1).slice(1, 0, 2).contiguous() * y.slice(0, 0, 2).transpose(0, 1) + y.sum_all()
    });
}

#[test]
fn activations() {
    for activation in Activation::ALL {
        check(&[&[3, 7]], |v| v[0].activate(activation));
        check(&[&[3, 7]], |v| v[0].activate(activation) * v[0]);
        check(&[&[2, 3]], |v| v[0].transpose(0, 1).activate(activation));
    }
}

#[test]
fn linear() {
    check(&[&[5, 4], &[3, 4], &[3]], |v| v[0].linear(v[1], Some(v[2])));
    check(&[&[2, 3, 4], &[5, 4]], |v| v[0].linear(v[1], None));
    check(&[&[4], &[5, 4]], |v| v[0].linear(v[1], None));
    // A weight that lies in memory as (in, out).
    check(&[&[5, 4], &[4, 3]], |v| v[0].linear(v[1].transpose(0, 1), None));
    check(&[&[4, 5], &[3, 8]], |v| v[0].transpose(0, 1).linear(v[1].slice(1, 2, 6), None));
}

#[test]
fn embedding() {
    check(&[&[5, 3]], |v| v[0].embedding(v[0].tape().indices(&[2, 3], &[1, 4, 1, 0, 1, 4])));
    check(&[&[3, 5]], |v| v[0].transpose(0, 1).embedding(v[0].tape().indices(&[2], &[4, 4])).tanh());
}

/// Running statistics of so many channels.
fn statistics(channels: usize) -> (Params<f64>, RunningStats) {
    let mut params = Params::new();
    let var: Vec<f64> = numbers(channels, 6).iter().map(|x| x * x + 0.5).collect();
    let mean = params.add_buffer("running_mean", &[channels], &numbers(channels, 5));
    let var = params.add_buffer("running_var", &[channels], &var);
    (params, RunningStats { mean, var, momentum: 0.1 })
}

#[test]
fn batch_norm_in_training_and_evaluation() {
    for (training, shape) in [(true, &[6, 4][..]), (false, &[6, 4]), (true, &[3, 2, 4]), (false, &[3, 2, 4])]
    {
        let (params, running) = statistics(4);
        let shapes = [shape, &[4], &[4]];
        let points: Vec<Vec<f64>> = (0..3).map(|k| numbers(shapes[k].iter().product(), k)).collect();
        for times in [false, true] {
            let checked = worst(&params, &shapes, &points, |v| {
                v[0].tape().set_training(training);
                let y = v[0].batch_norm(v[1], v[2], running, 1e-5);
                if times { y * v[0] } else { y }
            });
            checked.assert_below(1e-6);
        }
    }
}

#[test]
fn cross_entropy() {
    check(&[&[4, 5]], |v| v[0].cross_entropy(v[0].tape().indices(&[4], &[0, 4, 2, 2])));
    check(&[&[4, 5]], |v| {
        let tokens = v[0].tape().indices(&[4], &[0, 4, 2, 2]);
        v[0].cross_entropy(Targets { tokens, rows: None, ignore_index: Some(4) }) * v[0].slice(0, 1, 2)
    });
    check(&[&[3, 5]], |v| {
        let tape = v[0].tape();
        let (tokens, rows) = (tape.indices(&[5], &[0, 4, 2, 3, 3]), tape.indices(&[5], &[0, 0, 2, 1, 2]));
        v[0].cross_entropy(Targets { tokens, rows: Some(rows), ignore_index: None })
    });
    // Logits so large that exp overflows.
    check(&[&[3, 2]], |v| {
        let tape = v[0].tape();
        let rows = Some(tape.indices(&[4], &[0, 2, 2, 1]));
        let targets = Targets { tokens: tape.indices(&[4], &[1, 0, 1, 1]), rows, ignore_index: None };
        let table = [0.25, 0.75, 1.0, 0.0].into();
        let soft = SoftTargets { table, rows: tape.indices(&[4], &[1, 0, 0, 1]), weight: 0.4 };
        v[0].cross_entropy_with(targets, soft)
    });
    check(&[&[2, 3]], |v| (v[0] + 900.0).cross_entropy(v[0].tape().indices(&[2], &[2, 0])));
}

#[test]
fn coarse_operations_equal_the_primitives_they_stand_for() {
    use charloom_testkit::assert_close;
    let (params, running) = statistics(4);
    let tape = charloom_tensor::Tape::with(&params);
    let compare = |inputs: &[Var<'_, f64>], coarse: Var<'_, f64>, primitive: Var<'_, f64>| {
        assert_close(&coarse.data(), &primitive.data(), 1e-12, 1e-13);
        let weights = numbers(coarse.shape().len(), 3);
        let grads = |y: Var<'_, f64>| {
            tape.backward_from(y.id(), &weights);
            inputs.iter().flat_map(|v| v.grad()).collect::<Vec<_>>()
        };
        let of_coarse = grads(coarse);
        assert!(of_coarse.iter().any(|&g| g != 0.0));
        assert_close(&of_coarse, &grads(primitive), 1e-10, 1e-12);
    };
    let x = tape.variable(&[6, 4], &numbers(24, 0));
    let (weight, bias) = (tape.variable(&[4], &numbers(4, 1)), tape.variable(&[4], &numbers(4, 2)));
    let matrix = tape.variable(&[3, 4], &numbers(12, 4));
    let shift = tape.variable(&[3], &numbers(3, 5));

    let normed =
        |dim| (x - x.mean(&[dim], true)) / (x.var(&[dim], false, true) + 1e-5).sqrt() * weight + bias;
    compare(&[x, weight, bias], x.batch_norm(weight, bias, running, 1e-5), normed(0));
    compare(&[x, weight, bias], x.layer_norm(weight, bias, 1e-5), normed(1));
    compare(&[x, matrix, shift], x.linear(matrix, Some(shift)), x.matmul(matrix.transpose(0, 1)) + shift);
    let tokens = [0, 3, 1, 1, 2, 0];
    let targets = tape.indices(&[6], &tokens);
    let picked = tape.indices(&[6, 1], &tokens);
    compare(&[x], x.cross_entropy(targets), -x.log_softmax(1).gather(1, picked).mean_all());
    compare(&[x], x.softmax(1), x.exp() / x.exp().sum(&[1], true));
    compare(&[matrix], matrix.embedding(tape.indices(&[2], &[2, 0])), {
        tape.one_hot(tape.indices(&[2], &[2, 0]), 3).matmul(matrix)
    });
    compare(&[x], x.sigmoid(), 1.0 / (1.0 + (-x).exp()));
    compare(&[x], x.tanh(), (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()));
}

/// y = 3 x with a backward that may be wrong in either of two ways.
#[derive(Clone, Copy)]
struct Triple {
    slope: f64,
    adds: bool,
}

impl Op<f64> for Triple {
    fn name(&self) -> &'static str {
        "triple"
    }

    fn forward(&mut self, x: Inputs<'_, f64>, out: &mut [f64], _: &Env<'_, f64>) {
        out.iter_mut().zip(x.get(0)).for_each(|(y, &x)| *y = 3.0 * x);
    }

    fn backward(
        &mut self,
        _: Inputs<'_, f64>,
        _: &[f64],
        grad: &[f64],
        grads: &mut InputGrads<'_, f64>,
        _: &Env<'_, f64>,
    ) {
        let Some(mut g) = grads.get(0) else { return };
        g.add &= self.adds;
        g.each(|i| self.slope * grad[i]);
    }
}

#[test]
fn a_wrong_gradient_is_caught() {
    let error = |slope, adds| {
        let op = Triple { slope, adds };
        let point = [numbers(4, 0)];
        let alone =
            worst(&Params::new(), &[&[4]], &point, |v| v[0].tape().record(op, &[v[0].id()], v[0].shape()));
        // The sum's gradient passes the product first, so that of the triple is added.
        let shared = worst(&Params::new(), &[&[4]], &point, |v| {
            let tripled = v[0].tape().record(op, &[v[0].id()], v[0].shape());
            tripled + v[0].exp() * v[0]
        });
        alone.worst_error.max(shared.worst_error)
    };
    assert!(error(3.0, true) < 1e-6);
    assert!(error(3.0 + 1e-5, true) > 1e-6);
    assert!(error(-3.0, true) > 1.0);
    assert!(error(3.0, false) > 0.1);
    assert!(error(f64::NAN, true) > 1.0);
}

#[test]
fn f32_gradients_follow_f64() {
    fn gradient<E: Element>() -> Vec<f64> {
        let tape = charloom_tensor::Tape::<E>::new();
        let of = |n, seed| numbers(n, seed).into_iter().map(E::of).collect::<Vec<_>>();
        let (x, w) = (tape.variable(&[5, 4], &of(20, 0)), tape.variable(&[3, 4], &of(12, 1)));
        let y = x.linear(w, None).gelu();
        (y * y.softmax(1)).var(&[0, 1], true, false).backward();
        x.grad().into_iter().chain(w.grad()).map(Element::f64).collect()
    }
    charloom_testkit::assert_close(&gradient::<f32>(), &gradient::<f64>(), 1e-4, 1e-6);
}
