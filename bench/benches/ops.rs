//! Single operations, forward and backward, at the sizes of the usual models.
#![allow(missing_docs)]

use std::hint::black_box;

use charloom_tensor::kernels::Activation;
use charloom_tensor::ops::{RunningStats, Targets};
use charloom_tensor::{Tape, Var};
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

/// Times what `record` records: once replayed forward, once backward from its output.
fn bench(
    c: &mut Criterion,
    name: &str,
    batch: usize,
    record: impl Fn(&Tape<f32>, usize) -> (charloom_tensor::Mark, charloom_tensor::Id),
) {
    let tape = Tape::new();
    let (mark, out) = record(&tape, batch);
    let graph = tape.graph_since(mark);
    let gradient = numbers(tape.var(out).shape().len());
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(batch as u64));
    group.bench_function(BenchmarkId::new("forward", batch), |b| b.iter(|| tape.replay(black_box(graph))));
    group.bench_function(BenchmarkId::new("backward", batch), |b| {
        b.iter(|| tape.backward_from(black_box(out), &gradient));
    });
    group.finish();
}

fn variable(tape: &Tape<f32>, rows: usize, columns: usize) -> Var<'_, f32> {
    tape.variable(&[rows, columns], &numbers(rows * columns))
}

fn ops(c: &mut Criterion) {
    for batch in [32, 1024] {
        bench(c, "linear", batch, |tape, batch| {
            let w = tape.parameter_by_columns("w", [HIDDEN, HIDDEN], &numbers(HIDDEN * HIDDEN));
            let b = tape.parameter("b", &[HIDDEN], &numbers(HIDDEN));
            let x = variable(tape, batch, HIDDEN);
            let mark = tape.mark();
            (mark, x.linear(tape.var(w), Some(tape.var(b))).id())
        });
        for (name, kind) in
            [("tanh", Activation::Tanh), ("relu", Activation::Relu), ("gelu", Activation::Gelu)]
        {
            bench(c, name, batch, |tape, batch| {
                let x = variable(tape, batch, HIDDEN);
                let mark = tape.mark();
                (mark, x.activate(kind).id())
            });
        }
        bench(c, "batch_norm", batch, |tape, batch| {
            let gain = tape.parameter("gain", &[HIDDEN], &numbers(HIDDEN));
            let bias = tape.parameter("bias", &[HIDDEN], &numbers(HIDDEN));
            let mean = tape.buffer("mean", &[HIDDEN], &[0.0; HIDDEN]);
            let var = tape.buffer("var", &[HIDDEN], &[1.0; HIDDEN]);
            let x = variable(tape, batch, HIDDEN);
            let mark = tape.mark();
            let running = RunningStats { mean, var, momentum: 0.1 };
            (mark, x.batch_norm(tape.var(gain), tape.var(bias), running, 1e-5).id())
        });
        bench(c, "layer_norm", batch, |tape, batch| {
            let gain = tape.parameter("gain", &[HIDDEN], &numbers(HIDDEN));
            let bias = tape.parameter("bias", &[HIDDEN], &numbers(HIDDEN));
            let x = variable(tape, batch, HIDDEN);
            let mark = tape.mark();
            (mark, x.layer_norm(tape.var(gain), tape.var(bias), 1e-5).id())
        });
        bench(c, "cross_entropy", batch, |tape, batch| {
            let x = variable(tape, batch, VOCAB);
            let targets = tape.indices(&[batch], &tokens(batch));
            let mark = tape.mark();
            (mark, x.cross_entropy(Targets::from(targets)).id())
        });
        bench(c, "embedding", batch, |tape, batch| {
            let table = tape.parameter("table", &[VOCAB, EMBED], &numbers(VOCAB * EMBED));
            let contexts = tape.indices(&[batch, CONTEXT], &tokens(batch * CONTEXT));
            let mark = tape.mark();
            (mark, tape.var(table).embedding(contexts).id())
        });
    }
}

criterion_group!(benches, ops);
criterion_main!(benches);
