//! Gradients on a tape against differences, in f64.

use charloom_tensor::{Params, Tape, Var};
use charloom_testkit::gradcheck;

/// `n` numbers between -1.5 and 1.5 without a pattern, no two alike.
pub fn numbers(n: usize, seed: usize) -> Vec<f64> {
    (0..n).map(|i| ((i as f64 + 1.0) * 12.9898 + seed as f64 * 78.233).sin() * 43758.5453 % 1.5).collect()
}

/// Checks the gradient by every element of every input of `f`, at numbers of `seed`, to 1e-6 relative.
///
/// The output is brought to one number by a weighted sum, so that no element's gradient hides another's.
#[track_caller]
pub fn check(shapes: &[&[usize]], f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>) {
    let sizes: Vec<usize> = shapes.iter().map(|s| s.iter().product()).collect();
    let points = (0..shapes.len()).map(|k| numbers(sizes[k], k)).collect::<Vec<_>>();
    check_at(shapes, &points, f);
}

/// The same at given points.
#[track_caller]
pub fn check_at(
    shapes: &[&[usize]],
    points: &[Vec<f64>],
    f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
) {
    worst(&Params::new(), shapes, points, f).assert_below(1e-6);
}

/// How far the gradient is from the differences.
pub fn worst(
    params: &Params<f64>,
    shapes: &[&[usize]],
    points: &[Vec<f64>],
    f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
) -> charloom_testkit::GradCheck {
    let loss = |x: &[f64], gradient: Option<&mut Vec<f64>>| {
        let tape = Tape::with(params);
        let mut rest = x;
        let mut inputs = Vec::new();
        for shape in shapes {
            let (data, after) = rest.split_at(shape.iter().product());
            inputs.push(tape.variable(shape, data));
            rest = after;
        }
        let y = f(&inputs);
        let weights = tape.input(y.shape().dims(), &numbers(y.shape().len(), 99));
        let loss = (y * weights).sum_all();
        if let Some(gradient) = gradient {
            loss.backward();
            gradient.extend(inputs.iter().flat_map(|v| v.grad()));
        }
        loss.item()
    };
    let mut analytic = Vec::new();
    loss(&points.concat(), Some(&mut analytic));
    gradcheck(|x| loss(x, None), &points.concat(), &analytic)
}
