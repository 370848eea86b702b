//! Every kernel that is divided among threads: one thread and several give the same bits, under Miri and
//! sanitizers too.

use super::*;
use crate::Element;

thread_local! {
    static ISA: std::cell::Cell<Option<Isa>> = const { std::cell::Cell::new(None) };
}

/// The instruction set that [`Isa::detect`] returns on this thread, if set.
pub(super) fn asked_for() -> Option<Isa> {
    ISA.get()
}

/// The result of `f`, whose kernels use the instruction set `isa`.
pub(super) fn with_isa<T>(isa: Isa, f: impl FnOnce() -> T) -> T {
    ISA.set(Some(isa));
    let result = f();
    ISA.set(None);
    result
}

/// `n` numbers between -1 and 1, different for each seed.
pub(crate) fn numbers<E: Element>(n: usize, seed: usize) -> Vec<E> {
    (0..n).map(|i| E::of(((i * 7919 + seed * 104_729) % 1000) as f64 / 500.0 - 1.0)).collect()
}

/// Every way in which a product can end.
pub(super) fn epilogues(bias: &[f32]) -> [Epilogue<'_, f32>; 5] {
    [Epilogue::Set, Epilogue::Bias(bias), Epilogue::Add, Epilogue::AddBias(bias), Epilogue::AddScaled(-0.3)]
}

/// Asserts that a kernel's results are within 1e-5 of the plain loop's.
pub(super) fn assert_close(isa: Isa, fast: &[f32], plain: &[f32]) {
    for (i, (f, p)) in fast.iter().zip(plain).enumerate() {
        assert!((f - p).abs() <= 1e-5, "{isa:?} at {i}: {f} instead of {p}");
    }
}

/// A step forward and backward of each cell.
fn cells() -> Vec<f32> {
    const ROWS: usize = 20;
    let mut all = Vec::new();
    for cell in [Cell::Rnn, Cell::Gru, Cell::Lstm] {
        let (hidden, g, s) = (9, ROWS * cell.gates() * 9, ROWS * cell.states() * 9);
        let (x, before) = (&numbers(g, 1)[..], &numbers(s, 2)[..]);
        let [mut gates, mut d_x] = [numbers(g, 3), numbers(g, 4)];
        let [mut after, mut d_before, mut kept] = [numbers(s, 5), numbers(s, 6), numbers(ROWS * hidden, 7)];
        let (gates, after_of, kept_of) = (&mut gates[..], &mut after[..], &mut kept[..]);
        cell_forward(CellForward { cell, hidden, x, gates, before, after: after_of, kept: kept_of });
        all.extend_from_slice(gates);
        let (after, kept, d_after, add) = (&after[..], &kept[..], before, true);
        let (d_x, d_before) = (&mut d_x[..], &mut d_before[..]);
        cell_backward(CellBackward { cell, hidden, gates, before, after, kept, d_after, d_x, add, d_before });
        all.extend([gates, after, d_x, d_before].concat());
    }
    all
}

/// The results of all kernels, one after another.
fn all() -> Vec<f32> {
    const ROWS: usize = 20;
    const WIDTH: usize = 50;
    let (x, d) = (numbers(ROWS * WIDTH, 1), numbers(ROWS * WIDTH, 2));
    let (first, second) = (numbers(WIDTH, 3), numbers(WIDTH, 4));
    let slots: Vec<u32> = (0..3 * ROWS as u32).map(|i| i * 7 % ROWS as u32).collect();
    let counts = [2.0; ROWS / 2];
    let (mut y, mut row) = ([(); 11].map(|()| numbers(x.len(), 5)), [(); 8].map(|()| numbers(WIDTH, 6)));
    let ([mut lse, mut norms], mut logs, mut products) =
        ([[[0.0; 2]; ROWS]; 2], numbers(x.len(), 7), [0.5; 6]);
    let [a, b, c, e, f, g, h, normed, back, turned, table] = &mut y;
    gemm(Gemm {
        m: ROWS,
        n: 30,
        k: ROWS,
        a: &x,
        a_strides: [WIDTH, 1],
        b: &d,
        b_strides: [WIDTH, 1],
        c: a,
        c_stride: WIDTH,
        epilogue: Epilogue::AddBias(&first),
    });
    let (many, other) = (numbers(256 * 2, 8), numbers(256 * 3, 9));
    gemm_over_rows(Gemm {
        m: 2,
        n: 3,
        k: 256,
        a: &many,
        a_strides: [1, 2],
        b: &other,
        b_strides: [3, 1],
        c: &mut products,
        c_stride: 3,
        epilogue: Epilogue::AddScaled(-0.1),
    });
    let mut batch = [0.5; 4 * 6];
    gemm_batched(
        4,
        [10, 15, 6],
        Gemm {
            m: 2,
            n: 3,
            k: 5,
            a: &many,
            a_strides: [5, 1],
            b: &other,
            b_strides: [3, 1],
            c: &mut batch,
            c_stride: 3,
            epilogue: Epilogue::Add,
        },
    );
    let mut statistics = [[0.5; 2]; 4];
    let [mean, squares, sum, sum_hat] = &mut statistics;
    channel_moments(&many, &numbers(256, 10), mean, squares);
    channel_sums(&many, &other[..256 * 2], mean, squares, sum, sum_hat);
    let often: Vec<u32> = (0..256).map(|i| i % 3).collect();
    scatter_rows(None, &many, &many, 2, &often, 1, &mut products);
    softmax_rows(&x, WIDTH, b, &mut lse);
    log_softmax_rows(&x, WIDTH, &mut logs);
    gather_rows(&x, &first, &slots, 3, Some(Activation::Relu), c);
    scatter_rows(Some(Activation::Relu), &x, &d, WIDTH, &slots, 3, table);
    activate(Activation::Relu, &x, e);
    activate_backward(Activation::Relu, &x, e, &d, f, true);
    let [mean, squares, sum, sum_hat, v, m, dweight, summed] = &mut row;
    channel_moments(&x, &[], mean, squares);
    channel_affine(&x, &first, &second, g);
    channel_sums(&x, &d, &first, &second, sum, sum_hat);
    channel_backward(&x, &d, &counts, [&first, &second, sum], h, true);
    let norm = Norm { width: WIDTH, eps: 0.1, centred: true, weight: Some(&first), bias: Some(&second) };
    norm_rows(norm, &x, normed, &mut norms);
    norm_rows_backward(norm, &x, &norms, &d, back, true);
    norm_rows_weight(&x, &norms, &d, dweight);
    sum_rows(&d, summed);
    let rotary = Rotary { width: WIDTH, heads: 2, size: 20, angles: &d };
    rotate(rotary, &slots[..ROWS], &x, turned, false, true);
    add_scaled(0.5, &x, g);
    momentum_step([0.1, 0.9, 0.01], &first, &mut m.clone(), &mut table[..WIDTH]);
    adamw_step([0.99, 0.1, 0.9, 0.1, 0.999, 0.001, 1e-8], &first, m, v, &mut table[..WIDTH]);
    let few = [lse.concat(), products.to_vec(), batch.to_vec(), statistics.concat(), norms.concat(), cells()];
    [y.concat(), row.concat(), logs, few.concat()].concat()
}

#[test]
fn threads_that_share_a_kernel_give_the_same_bits() {
    let bits =
        |n| Pool::with_least_work(n, 1).enter(false, all).into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let one = bits(1);
    for n in [2, 3, 8] {
        assert!(bits(n) == one, "{n} threads");
    }
}
