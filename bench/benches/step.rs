//! A training step of notebook 001's net with the tensor crate alone: forward, loss, backward, update, with
//! and without fused operations.
#![allow(missing_docs)]

use charloom_tensor::rng::TorchGenerator;
use charloom_tensor::{Element, Grads, NodeId, Params, Pass, Recording};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const HIDDEN: usize = 200;
const VOCAB: usize = 27;
const EMBED: usize = 10;
const CONTEXT: usize = 3;

/// The net's parameters, and the recording of its loss on a batch of random contexts.
fn record(batch: usize, fuse: bool) -> (Params<f32>, Recording<f32>, NodeId) {
    let mut generator = TorchGenerator::new(1);
    let mut normal = |n: usize, scale: f32| {
        let mut numbers = vec![0.0; n];
        generator.randn_f32(&mut numbers);
        numbers.iter_mut().for_each(|x| *x *= scale);
        numbers
    };
    let inputs = CONTEXT * EMBED;
    let mut params = Params::new();
    let table = params.add("embedding.weight", &[VOCAB, EMBED], &normal(VOCAB * EMBED, 1.0));
    let w1 = params.add_by_columns("layers.0.weight", [HIDDEN, inputs], &normal(HIDDEN * inputs, 0.3));
    let b1 = params.add("layers.0.bias", &[HIDDEN], &normal(HIDDEN, 0.0));
    let w2 = params.add_by_rows("layers.2.weight", [VOCAB, HIDDEN], &normal(VOCAB * HIDDEN, 0.01));
    let b2 = params.add("layers.2.bias", &[VOCAB], &normal(VOCAB, 0.0));
    let draw = |n: usize| {
        let mut tokens = vec![0; n];
        TorchGenerator::new(n as u64).randint_into(VOCAB as u32, &mut tokens);
        tokens
    };
    let (mut recording, loss) = Recording::new(&params, |tape| {
        let contexts = tape.indices(&[batch, CONTEXT], &draw(batch * CONTEXT));
        let targets = tape.indices(&[batch], &draw(batch));
        let x = tape.param(table).embedding(contexts).flatten(1);
        let hidden = x.linear(tape.param(w1), Some(tape.param(b1))).tanh();
        hidden.linear(tape.param(w2), Some(tape.param(b2))).cross_entropy(targets).id()
    });
    if fuse {
        recording.fuse(&[loss]);
    }
    (params, recording, loss)
}

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    for batch in [32, 128, 1024] {
        group.throughput(Throughput::Elements(batch as u64));
        for (name, fuse) in [("plain", false), ("fused", true)] {
            let (mut params, mut recording, loss) = record(batch, fuse);
            let (mut grads, pass) = (Grads::zeros(&params), Pass::training());
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                b.iter(|| {
                    recording.forward(&params, &pass);
                    recording.backward(&params, &mut grads, loss, &pass);
                    f32::add_scaled(-0.1, grads.values(), params.values_mut());
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
