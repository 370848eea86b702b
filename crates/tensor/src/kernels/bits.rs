//! Every kernel gives the same bits in every instruction set, equal to recorded bits of other processors.

use super::tests::numbers;
use super::*;

/// Lengths of rows: below, at and above those of every vector and block.
const SIZES: [usize; 24] =
    [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 27, 31, 32, 33, 40, 41, 64, 65, 100, 129, 200];

/// As [`numbers`], but with some infinities, NaN and the like.
fn unusual(n: usize, seed: usize) -> Vec<f32> {
    const AT: usize = 7;
    let all =
        [f32::NAN, 100.0, f32::INFINITY, -0.0, 1e-40, -3e38, 0.0, f32::NEG_INFINITY, 20.0, -104.0, 1e-20];
    let mut x: Vec<f32> = numbers(n, seed);
    x.iter_mut().skip(seed % AT).step_by(AT).enumerate().for_each(|(i, x)| *x = all[(i + seed) % all.len()]);
    x
}

/// Numbers from -12 to 12, denser around 0.
fn spread(n: usize, seed: usize) -> Vec<f32> {
    numbers::<f32>(n, seed).into_iter().map(|x| x * x * x * 12.0).collect()
}

/// Calls `f` with ordinary numbers, and with unusual ones.
fn both(f: impl Fn(fn(usize, usize) -> Vec<f32>) -> Vec<f32>) -> Vec<f32> {
    [f(spread), f(unusual)].concat()
}

fn activations(n: usize) -> Vec<f32> {
    let one = |kind| {
        both(|of| {
            let (x, d, mut y) = (of(n, 1), of(n, 2), vec![0.0; n]);
            activate(kind, &x, &mut y);
            let (mut set, mut added) = (vec![0.0; n], of(n, 3));
            activate_backward(kind, &x, &y, &d, &mut set, false);
            activate_backward(kind, &x, &y, &d, &mut added, true);
            [y, set, added].concat()
        })
    };
    Activation::ALL.map(one).concat()
}

fn exponentials(n: usize) -> Vec<f32> {
    both(|of| {
        let (x, mut y) = (of(n, 1).iter().map(|x| x * 8.0).collect::<Vec<_>>(), vec![0.0; n]);
        exp(&x, &mut y);
        y
    })
}

fn softmaxes(n: usize) -> Vec<f32> {
    const ROWS: usize = 19;
    both(|of| {
        let x = of(ROWS * n, n);
        let (mut p, mut lse, mut logs) = (vec![0.0; x.len()], [[0.0; 2]; ROWS], vec![0.0; x.len()]);
        softmax_rows(&x, n, &mut p, &mut lse);
        log_softmax_rows(&x, n, &mut logs);
        [p, lse.concat(), logs].concat()
    })
}

fn rows(n: usize) -> Vec<f32> {
    const ROWS: usize = 9;
    both(|of| {
        let (table, bias, d, v) = (of(5 * n, 1), of(n, 2), of(ROWS * n, 3), of(ROWS * n, 4));
        let slots: Vec<u32> = (0..3 * ROWS as u32).map(|i| i * 7 % 5).collect();
        let mut all = Vec::new();
        for kind in [None, Some(Activation::Tanh), Some(Activation::Relu), Some(Activation::Sigmoid)] {
            let mut y = vec![0.0; ROWS * n];
            gather_rows(&table, &bias, &slots, 3, kind, &mut y);
            all.append(&mut y);
        }
        for kind in Activation::ALL.map(Some).into_iter().chain([None]) {
            let mut y = table.clone();
            scatter_rows(kind, &v, &d, n, &slots, 3, &mut y);
            all.append(&mut y);
        }
        let [mut sum, mut scaled, mut added, mut y] = [bias.clone(), v.clone(), v.clone(), v.clone()];
        sum_rows(&d, &mut sum);
        scale_rows(&of(ROWS, 5), &d, &mut scaled, false);
        scale_rows(&of(ROWS, 5), &d, &mut added, true);
        add_scaled(-0.3, &d, &mut y);
        let mut three = vec![0.0; (ROWS - 1) * n];
        add_rows(&d[1..], n, &v, &bias, &mut three);
        [all, sum, scaled, added, y, three].concat()
    })
}

/// With few rows, and with enough that they are summed in two halves.
fn channels(n: usize) -> Vec<f32> {
    let of_rows = |rows: usize, of: fn(usize, usize) -> Vec<f32>| {
        let (x, d, often) = (of(rows * n, 1), of(rows * n, 2), numbers::<f32>(rows, 3));
        let often: Vec<f32> = often.iter().map(|x| (x * 3.0).abs().ceil()).collect();
        let mut all = Vec::new();
        for counts in [&often[..], &[]] {
            let [mut mean, mut squares, mut sum, mut hat] = [(); 4].map(|()| vec![0.0; n]);
            let [mut y, mut dx] = [vec![0.0; rows * n], of(rows * n, 4)];
            channel_moments(&x, counts, &mut mean, &mut squares);
            channel_sums(&x, &d, &mean, &squares, &mut sum, &mut hat);
            channel_affine(&x, &mean, &squares, &mut y);
            channel_backward(&x, &d, counts, [&mean, &sum, &hat], &mut dx, true);
            channel_backward(&x, &d, counts, [&mean, &sum, &hat], &mut y, false);
            all.extend([mean, squares, sum, hat, y, dx].concat());
        }
        all
    };
    [both(|of| of_rows(6, of)), of_rows(MANY_ROWS + 3, spread)].concat()
}

