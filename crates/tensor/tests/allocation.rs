//! A replayed step takes no memory.

use allocation_counter::measure;
use charloom_tensor::ops::{RunningStats, Targets};
use charloom_tensor::{Element, Tape};

/// Steps of an MLP with one of every layer, after the first: how often they allocate.
fn allocations<E: Element>(fuse: bool) -> u64 {
    let (b, t, v, e, h) = (16, 3, 27, 10, 40);
    let tape = Tape::<E>::new();
    let some = |n: usize| (0..n).map(|i| E::of((i as f64).sin() / 4.0)).collect::<Vec<_>>();
    let table = tape.parameter("table", &[v, e], &some(v * e));
    let hidden = tape.parameter_by_columns("hidden", [h, t * e], &some(h * t * e));
    let out = tape.parameter_by_columns("out", [v, h], &some(v * h));
    let scale = [0, 1, 2, 3].map(|i| tape.parameter(&format!("p{i}"), &[h], &some(h)));
    let bias = tape.parameter("bias", &[v], &some(v));
    let mean = tape.buffer("mean", &[h], &some(h));
    let var = tape.buffer("var", &[h], &vec![E::one(); h]);
    let mark = tape.mark();
    let contexts = tape.indices(&[b, t], &vec![0; b * t]);
    let tokens = tape.indices(&[b], &vec![1; b]);
    let rows = tape.indices(&[b], &vec![0; b]);
    let p = scale.map(|id| tape.var(id));
    let mut x = tape.var(table).embedding(contexts).flatten(1).linear(tape.var(hidden), None);
    x = x.batch_norm(p[0], p[1], RunningStats { mean, var, momentum: 0.1 }, 1e-5).tanh();
    x = x.layer_norm(p[2], p[3], 1e-5).dropout(0.1, 1, 0);
    x = x + x.exp().softmax(1) * x.mean(&[1], true) - x.transpose(0, 1).sum(&[1], false);
    let logits = x.matmul(tape.var(out).transpose(0, 1)) + tape.var(bias);
    let loss = logits.cross_entropy(Targets { tokens, rows: Some(rows), ignore_index: Some(0) });
    let graph = tape.graph_since(mark);
    if fuse {
        tape.fuse(graph, &[loss.id()]);
    }
    let step = |i: u32| {
        tape.set_step(u64::from(i));
        let write = |c: &mut [u32]| c.iter_mut().zip(i..).for_each(|(c, i)| *c = i % v as u32);
        tape.set_indices(contexts, write);
        tape.set_indices(tokens, write);
        tape.replay(graph);
        loss.backward();
        tape.with_parameters(|p, g| p.iter_mut().zip(g).for_each(|(p, g)| *p -= *g * E::of(0.01)));
    };
    step(0);
    let before = loss.item();
    let taken = measure(|| (1..10).for_each(step)).count_total;
    assert!(loss.item().is_finite() && loss.item() != before);
    taken
}

#[test]
fn a_replayed_step_takes_no_memory() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1u8]))).count_total, 1, "allocations are counted");
    for fuse in [false, true] {
        assert_eq!(allocations::<f32>(fuse), 0);
        assert_eq!(allocations::<f64>(fuse), 0);
    }
}
