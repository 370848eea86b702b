//! Every operation against PyTorch: values and gradients, in both precisions.

use charloom_tensor::kernels::{Activation, Cell};
use charloom_tensor::ops::{Rotary, RunningStats, SoftTargets, Targets};
use charloom_tensor::{Element, Indices, Params, Tape, Var};
use charloom_testkit::{Golden, OpCase, closeness, op_cases};

/// How far a result may be from torch's, relative and absolute. Sums in another order differ by rounding.
struct Tolerance {
    rtol: f64,
    atol: f64,
}

const F64: Tolerance = Tolerance { rtol: 1e-12, atol: 1e-13 };
const F32: Tolerance = Tolerance { rtol: 2e-6, atol: 2e-6 };

fn number(case: &OpCase, name: &str) -> f64 {
    case.attrs[name].as_f64().unwrap_or_else(|| panic!("{} has no number {name:?}", case.op))
}

fn size(case: &OpCase, name: &str) -> usize {
    number(case, name) as usize
}

fn flag(case: &OpCase, name: &str) -> bool {
    case.attrs[name].as_bool().unwrap_or_else(|| panic!("{} has no flag {name:?}", case.op))
}

fn sizes(case: &OpCase, name: &str) -> Vec<usize> {
    case.numbers(name).iter().map(|&d| d as usize).collect()
}

fn elements<E: Element>(data: &[f64]) -> Vec<E> {
    data.iter().map(|&x| E::of(x)).collect()
}

/// The case's input `k` as integers, which may be negative to say "ignore".
fn indices<E: Element>(tape: &Tape<'_, E>, case: &OpCase, k: usize) -> Indices {
    let input = &case.inputs[k];
    let data: Vec<u32> = input.data.iter().map(|&i| if i < 0.0 { u32::MAX } else { i as u32 }).collect();
    tape.indices(&input.shape, &data)
}

fn reduce<'t, E: Element>(
    case: &OpCase,
    x: Var<'t, E>,
    f: impl Fn(Var<'t, E>, &[usize], bool) -> Var<'t, E>,
) -> Var<'t, E> {
    let all = (0..x.shape().rank()).collect();
    let dims = if case.attrs["dims"].is_null() { all } else { sizes(case, "dims") };
    f(x, &dims, flag(case, "keepdim"))
}

/// The running statistics of a batch norm; nothing for other operations.
fn buffers<E: Element>(case: &OpCase) -> Params<E> {
    let mut params = Params::new();
    if case.op == "batch_norm" {
        for name in ["running_mean", "running_var"] {
            let data = elements(&case.numbers(name));
            params.add_buffer(name, &[data.len()], &data);
        }
    }
    params
}

fn batch_norm<'t, E: Element>(
    case: &OpCase,
    tape: &Tape<'t, E>,
    params: &Params<E>,
    x: &[Var<'t, E>],
) -> Var<'t, E> {
    tape.set_training(flag(case, "training"));
    let [mean, var] = ["running_mean", "running_var"].map(|name| params.find(name).unwrap());
    let running = RunningStats { mean, var, momentum: number(case, "momentum") };
    x[0].batch_norm(x[1], x[2], running, number(case, "eps"))
}

fn cross_entropy<'t, E: Element>(case: &OpCase, tape: &Tape<'t, E>, x: Var<'t, E>) -> Var<'t, E> {
    let ignore = number(case, "ignore_index");
    let ignore = if ignore < 0.0 { u32::MAX } else { ignore as u32 };
    let tokens = indices(tape, case, 1);
    x.cross_entropy(Targets { tokens, rows: None, ignore_index: Some(ignore) })
}

fn linear<'t, E: Element>(x: &[Var<'t, E>], activation: Option<Activation>) -> Var<'t, E> {
    let y = x[0].linear(x[1], x.get(2).copied());
    activation.map_or(y, |a| y.activate(a))
}

fn rotary<'t, E: Element>(case: &OpCase, tape: &Tape<'t, E>, x: Var<'t, E>) -> Var<'t, E> {
    let of = |name| size(case, name);
    x.rotary(Rotary { heads: of("heads"), size: of("size"), length: of("length") }, indices(tape, case, 1))
}

