//! Single operations, forward and backward, at the sizes of the usual models.
#![allow(missing_docs)]

use std::hint::black_box;

use charloom_tensor::kernels::Activation;
use charloom_tensor::ops::RunningStats;
use charloom_tensor::{Grads, NodeId, ParamId, Params, Pass, Recording, Tape, Var};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// H, V, E, T of the usual models.
const HIDDEN: usize = 200;
const VOCAB: usize = 27;
const EMBED: usize = 10;
const CONTEXT: usize = 3;

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect()
}

fn tokens(n: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * 7919) % VOCAB) as u32).collect()
}

/// Times the graph that `record` builds with the parameters that `declare` adds: forward, and backward from
/// its output.
fn bench<const N: usize>(
    c: &mut Criterion,
    name: &str,
    batch: usize,
    declare: impl Fn(&mut Params<f32>) -> [ParamId; N],
    record: impl Fn(&Tape<f32>, [ParamId; N]) -> NodeId,
) {
    let mut params = Params::new();
    let ids = declare(&mut params);
    let (mut recording, out) = Recording::new(&params, |tape| record(tape, ids));
    let mut grads = Grads::zeros(&params);
    let gradient = numbers(recording.shape(out).len());
    let pass = Pass::training();
    // The backward pass needs the values of a forward pass, even if only backward is timed.
    recording.forward(&params, &pass);
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(batch as u64));
    group.bench_function(BenchmarkId::new("forward", batch), |b| {
        b.iter(|| recording.forward(black_box(&params), &pass));
    });
    group.bench_function(BenchmarkId::new("backward", batch), |b| {
        b.iter(|| recording.backward_from(black_box(&params), &mut grads, out, &gradient, &pass));
    });
    group.finish();
}

fn variable<'t>(tape: &'t Tape<'t, f32>, rows: usize, columns: usize) -> Var<'t, f32> {
    tape.variable(&[rows, columns], &numbers(rows * columns))
}

/// Gain and bias of a norm.
fn scale(params: &mut Params<f32>) -> [ParamId; 2] {
    ["gain", "bias"].map(|name| params.add(name, &[HIDDEN], &numbers(HIDDEN)))
}

fn linear(params: &mut Params<f32>) -> [ParamId; 2] {
    let weight = params.add_by_columns("w", [HIDDEN, HIDDEN], &numbers(HIDDEN * HIDDEN));
    [weight, params.add("b", &[HIDDEN], &numbers(HIDDEN))]
}

fn batch_norm(params: &mut Params<f32>) -> [ParamId; 4] {
    let [gain, bias] = scale(params);
    let mean = params.add_buffer("mean", &[HIDDEN], &[0.0; HIDDEN]);
    [gain, bias, mean, params.add_buffer("var", &[HIDDEN], &[1.0; HIDDEN])]
}

fn table(params: &mut Params<f32>) -> [ParamId; 1] {
    [params.add("table", &[VOCAB, EMBED], &numbers(VOCAB * EMBED))]
}

fn ops(c: &mut Criterion) {
    for batch in [32, 1024] {
        bench(c, "linear", batch, linear, |tape, [w, b]| {
            variable(tape, batch, HIDDEN).linear(tape.param(w), Some(tape.param(b))).id()
        });
        for (name, kind) in
            [("tanh", Activation::Tanh), ("relu", Activation::Relu), ("gelu", Activation::Gelu)]
        {
            bench(c, name, batch, |_| [], |tape, []| variable(tape, batch, HIDDEN).activate(kind).id());
        }
        bench(c, "batch_norm", batch, batch_norm, |tape, [gain, bias, mean, var]| {
            let running = RunningStats { mean, var, momentum: 0.1 };
            let x = variable(tape, batch, HIDDEN);
            x.batch_norm(tape.param(gain), tape.param(bias), running, 1e-5).id()
        });
        bench(c, "layer_norm", batch, scale, |tape, [gain, bias]| {
            variable(tape, batch, HIDDEN).layer_norm(tape.param(gain), tape.param(bias), 1e-5).id()
        });
        bench(
            c,
            "cross_entropy",
            batch,
            |_| [],
            |tape, []| {
                let targets = tape.indices(&[batch], &tokens(batch));
                variable(tape, batch, VOCAB).cross_entropy(targets).id()
            },
        );
        bench(c, "embedding", batch, table, |tape, [table]| {
            let contexts = tape.indices(&[batch, CONTEXT], &tokens(batch * CONTEXT));
            tape.param(table).embedding(contexts).id()
        });
    }
}

criterion_group!(benches, ops);
criterion_main!(benches);
