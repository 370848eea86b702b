use super::*;
use crate::kernels::tests::{assert_close, numbers, with_isa};
use crate::kernels::{Isa, Pool, reference};

/// Sequences: count, length, heads, size of a head. Sizes below, at and above those of vectors and blocks.
const SEQUENCES: [[usize; 4]; 7] = [
    [2, 1, 1, 1],
    [1, 5, 2, 3],
    [3, 16, 1, 8],
    [2, 33, 2, 16],
    [1, 70, 1, 40],
    [1, 64, 3, 5],
    [2, 17, 5, 32],
];
/// The parents of trees, one with a path longer than a vector.
const TREES: [&[u32]; 3] = [
    &[0, 0, 1, 1, 4, 3, 4, 5],
    &[0, 1, 0, 0, 1, 2, 2, 3, 4, 4, 5, 7, 10],
    &[0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 5],
];

/// Results and gradients, written and added, of the plain loops (`plain`) or of the kernels.
fn run(call: Attention<'_, f32>, plain: bool) -> Vec<f32> {
    let rows = call.qkv.len() / 3 / call.width;
    let (mut y, mut stats) = (vec![f32::NAN; rows * call.width], vec![[f32::NAN; 2]; rows * call.heads]);
    let (dy, mut dx) = (numbers(rows * call.width, 3), vec![f32::NAN; call.qkv.len()]);
    let mut added = numbers(call.qkv.len(), 4);
    if plain {
        reference::attend(call, &mut y, &mut stats);
        reference::attend_backward(call, &y, &stats, &dy, &mut dx, false);
        reference::attend_backward(call, &y, &stats, &dy, &mut added, true);
    } else {
        attend(call, &mut y, &mut stats);
        attend_backward(call, &y, &stats, &dy, &mut dx, false);
        attend_backward(call, &y, &stats, &dy, &mut added, true);
    }
    [y, stats.concat(), dx, added].concat()
}

/// Calls `f` for sequences and trees of many sizes, without and with dropout.
pub(in crate::kernels) fn each(mut f: impl FnMut(Attention<'_, f32>)) {
    let mut both = |causal_rows: CausalRows<'_>, rows: usize, heads: usize, size: usize| {
        let (width, qkv) = (heads * size, numbers(rows * 3 * heads * size, rows));
        for dropout in [None, Some(DropoutMask::new(0.3, 1, 2).at(3, 0))] {
            f(Attention { qkv: &qkv, width, heads, causal_rows, dropout });
        }
    };
    for [count, length, heads, size] in SEQUENCES {
        if !cfg!(miri) || length < 20 {
            both(CausalRows::Sequences(length), count * length, heads, size);
        }
    }
    for parents in TREES {
        let mut tree = Tree::new(parents.len());
        tree.set(parents);
        for [heads, size] in [[1, 1], [2, 3], [7, 8], [3, 16], [2, 35]] {
            both(CausalRows::Tree(&tree), parents.len(), heads, size);
        }
    }
}

#[test]
fn every_size_equals_the_plain_loops() {
    for isa in Isa::available() {
        each(|call| with_isa(isa, || assert_close(isa, &run(call, false), &run(call, true))));
    }
}

#[test]
fn threads_share_sequences_and_heads() {
    each(|call| {
        let bits = |n| {
            let all = Pool::with_least_work(n, 1).enter(false, || run(call, false));
            all.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert!(bits(1) == bits(3));
    });
}

/// A path in a tree, a sequence, and a sequence generated token by token give the same bits.
#[test]
fn a_sequence_is_a_path() {
    let (length, heads, size) = (40, 3, 16);
    let (width, qkv) = (heads * size, numbers::<f32>(length * 3 * heads * size, 1));
    let of = |causal_rows| {
        let call = Attention { qkv: &qkv, width, heads, causal_rows, dropout: None };
        let (mut y, mut stats) = (vec![0.0; length * width], vec![[0.0; 2]; length * heads]);
        attend(call, &mut y, &mut stats);
        y
    };
    let mut tree = Tree::new(length);
    tree.set(&(0..length as u32).map(|i| i.saturating_sub(1)).collect::<Vec<_>>());
    let y = of(CausalRows::Sequences(length));
    assert_eq!(y, of(CausalRows::Tree(&tree)));
    let part = |part: usize| -> Vec<f32> {
        qkv.chunks_exact(3 * width).flat_map(|row| row[part * width..][..width].to_vec()).collect()
    };
    let (keys, values) = (part(1), part(2));
    for at in [0, 1, 16, 39] {
        let cache = Cache { keys: &keys, values: &values, lengths: &[at as u32] };
        let mut newest = vec![0.0; width];
        attend_cached(&qkv[at * 3 * width..][..3 * width], width, heads, cache, &mut newest);
        assert_eq!(newest, y[at * width..][..width], "token {at}");
    }
}

/// Sizes that wrap to 0 in 64 bits.
#[test]
#[should_panic(expected = "heads of 8 numbers")]
fn more_heads_than_numbers_are_refused() {
    let cache = Cache { keys: &[], values: &[], lengths: &[0] };
    attend_cached(&[0.5; 24], 8, 1 << (usize::BITS - 1), cache, &mut [0.0; 8]);
}