/// Sequences side by side: row t B + b follows row (t - 1) B + b.
fn recurrence<'t, E: Element>(case: &OpCase, cell: Cell, tape: &Tape<'t, E>, x: &[Var<'t, E>]) -> Var<'t, E> {
    let (rows, batch) = (case.inputs[0].shape[0] as u32, number(case, "batch") as u32);
    let parents: Vec<u32> = (0..rows).map(|row| row.saturating_sub(batch).max(row % batch)).collect();
    let parents = tape.indices(&[parents.len()], &parents);
    x[0].recurrence(cell, [x[1], x[2]], Some(parents), Some(x[3]))
}

/// The case's operation on its inputs.
fn apply<'t, E: Element>(
    case: &OpCase,
    tape: &'t Tape<'t, E>,
    params: &Params<E>,
    x: &[Var<'t, E>],
) -> Var<'t, E> {
    match case.op.as_str() {
        "add" => x[0] + x[1],
        "sub" => x[0] - x[1],
        "mul" => x[0] * x[1],
        "div" => x[0] / x[1],
        "pow_tensor" => x[0].pow(x[1]),
        "pow" => x[0].powf(number(case, "exponent")),
        "neg" => -x[0],
        "exp" => x[0].exp(),
        "log" => x[0].log(),
        "sqrt" => x[0].sqrt(),
        "tanh" => x[0].tanh(),
        "relu" => x[0].relu(),
        "gelu" => x[0].gelu(),
        "sigmoid" => x[0].sigmoid(),
        "gelu_tanh" => x[0].gelu_tanh(),
        "squared_relu" => x[0].squared_relu(),
        "sum" => reduce(case, x[0], Var::sum),
        "mean" => reduce(case, x[0], Var::mean),
        "var" => reduce(case, x[0], |x, dims, keep| x.var(dims, flag(case, "unbiased"), keep)),
        "max" => reduce(case, x[0], Var::max),
        "softmax" => x[0].softmax(size(case, "dim")),
        "log_softmax" => x[0].log_softmax(size(case, "dim")),
        "cross_entropy" => cross_entropy(case, tape, x[0]),
        "matmul" => x[0].matmul(x[1]),
        "linear" => linear(x, None),
        "linear_tanh" => linear(x, Some(Activation::Tanh)),
        "linear_relu" => linear(x, Some(Activation::Relu)),
        "linear_gelu" => linear(x, Some(Activation::Gelu)),
        "embedding" => x[0].embedding(indices(tape, case, 1)),
        "one_hot" => tape.one_hot(indices(tape, case, 0), size(case, "num_classes")),
        "reshape" => x[0].reshape(&sizes(case, "shape")),
        "transpose" => x[0].transpose(size(case, "dim0"), size(case, "dim1")),
        "slice" => x[0].slice(size(case, "dim"), size(case, "start"), size(case, "end")),
        "batch_norm" => batch_norm(case, tape, params, x),
        "layer_norm" => x[0].layer_norm(x[1], x[2], number(case, "eps")),
        "rms_norm" => x[0].rms_norm(x.get(1).copied(), number(case, "eps")),
        "rotary" => rotary(case, tape, x[0]),
        "causal_attention" => x[0].causal_attention(size(case, "heads"), size(case, "length")),
        "tree_attention" => x[0].tree_attention(size(case, "heads"), indices(tape, case, 1)),
        "causal_mean" => x[0].causal_mean(size(case, "length")),
        "tree_mean" => x[0].tree_mean(indices(tape, case, 1)),
        "rnn" => recurrence(case, Cell::Rnn, tape, x),
        "gru" => recurrence(case, Cell::Gru, tape, x),
        "lstm" => recurrence(case, Cell::Lstm, tape, x),
        op => panic!("no operation {op:?}"),
    }
}

/// Runs a case, compares its value, its gradients and what else it changed.
fn replay<E: Element>(case: &OpCase, tolerance: &Tolerance) -> Result<(), String> {
    let mut params = buffers::<E>(case);
    let tape = Tape::with(&params);
    let inputs: Vec<_> = case.inputs.iter().map(|x| tape.variable(&x.shape, &elements(&x.data))).collect();
    let y = apply(case, &tape, &params, &inputs);
    if y.shape().dims() != case.output.shape {
        return Err(format!("shape {:?}, expected {:?}", y.shape(), case.output.shape));
    }
    // A mean is rounded as its numbers are, and what is left of them without it is off by as much; torch's is too.
    let ulp = E::epsilon().f64() / 2.0 * case.inputs[0].data.iter().fold(0.0, |m, x| x.abs().max(m));
    let atol = tolerance.atol + if case.op == "batch_norm" { ulp } else { 0.0 };
    let close = |what: &str, actual: Vec<E>, expected: &[f64]| {
        let actual: Vec<f64> = actual.into_iter().map(Element::f64).collect();
        closeness(&actual, expected, tolerance.rtol, atol).map_err(|e| format!("{what}: {e}"))
    };
    close("value", y.data(), &case.output.data)?;
    if let Some(grad) = &case.grad_output {
        let weights = tape.input(&grad.shape, &elements(&grad.data));
        (y * weights).sum_all().backward();
    }
    for (k, (input, grad)) in inputs.iter().zip(&case.grads).enumerate() {
        if let Some(grad) = grad {
            close(&format!("gradient of input {k}"), input.grad(), &grad.data)?;
        }
    }
    tape.finish().store_buffers(&mut params);
    for (id, entry) in params.ids().zip(params.entries()) {
        close(&entry.name, params.read(id), &case.after[&entry.name])?;
    }
    Ok(())
}

