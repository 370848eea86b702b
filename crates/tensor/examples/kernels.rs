//! How fast the kernels are on this machine, beside a copy and beside its peak, on one thread.
//!
//! `cargo run --release -p charloom-tensor --example kernels [FILE OF WORDS]`; `CHARLOOM_ISA=avx2` asks for less.

use charloom_tensor::kernels::{self, Activation, Attention, CausalRows, Epilogue, Gemm, Isa, Norm, Tree};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

/// Microseconds of one call: the best of some rounds.
fn microseconds(mut f: impl FnMut()) -> f64 {
    let time = |f: &mut dyn FnMut(), calls: u32| {
        let start = Instant::now();
        (0..calls).for_each(|_| f());
        start.elapsed().as_secs_f64() * 1e6
    };
    let once = time(&mut f, 3) / 3.0;
    let calls = (10_000.0 / once.max(0.01)).clamp(1.0, 1e6) as u32;
    (0..9).map(|_| time(&mut f, calls) / f64::from(calls)).fold(f64::INFINITY, f64::min)
}

fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1000) as f32 / 250.0 - 2.0).collect()
}

/// Each kernel's time for an element, as many times that of a copy.
fn elementwise() {
    const WIDTH: usize = 192;
    const N: usize = WIDTH * 128;
    let (x, d, mut y, mut z) = (numbers(N, 1), numbers(N, 2), vec![0.0; N], vec![0.0; N]);
    let copy = microseconds(|| black_box(&mut y).copy_from_slice(black_box(&x)));
    println!("{N} elements, nanoseconds an element (times a copy)");
    let line = |name: &str, us: f64| println!("  {name:24} {:7.3} ({:5.1})", us * 1e3 / N as f64, us / copy);
    line("copy", copy);
    line("exp", microseconds(|| kernels::exp(black_box(&x), &mut y)));
    for kind in Activation::ALL {
        line(&format!("{kind:?}"), microseconds(|| kernels::activate(kind, black_box(&x), &mut y)));
        let back = microseconds(|| kernels::activate_backward(kind, black_box(&x), &y, &d, &mut z, false));
        line(&format!("{kind:?} backward"), back);
    }
    let (weight, bias) = (numbers(WIDTH, 3), numbers(WIDTH, 4));
    let mut stats = vec![[0.0; 2]; N / WIDTH];
    for (name, centred) in [("layer norm", true), ("rms norm", false)] {
        let bias = centred.then_some(&bias[..]);
        let norm = Norm { width: WIDTH, eps: 1e-5, centred, weight: Some(&weight), bias };
        line(name, microseconds(|| kernels::norm_rows(norm, black_box(&x), &mut y, &mut stats)));
        let back =
            microseconds(|| kernels::norm_rows_backward(norm, black_box(&x), &stats, &d, &mut z, false));
        line(&format!("{name} backward"), back);
    }
    let mut sums = vec![0.0; WIDTH];
    line("norm's weight", microseconds(|| kernels::norm_rows_weight(black_box(&x), &stats, &d, &mut sums)));
    line("sum of rows", microseconds(|| kernels::sum_rows(black_box(&d), &mut sums)));
    for width in [16, 24, 64, 192] {
        let mut lse = vec![[0.0; 2]; N / width];
        let (x, y) = (&x[..N / width * width], &mut y[..N / width * width]);
        line(
            &format!("softmax of {width}"),
            microseconds(|| kernels::softmax_rows(black_box(x), width, y, &mut lse)),
        );
        line(
            &format!("log-softmax of {width}"),
            microseconds(|| kernels::log_softmax_rows(black_box(x), width, y)),
        );
    }
    line("transpose", microseconds(|| kernels::transpose(black_box(&x), N / WIDTH, WIDTH, &mut y)));
}

/// Forward and backward of one attention whose rows look at `pairs` rows in all.
fn attention(
    name: &str,
    causal_rows: CausalRows<'_>,
    rows: usize,
    pairs: usize,
    [width, heads]: [usize; 2],
    peak: f64,
) {
    let (qkv, dy) = (numbers(rows * 3 * width, 1), numbers(rows * width, 2));
    let (mut y, mut stats, mut dx) =
        (vec![0.0; rows * width], vec![[0.0; 2]; rows * heads], vec![0.0; rows * 3 * width]);
    let call = Attention { qkv: &qkv, width, heads, causal_rows, dropout: None };
    let forward = microseconds(|| kernels::attend(black_box(call), &mut y, &mut stats));
    let backward =
        microseconds(|| kernels::attend_backward(black_box(call), &y, &stats, &dy, &mut dx, false));
    // Two products forward, five backward, of the pairs that are looked at.
    let share = |products: usize, us: f64| (2 * products * pairs * width) as f64 / us / 1e3 / peak * 100.0;
    println!(
        "  {name:32} forward {forward:8.1} us ({:4.1} % of peak), backward {backward:8.1} us ({:4.1} %), both {:8.1} us",
        share(2, forward),
        share(5, backward),
        forward + backward
    );
}

