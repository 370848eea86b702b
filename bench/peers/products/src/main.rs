//! Times matrix products of charloom and of other Rust crates: `products M N K ROUNDS`, one line of JSON.
//!
//! Three products of a layer with m rows, k inputs and n outputs: its output, its weight's gradient (k x m
//! times m x n, the first transposed), and its input's gradient. Microseconds, medians over the rounds; in
//! each round every library has a turn. `peak` is a core's peak in GFLOP/s, from a loop of fused
//! multiply-adds.

use charloom_tensor::kernels::{self, Epilogue};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use std::hint::black_box;
use std::time::Instant;

/// A product of A (m, k) and B (k, n); if `turned`, A is stored transposed.
struct Product {
    sizes: [usize; 3],
    turned: bool,
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Product {
    fn new([m, n, k]: [usize; 3], turned: bool) -> Self {
        let numbers = |n: usize| (0..n).map(|i| (i * 7919 % 1000) as f32 / 250.0 - 2.0).collect();
        Self { sizes: [m, n, k], turned, a: numbers(m * k), b: numbers(k * n), c: vec![0.0; m * n] }
    }

    /// The strides of A's rows and columns.
    fn strides(&self) -> [usize; 2] {
        let [m, _, k] = self.sizes;
        if self.turned { [1, m] } else { [k, 1] }
    }

    fn charloom(&mut self) {
        let ([m, n, k], a_strides) = (self.sizes, self.strides());
        let (a, b, c) = (&self.a[..], &self.b[..], &mut self.c[..]);
        kernels::gemm(kernels::Gemm {
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
    }

    fn gemm(&mut self) {
        let ([m, n, k], [row, column]) = (self.sizes, self.strides().map(|stride| stride as isize));
        let (a, b, c, n_stride) = (self.a.as_ptr(), self.b.as_ptr(), self.c.as_mut_ptr(), n as isize);
        let one = gemm::Parallelism::None;
        // SAFETY: the matrices have these sizes and strides.
        unsafe {
            gemm::gemm(
                m, n, k, c, 1, n_stride, false, a, column, row, b, 1, n_stride, 0.0, 1.0, false, false, false,
                one,
            );
        }
    }

    fn matrixmultiply(&mut self) {
        let ([m, n, k], [row, column]) = (self.sizes, self.strides().map(|stride| stride as isize));
        let (a, b, c, n_stride) = (self.a.as_ptr(), self.b.as_ptr(), self.c.as_mut_ptr(), n as isize);
        // SAFETY: the matrices have these sizes and strides.
        unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a, row, column, b, n_stride, 1, 0.0, c, n_stride, 1) };
    }

    fn faer(&mut self) {
        let [m, n, k] = self.sizes;
        let a = match self.turned {
            false => MatRef::from_row_major_slice(&self.a, m, k),
            true => MatRef::from_column_major_slice(&self.a, m, k),
        };
        let b = MatRef::from_row_major_slice(&self.b, k, n);
        matmul(MatMut::from_row_major_slice_mut(&mut self.c, m, n), Accum::Replace, a, b, 1.0, Par::Seq);
    }
}

/// A library's product.
type Multiply = fn(&mut Product);

/// The libraries by name.
const PEERS: [(&str, Multiply); 4] = [
    ("charloom", Product::charloom),
    ("gemm", Product::gemm),
    ("matrixmultiply", Product::matrixmultiply),
    ("faer", Product::faer),
];

/// The mean microseconds of a call, over about five milliseconds.
fn microseconds(multiply: Multiply, product: &mut Product) -> f64 {
    multiply(product);
    let start = Instant::now();
    let mut calls = 0;
    while start.elapsed().as_micros() < 5000 {
        multiply(black_box(product));
        calls += 1;
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let [m, n, k, rounds] = numbers[..] else {
        eprintln!("usage: products M N K ROUNDS");
        std::process::exit(2);
    };
    let cases = [("layer", [m, n, k], false), ("weight", [k, n, m], true), ("input", [m, k, n], false)];
    let mut line = serde_json::json!({ "m": m, "n": n, "k": k });
    let mut peak = 0.0_f64;
    for (case, sizes, turned) in cases {
        let mut product = Product::new(sizes, turned);
        let mut times = PEERS.map(|_| Vec::new());
        for _ in 0..rounds {
            peak = peak.max(kernels::peak_gflops());
            for ((_, multiply), times) in PEERS.iter().zip(&mut times) {
                times.push(microseconds(*multiply, &mut product));
            }
        }
        for ((name, _), times) in PEERS.iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            line[case][name] = times[times.len() / 2].into();
        }
    }
    line["peak"] = peak.into();
    println!("{line}");
}