fn norms(n: usize) -> Vec<f32> {
    const ROWS: usize = 7;
    both(|of| {
        let (x, dy, weight, bias) = (of(ROWS * n, 1), of(ROWS * n, 2), of(n, 3), of(n, 4));
        let mut all = Vec::new();
        for (centred, weight, bias) in [
            (true, Some(&weight[..]), Some(&bias[..])),
            (false, Some(&weight[..]), None),
            (false, None, None),
        ] {
            let norm = Norm { width: n, eps: 1e-5, centred, weight, bias };
            let (mut y, mut stats, mut dx, mut dweight) =
                (vec![0.0; x.len()], [[0.0; 2]; ROWS], of(ROWS * n, 5), of(n, 6));
            norm_rows(norm, &x, &mut y, &mut stats);
            norm_rows_weight(&x, &stats, &dy, &mut dweight);
            norm_rows_backward(norm, &x, &stats, &dy, &mut dx, true);
            all.extend([&y[..], stats.as_flattened(), &dx, &dweight].concat());
            norm_rows_backward(norm, &x, &stats, &dy, &mut dx, false);
            all.append(&mut dx);
        }
        all
    })
}

fn cells(n: usize) -> Vec<f32> {
    const ROWS: usize = 5;
    both(|of| {
        let mut all = Vec::new();
        for cell in [Cell::Rnn, Cell::Gru, Cell::Lstm] {
            let (hidden, g, s) = (n, ROWS * cell.gates() * n, ROWS * cell.states() * n);
            let (x, before, d_after) = (of(g, 1), of(s, 2), of(s, 3));
            let [mut gates, mut d_x] = [of(g, 4), of(g, 5)];
            let [mut after, mut d_before, mut kept] = [vec![0.0; s], vec![0.0; s], vec![0.0; ROWS * n]];
            let (x, before, d_after) = (&x[..], &before[..], &d_after[..]);
            cell_forward(CellForward {
                cell,
                hidden,
                x,
                gates: &mut gates,
                before,
                after: &mut after,
                kept: &mut kept,
            });
            all.extend([&gates[..], &after, &kept].concat());
            let (after, kept, add) = (&after[..], &kept[..], n.is_multiple_of(2));
            let (gates, d_x, d_before) = (&mut gates[..], &mut d_x[..], &mut d_before[..]);
            let call = CellBackward { cell, hidden, gates, before, after, kept, d_after, d_x, add, d_before };
            cell_backward(call);
            all.extend([gates, d_x, d_before].concat());
        }
        all
    })
}

fn turns(n: usize) -> Vec<f32> {
    both(|of| {
        let (size, width) = (2 * n, 4 * n + 3);
        let (x, angles, positions) = (of(3 * width, 1), of(5 * size, 2), [4, 0, 3]);
        let rotary = Rotary { width, heads: 2, size, angles: &angles };
        let (mut y, mut back) = (vec![0.0; x.len()], of(3 * width, 3));
        rotate(rotary, &positions, &x, &mut y, false, false);
        rotate(rotary, &positions, &x, &mut back, true, true);
        [y, back].concat()
    })
}

/// Heads of `n` numbers, and sequences of `n` rows.
fn attentions(n: usize) -> Vec<f32> {
    let mut tree = Tree::new(9);
    tree.set(&[0, 0, 1, 1, 3, 4, 3, 0, 6]);
    let one = |of: fn(usize, usize) -> Vec<f32>,
               causal_rows: CausalRows<'_>,
               rows: usize,
               [heads, size]: [usize; 2]| {
        let (width, qkv, dy) = (heads * size, of(rows * 3 * heads * size, 1), of(rows * heads * size, 2));
        let (mut y, mut stats, mut dx) =
            (vec![0.0; rows * width], vec![[0.0; 2]; rows * heads], of(rows * 3 * width, 3));
        let call = Attention { qkv: &qkv, width, heads, causal_rows, dropout: None };
        attend(call, &mut y, &mut stats);
        attend_backward(call, &y, &stats, &dy, &mut dx, true);
        let mut newest = vec![0.0; width];
        let cache = Cache { keys: &y, values: &dy, lengths: &[rows as u32] };
        attend_cached(&qkv[..3 * width], width, heads, cache, &mut newest);
        [y, stats.concat(), dx, newest].concat()
    };
    let mut all = both(|of| one(of, CausalRows::Sequences(3), 6, [2, n]));
    all.append(&mut both(|of| one(of, CausalRows::Tree(&tree), 9, [2, n])));
    // Rows longer than a block, and rows of few vectors.
    all.append(&mut one(spread, CausalRows::Sequences(n), n, [1, 5]));
    all
}

