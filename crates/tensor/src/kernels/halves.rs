//! Sums over a batch's rows, computed in two halves.
//!
//! When threads divide rows among them, each core has its rows in its cache. One core summing all rows would
//! have to fetch the others' rows; so two cores sum half of them each, and then one adds the two sums. The
//! rows are split at the same place for any number of threads, so the result has the same bits.

use super::pool;
use super::scratch::Scratch;
use super::team::Shared;
use std::cell::RefCell;
use std::ops::Range;

/// Sums over at least this many rows are computed in two halves, see `is_halved`: the exchange between the
/// cores is then cheap in comparison.
pub const MANY_ROWS: usize = 256;

thread_local! {
    /// For the sums of the halves.
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

/// Whether a sum of `len` numbers over `rows` rows of `width` numbers is computed in two halves: only if
/// adding the halves is cheap compared to the summing.
pub(super) fn is_halved(rows: usize, width: usize, len: usize) -> bool {
    rows >= MANY_ROWS && len <= rows * width / 4
}

/// Calls `sum` for the first half of the rows (with false) and for the second (with true), each with
/// a slice of `first` or `second` numbers with arbitrary contents; then `join` with both slices.
pub(super) fn in_halves(
    rows: usize,
    work: usize,
    [first, second]: [usize; 2],
    sum: impl Fn(bool, Range<usize>, &mut [f32]) + Sync,
    join: impl FnOnce(&mut [f32], &[f32]),
) {
    let middle = pool::middle_row(rows);
    SCRATCH.with_borrow_mut(|scratch| {
        let [first, second] = scratch.slices([first, second]);
        let slices = [Shared::new(first), Shared::new(second)];
        // SAFETY: each half has a slice of its own, and `two_parts` runs each half once.
        let slice = |half: usize| unsafe { slices[half].all() };
        pool::two_parts(work, &|half| match half {
            0 => sum(false, 0..middle, slice(0)),
            _ => sum(true, middle..rows, slice(1)),
        });
        join(first, second);
    });
}

#[cfg(test)]
mod tests {
    use crate::kernels::tests::numbers;
    use crate::kernels::{
        Activation, Epilogue, Gemm, Pool, channel_moments, channel_sums, gemm_over_rows, reference,
        scatter_rows,
    };

    /// The result of `sum` with one thread; two and five threads must give the same bits.
    fn any_threads(len: usize, sum: impl Fn(&mut [f32])) -> Vec<f32> {
        let results = [1, 2, 5].map(|threads| {
            let mut total = numbers(len, 9);
            Pool::new(threads).enter(true, || sum(&mut total));
            total
        });
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
        results.into_iter().next().unwrap()
    }

    fn assert_close(fast: &[f32], plain: &[f64]) {
        for (i, (&f, p)) in fast.iter().zip(plain).enumerate() {
            assert!((f64::from(f) - p).abs() <= 1e-3, "at {i}: {f} instead of {p}");
        }
    }

    fn wide(x: &[f32]) -> Vec<f64> {
        x.iter().map(|&x| x.into()).collect()
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes hours; a small one is in `kernels::tests`")]
    fn products_over_many_rows_equal_the_plain_loops() {
        for (rows, m, n) in [(255, 40, 27), (256, 40, 27), (543, 200, 27), (301, 17, 300), (300, 300, 300)] {
            for add in [false, true] {
                let (a, b) = (numbers(rows * m, 1), numbers(rows * n, 2));
                let fast = any_threads(m * n, |c| {
                    let (a, b, a_strides) = (&a[..], &b[..], [1, m]);
                    let (b_strides, c_stride, epilogue) =
                        ([n, 1], n, if add { Epilogue::Add } else { Epilogue::Set });
                    gemm_over_rows(Gemm { m, n, k: rows, a, a_strides, b, b_strides, c, c_stride, epilogue });
                });
                let (a, b, mut plain) = (wide(&a), wide(&b), wide(&numbers(m * n, 9)));
                let (a, b, c, a_strides) = (&a[..], &b[..], &mut plain[..], [1, m]);
                let (b_strides, c_stride, epilogue) =
                    ([n, 1], n, if add { Epilogue::Add } else { Epilogue::Set });
                reference::gemm(Gemm { m, n, k: rows, a, a_strides, b, b_strides, c, c_stride, epilogue });
                assert_close(&fast, &plain);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes hours; a small one is in `kernels::tests`")]
    fn table_rows_of_many_rows_equal_the_plain_loops() {
        for (rows, width, slots_in_table) in [(255, 40, 9), (256, 40, 9), (600, 33, 90), (400, 20, 1000)] {
            let (v, d) = (numbers(rows * width, 1), numbers(rows * width, 2));
            let slots: Vec<u32> = (0..rows * 3).map(|i| (i * 31 % slots_in_table) as u32).collect();
            let tanh = Some(Activation::Tanh);
            let fast = any_threads(slots_in_table * width, |table| {
                scatter_rows(tanh, &v, &d, width, &slots, 3, table);
            });
            let mut plain = wide(&numbers(slots_in_table * width, 9));
            reference::scatter_rows(tanh, &wide(&v), &wide(&d), width, &slots, 3, &mut plain);
            assert_close(&fast, &plain);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes hours; a small one is in `kernels::tests`")]
    fn statistics_of_many_rows_equal_the_plain_loops() {
        for (rows, c) in [(255, 40), (256, 40), (601, 33)] {
            let (x, d) = (numbers(rows * c, 1), numbers(rows * c, 2));
            let often: Vec<f32> = (0..rows).map(|i| (1 + i % 3) as f32).collect();
            for counts in [&often[..], &[]] {
                let fast = any_threads(4 * c, |all| {
                    let (mean, rest) = all.split_at_mut(c);
                    let (squares, sums) = rest.split_at_mut(c);
                    channel_moments(&x, counts, mean, squares);
                    let (sum, sum_hat) = sums.split_at_mut(c);
                    channel_sums(&x, &d, mean, squares, sum, sum_hat);
                });
                let (x, d, counts) = (wide(&x), wide(&d), wide(counts));
                let mut plain = vec![0.0; 4 * c];
                let (mean, rest) = plain.split_at_mut(c);
                let (squares, sums) = rest.split_at_mut(c);
                reference::channel_moments(&x, &counts, mean, squares);
                let (sum, sum_hat) = sums.split_at_mut(c);
                reference::channel_sums(&x, &d, mean, squares, sum, sum_hat);
                for (i, (&f, p)) in fast.iter().zip(&plain).enumerate() {
                    let close = (f64::from(f) - p).abs() <= 1e-5 * p.abs() + 1e-2;
                    assert!(close, "{rows} x {c}, at {i}: {f} instead of {p}");
                }
            }
        }
    }
}
