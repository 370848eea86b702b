//! A training step of notebook 001's net on the tape alone: forward, loss, backward, update; with and without fusing.
#![allow(missing_docs)]

use charloom_tensor::ops::Targets;
use charloom_tensor::rng::TorchGenerator;
use charloom_tensor::{Element, Graph, Id, Tape};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const HIDDEN: usize = 200;
const VOCAB: usize = 27;
const EMBED: usize = 10;
const CONTEXT: usize = 3;

/// The net on a batch of made-up contexts.
fn record(tape: &Tape<f32>, batch: usize, fuse: bool) -> (Graph, Id) {
    let mut generator = TorchGenerator::new(1);
    let mut normal = |n: usize, scale: f32| {
        let mut numbers = vec![0.0; n];
        generator.randn_f32(&mut numbers);
        numbers.iter_mut().for_each(|x| *x *= scale);
        numbers
    };
    let inputs = CONTEXT * EMBED;
    let table = tape.parameter("embedding.weight", &[VOCAB, EMBED], &normal(VOCAB * EMBED, 1.0));
    let w1 = tape.parameter_by_columns("layers.0.weight", [HIDDEN, inputs], &normal(HIDDEN * inputs, 0.3));
    let b1 = tape.parameter("layers.0.bias", &[HIDDEN], &normal(HIDDEN, 0.0));
    let w2 = tape.parameter_by_columns("layers.2.weight", [VOCAB, HIDDEN], &normal(VOCAB * HIDDEN, 0.01));
    let b2 = tape.parameter("layers.2.bias", &[VOCAB], &normal(VOCAB, 0.0));
    let draw = |n: usize| {
        let mut tokens = vec![0; n];
        TorchGenerator::new(n as u64).randint_into(VOCAB as u32, &mut tokens);
        tokens
    };
    let contexts = tape.indices(&[batch, CONTEXT], &draw(batch * CONTEXT));
    let targets = tape.indices(&[batch], &draw(batch));
    let mark = tape.mark();
    let x = tape.var(table).embedding(contexts).flatten(1);
    let hidden = x.linear(tape.var(w1), Some(tape.var(b1))).tanh();
    let loss = hidden.linear(tape.var(w2), Some(tape.var(b2))).cross_entropy(Targets::from(targets)).id();
    let graph = tape.graph_since(mark);
    if fuse {
        tape.fuse(graph, &[loss]);
    }
    (graph, loss)
}

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    for batch in [32, 128, 1024] {
        group.throughput(Throughput::Elements(batch as u64));
        for (name, fuse) in [("plain", false), ("fused", true)] {
            let tape = Tape::new();
            let (graph, loss) = record(&tape, batch, fuse);
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                b.iter(|| {
                    tape.replay(graph);
                    tape.backward(loss);
                    tape.with_parameters(|p, g| Element::add_scaled(-0.1, g, p));
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