fn optimizers(n: usize) -> Vec<f32> {
    both(|of| {
        let [g, mut m, mut v, mut p] = [of(n, 1), of(n, 2), of(n, 3), of(n, 4)];
        v.iter_mut().for_each(|v| *v = v.abs());
        adamw_step([0.99, 0.1, 0.9, 0.1, 0.999, 0.001, 1e-8], &g, &mut m, &mut v, &mut p);
        let kept = [m.clone(), v, p.clone()].concat();
        momentum_step([0.1, 0.9, 0.01], &g, &mut m, &mut p);
        [kept, m, p].concat()
    })
}

fn transposes(n: usize) -> Vec<f32> {
    let mut all = Vec::new();
    for rows in [1, 7, 16, 33] {
        let mut y = vec![0.0; rows * n];
        transpose(&unusual(rows * n, 1), rows, n, &mut y);
        all.append(&mut y);
    }
    all
}

/// One product with every `Epilogue`, and also with A transposed.
fn epilogues(m: usize, n: usize, k: usize, of: fn(usize, usize) -> Vec<f32>) -> Vec<f32> {
    let (a, b, bias, before) = (of(m * k, 1), of(k * n, 2), of(n, 3), of(m * n, 4));
    let epilogues = tests::epilogues(&bias);
    let mut all = Vec::new();
    for (a_strides, epilogue) in
        [[k, 1], [1, m]].into_iter().flat_map(|a| epilogues.map(|epilogue| (a, epilogue)))
    {
        let mut c = before.clone();
        gemm(Gemm { m, n, k, a: &a, a_strides, b: &b, b_strides: [n, 1], c: &mut c, c_stride: n, epilogue });
        all.append(&mut c);
    }
    all
}

fn products(n: usize) -> Vec<f32> {
    let over_rows = |m, k| {
        let (a, b, mut c) = (spread(m * k, 1), spread(k * n, 2), spread(m * n, 3));
        let (a_strides, b_strides, c_stride, epilogue) = ([1, m], [n, 1], n, Epilogue::AddScaled(-0.1));
        gemm_over_rows(Gemm { m, n, k, a: &a, a_strides, b: &b, b_strides, c: &mut c, c_stride, epilogue });
        c
    };
    [
        epilogues(1, n, 3, unusual),
        epilogues(n, 3, 0, spread),
        epilogues(n, 27, 33, spread),
        epilogues(7, n, n, spread),
        epilogues(13, 2, n, unusual),
        over_rows(5, MANY_ROWS + 3),
        // Large enough that operands are packed and k is split.
        epilogues(50, n, 400, spread),
    ]
    .concat()
}

/// A kernel's results for one size.
type Kernel = fn(usize) -> Vec<f32>;

/// Each kernel, and the hash of its results for all sizes.
const KERNELS: [(&str, Kernel, u64); 12] = [
    ("activations", activations, 0xb91b_dc19_9e0c_fdca),
    ("exp", exponentials, 0xbb47_efce_3eb2_c32a),
    ("softmax", softmaxes, 0xb97e_9901_9133_c7da),
    ("rows", rows, 0x0609_11c7_7c02_8f5c),
    ("channels", channels, 0x2b6f_0e07_7035_1700),
    ("norms", norms, 0x32a5_5725_4e77_15dc),
    ("turns", turns, 0x5da4_1b73_c1b0_f12a),
    ("cells", cells, 0x2d81_6c83_9c77_2dce),
    ("attentions", attentions, 0x0b04_db65_d3ac_c2e8),
    ("optimizers", optimizers, 0x4521_d554_e165_65d1),
    ("transpose", transposes, 0x0120_ad0b_6973_3bfd),
    ("products", products, 0x097e_be68_613b_8bcf),
];

/// The bits to compare; every NaN is the same, since processors differ in which one they give.
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

/// FNV-1a.
fn hash(seed: u64, bits: &[u32]) -> u64 {
    bits.iter()
        .flat_map(|bits| bits.to_le_bytes())
        .fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
#[cfg_attr(miri, ignore = "takes hours; each kernel's own tests are small enough")]
fn every_instruction_set_gives_the_bits_of_the_fixture() {
    let mut wrong = Vec::new();
    for (name, kernel, expected) in KERNELS {
        let mut all = 0xcbf2_9ce4_8422_2325;
        for n in SIZES {
            let of = |isa| tests::with_isa(isa, || bits(&kernel(n)));
            let first = of(Isa::available()[0]);
            for &isa in &Isa::available()[1..] {
                let other = of(isa);
                let differs = first.iter().zip(&other).position(|(a, b)| a != b);
                assert!(
                    first == other,
                    "{name}, size {n}: {isa:?} differs from {:?} at {differs:?}: {:e}, {:e}",
                    Isa::available()[0],
                    f32::from_bits(other[differs.unwrap_or(0)]),
                    f32::from_bits(first[differs.unwrap_or(0)])
                );
            }
            all = hash(all, &first);
        }
        if all != expected {
            wrong.push(format!("{name} {all:#018x}"));
        }
    }
    assert!(wrong.is_empty(), "other bits than the fixture's: {wrong:#?}");
}