/// The parents in the trie of `count` words from all over the file, level by level.
fn trie(words: &[&str], count: usize) -> Vec<u32> {
    let step = words.len() / count;
    let mut parents = vec![0];
    let mut nodes = HashMap::new();
    let mut at: Vec<_> = (0..count).map(|i| (words[i * step].chars(), 0u32)).collect();
    while !at.is_empty() {
        at.retain_mut(|(rest, node)| {
            let Some(next) = rest.next() else { return false };
            *node = *nodes.entry((*node, next)).or_insert_with(|| {
                parents.push(*node);
                parents.len() as u32 - 1
            });
            true
        });
    }
    parents
}

/// Products, as shares of the peak: a layer's of m rows, n outputs and k inputs, its weight's gradient, and its
/// input's with the weight's transpose at hand.
fn products(peak: f64) {
    println!("products (m n k): as a layer's, its weight's gradient, its input's gradient, in % of the peak");
    for [m, n, k] in [
        [32, 200, 30],
        [32, 27, 200],
        [32, 200, 200],
        [1024, 200, 200],
        [128, 128, 128],
        [256, 256, 256],
        [512, 512, 512],
        [1024, 1024, 1024],
        [768, 384, 128],
        [768, 512, 128],
        [768, 128, 512],
        [2048, 576, 192],
        [2048, 768, 192],
        [2048, 192, 768],
        [64, 1024, 256],
    ] {
        let share = |[m, n, k]: [usize; 3], a_strides: [usize; 2]| {
            let (a, b, mut c) = (numbers(m * k, 1), numbers(k * n, 2), vec![0.0; m * n]);
            let us = microseconds(|| {
                let (a, b, c) = (black_box(&a[..]), black_box(&b[..]), &mut c[..]);
                kernels::gemm(Gemm {
                    m,
                    n,
                    k,
                    a,
                    a_strides,
                    b,
                    b_strides: [n, 1],
                    c,
                    c_stride: n,
                    epilogue: Epilogue::Set,
                });
            });
            100.0 * 2e-3 * (m * n * k) as f64 / us / peak
        };
        let (layer, weight, input) =
            (share([m, n, k], [k, 1]), share([k, n, m], [1, k]), share([m, k, n], [n, 1]));
        println!("  {m:4} {n:4} {k:4}  {layer:5.1} {weight:5.1} {input:5.1}");
    }
}

fn main() {
    let peak = kernels::peak_gflops();
    println!("{:?}, peak {peak:.1} GFLOP/s", Isa::detect());
    elementwise();
    products(peak);
    println!("attention");
    for [batch, length, width, heads] in
        [[16, 128, 192, 6], [12, 64, 128, 4], [32, 16, 64, 4], [64, 256, 384, 6], [1, 8, 16, 4]]
    {
        let name = format!("B {batch}, T {length}, C {width}, {heads} heads");
        let pairs = batch * length * (length + 1) / 2;
        attention(&name, CausalRows::Sequences(length), batch * length, pairs, [width, heads], peak);
    }
    let file = std::env::args().nth(1).unwrap_or_else(|| "fixtures/data/words.txt".to_owned());
    let text = std::fs::read_to_string(&file).expect("a file of words");
    let words: Vec<&str> = text.lines().collect();
    for (count, width, heads) in [(32, 64, 4), (128, 64, 4), (32, 128, 4), (1, 16, 4)] {
        let (parents, mut tree) = (trie(&words, count), Tree::new(100_000));
        tree.set(&parents);
        let set = microseconds(|| tree.set(black_box(&parents)));
        let mut depths = vec![1];
        (1..parents.len()).for_each(|i| depths.push(depths[parents[i] as usize] + 1));
        let name = format!("{count} words, {} nodes, C {width}", parents.len());
        let pairs = depths.iter().sum();
        attention(&name, CausalRows::Tree(&tree), parents.len(), pairs, [width, heads], peak);
        println!("  {:32} its order {set:8.2} us", "");
    }
}
