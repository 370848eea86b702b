//! The three matrix products of a layer, at the sizes of the usual models and at powers of two and near them.
//!
//! Criterion's elements are operations, two for each multiply-add: read `Gelem/s` as GFLOP/s.
//! `peers/products.py` compares with other libraries, as shares of the core's peak.
#![allow(missing_docs)]

use std::hint::black_box;

use charloom_tensor::kernels::{self, Epilogue, Gemm};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Rows, outputs and inputs of layers: of notebook 001's model, of the deep net, then mostly of equal sizes.
const LAYERS: [[usize; 3]; 10] = [
    [32, 200, 30],
    [32, 27, 200],
    [32, 100, 100],
    [128, 128, 128],
    [256, 255, 257],
    [256, 256, 256],
    [512, 512, 512],
    [1000, 1000, 1000],
    [1024, 1024, 1024],
    [128, 1536, 384],
];

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919) % 1000) as f32 / 250.0 - 2.0).collect()
}

/// Times a product of (m, k) and (k, n); if `turned`, the first is stored transposed.
fn product(c: &mut Criterion, name: &str, [m, n, k]: [usize; 3], turned: bool) {
    let (a, b, mut to) = (numbers(m * k), numbers(k * n), vec![0.0; m * n]);
    let a_strides = if turned { [1, m] } else { [k, 1] };
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements((2 * m * n * k) as u64));
    group.bench_function(BenchmarkId::from_parameter(format!("{m}x{n}x{k}")), |bencher| {
        bencher.iter(|| {
            let (a, b, c) = (black_box(&a[..]), black_box(&b[..]), &mut to[..]);
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
    });
    group.finish();
}

fn layers(c: &mut Criterion) {
    for [rows, outputs, inputs] in LAYERS {
        product(c, "layer", [rows, outputs, inputs], false);
        product(c, "weight's gradient", [inputs, outputs, rows], true);
        product(c, "input's gradient", [rows, inputs, outputs], false);
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