/// How close f32 is to be. The slope of attention's score is p (v dy - y dy): where p is 1 or 0 it vanishes
/// only to the rounding of these two, which are as large as the inputs' products.
fn tolerance(op: &str, case: &OpCase) -> Tolerance {
    let largest = case.inputs.iter().flat_map(|input| &input.data).fold(1.0_f64, |most, x| most.max(x.abs()));
    let scale = if op.ends_with("attention") { largest } else { 1.0 };
    Tolerance { atol: F32.atol * scale * scale, ..F32 }
}

/// All cases of some operations, in their own precision and, from f64, in f32.
fn golden(ops: &[&str], dtypes: &[&str], keep: impl Fn(&OpCase) -> bool) {
    let mut problems = Vec::new();
    for op in ops {
        for &dtype in dtypes {
            let cases: Vec<OpCase> = op_cases(op, dtype).into_iter().filter(&keep).collect();
            assert!(!cases.is_empty(), "no cases of {op}");
            for (i, case) in cases.iter().enumerate() {
                let mut note = |precision: &str, result: Result<(), String>| {
                    if let Err(e) = result {
                        problems.push(format!("{op} {dtype} #{i} in {precision}: {e}"));
                    }
                };
                note("f32", replay::<f32>(case, &tolerance(op, case)));
                if dtype == "f64" {
                    note("f64", replay::<f64>(case, &F64));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn arithmetic() {
    golden(&["add", "sub", "mul", "div", "pow_tensor", "pow"], &["f64"], |_| true);
}

#[test]
fn elementwise() {
    let ops = ["neg", "exp", "log", "sqrt", "tanh", "relu", "gelu", "sigmoid", "gelu_tanh", "squared_relu"];
    golden(&ops, &["f64", "f32"], |_| true);
}

#[test]
fn reductions() {
    golden(&["sum", "mean", "var", "max"], &["f64"], |_| true);
}

#[test]
fn softmaxes() {
    golden(&["softmax", "log_softmax"], &["f64", "f32"], |_| true);
}

#[test]
fn losses() {
    golden(&["cross_entropy"], &["f64", "f32"], |case| case.attrs["reduction"] == "mean");
}

/// Cases of `fixtures/soft_targets.json`; `make_soft_targets.py` says what each field holds.
#[derive(serde::Deserialize)]
struct SoftCase {
    logits: Golden,
    targets: Golden,
    probs: Golden,
    weight: f64,
    loss: f64,
    grad: Golden,
}

#[derive(serde::Deserialize)]
struct SoftCases {
    cases: Vec<SoftCase>,
}

fn soft_losses<E: Element>(tolerance: &Tolerance) {
    let SoftCases { cases } = charloom_testkit::fixture("soft_targets.json");
    assert!(cases.len() >= 4, "there are cases");
    for case in cases {
        let tape = Tape::<E>::new();
        let logits = tape.variable(&case.logits.shape, &elements(&case.logits.data));
        let n = case.targets.data.len();
        let tokens: Vec<u32> = case.targets.indices().iter().map(|&token| token as u32).collect();
        let rows: Vec<u32> = (0..n as u32).collect();
        let table = elements(&case.probs.data).into();
        let soft = SoftTargets { table, rows: tape.indices(&[n], &rows), weight: case.weight };
        let loss = logits.cross_entropy_with(tape.indices(&[n], &tokens), soft);
        loss.backward();
        let grad: Vec<f64> = logits.grad().iter().map(|g| g.f64()).collect();
        let Tolerance { rtol, atol } = *tolerance;
        charloom_testkit::assert_close(&[loss.item().f64()], &[case.loss], rtol, atol);
        charloom_testkit::assert_close(&grad, &case.grad.data, rtol, atol);
    }
}

#[test]
fn losses_by_distributions() {
    soft_losses::<f64>(&F64);
    soft_losses::<f32>(&F32);
}

#[test]
fn products() {
    golden(&["matmul", "linear", "linear_tanh", "linear_relu", "linear_gelu"], &["f64", "f32"], |_| true);
}

#[test]
fn shapes() {
    golden(&["embedding"], &["f64", "f32"], |_| true);
    golden(&["one_hot", "reshape", "transpose", "slice"], &["f64"], |_| true);
}

#[test]
fn recurrent_cells() {
    golden(&["rnn", "gru", "lstm"], &["f64", "f32"], |_| true);
}

#[test]
fn norms() {
    golden(&["batch_norm", "layer_norm", "rms_norm"], &["f64", "f32"], |_| true);
}

#[test]
fn what_looks_at_earlier_rows() {
    let ops = ["rotary", "causal_attention", "tree_attention", "causal_mean", "tree_mean"];
    golden(&ops, &["f64", "f32"], |_| true);
}
