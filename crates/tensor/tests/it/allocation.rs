//! A step takes no memory.

use allocation_counter::measure;
use charloom_tensor::ops::{Rotary, RunningStats, Targets};
use charloom_tensor::{Element, Grads, Params, Pass, Recording, Var};

/// Steps of an MLP with one of every layer, after the first: how often they allocate.
fn allocations<E: Element>(fuse: bool) -> u64 {
    let (b, t, v, e, h) = (16, 3, 27, 10, 40);
    let mut params = Params::<E>::new();
    let some = |n: usize| (0..n).map(|i| E::of((i as f64).sin() / 4.0)).collect::<Vec<_>>();
    let table = params.add("table", &[v, e], &some(v * e));
    let hidden = params.add_by_columns("hidden", [h, t * e], &some(h * t * e));
    let out = params.add_by_columns("out", [v, h], &some(v * h));
    let scale = [0, 1, 2, 3].map(|i| params.add(&format!("p{i}"), &[h], &some(h)));
    let bias = params.add("bias", &[v], &some(v));
    let mean = params.add_buffer("mean", &[h], &some(h));
    let var = params.add_buffer("var", &[h], &vec![E::one(); h]);
    let (mut recording, (contexts, tokens, loss)) = Recording::new(&params, |tape| {
        let contexts = tape.index_rows(tape.axis(b), &[t]);
        let tokens = tape.indices(&[b], &vec![1; b]);
        let rows = tape.indices(&[b], &vec![0; b]);
        let p = scale.map(|id| tape.param(id));
        let mut x = tape.param(table).embedding(contexts).flatten(1).linear(tape.param(hidden), None);
        x = x.batch_norm(p[0], p[1], RunningStats { mean, var, momentum: 0.1 }, 1e-5).tanh();
        x = x.layer_norm(p[2], p[3], 1e-5).dropout(0.1, 1, 0);
        x = x + x.exp().softmax(1) * x.mean(&[1], true) - x.transpose(0, 1).sum(&[1], false);
        x = x
            .rms_norm(None, 1e-5)
            .rotary(Rotary { heads: 2, size: 10, length: b }, tape.indices(&[b], &[3; 16]));
        let (qkv, parents) = (
            Var::cat(&[x, x, x], 1),
            tape.indices(&[b], &std::array::from_fn::<u32, 16, _>(|i| i as u32 / 2)),
        );
        x = qkv.causal_attention(4, 8) + qkv.tree_attention(4, parents) + x.causal_mean(4)
            - x.tree_mean(parents);
        let logits = x.matmul(tape.param(out).transpose(0, 1)) + tape.param(bias);
        let loss = logits.cross_entropy(Targets { tokens, rows: Some(rows), ignore_index: Some(0) });
        (contexts, tokens, loss.id())
    });
    if fuse {
        recording.fuse(&[loss]);
    }
    let mut grads = Grads::zeros(&params);
    let mut losses = Vec::with_capacity(10);
    let mut step = |i: u32| {
        let pass = Pass { step: u64::from(i), ..Pass::training() };
        let write = |c: &mut [u32]| c.iter_mut().zip(i..).for_each(|(c, i)| *c = i % v as u32);
        recording.set_indices(contexts, write);
        recording.set_indices(tokens, write);
        recording.forward(&params, &pass);
        recording.backward(&params, &mut grads, loss, &pass);
        E::add_scaled(E::of(-0.01), grads.values(), params.values_mut());
        recording.store_buffers(&mut params);
        losses.push(recording.item(loss));
    };
    step(0);
    let taken = measure(|| (1..10).for_each(step)).count_total;
    assert!(losses[9].is_finite() && losses[9] != losses[0]);
    taken
}

#[test]
fn a_step_takes_no_memory() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1u8]))).count_total, 1, "allocations are counted");
    for fuse in [false, true] {
        assert_eq!(allocations::<f32>(fuse), 0);
        assert_eq!(allocations::<f64>(fuse), 0);
    }
}
