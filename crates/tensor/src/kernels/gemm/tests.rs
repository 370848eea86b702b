use super::*;
use crate::kernels::reference;
use crate::kernels::tests::{epilogues, numbers};

/// Sums in the order of the kernels, one element at a time; does not touch the gaps between C's rows.
fn one_by_one(call: Gemm<'_, f32>) {
    let Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue } = call;
    for row in 0..m {
        for (column, c) in c[row * c_stride..][..n].iter_mut().enumerate() {
            let begin = if let Epilogue::Bias(bias) = epilogue { bias[column] } else { 0.0 };
            let sum = (0..k).fold(begin, |sum, l| {
                a[row * a_strides[0] + l * a_strides[1]]
                    .mul_add(b[l * b_strides[0] + column * b_strides[1]], sum)
            });
            *c = match epilogue {
                Epilogue::Set | Epilogue::Bias(_) => sum,
                Epilogue::Add => sum + *c,
                Epilogue::AddBias(bias) => (sum + *c) + bias[column],
                Epilogue::AddScaled(scale) => *c + scale * sum,
            };
        }
    }
}

#[test]
fn every_shape_equals_the_plain_loops() {
    for isa in Isa::available() {
        for (m, n, k) in [
            (1, 1, 1),
            (3, 5, 2),
            (8, 48, 10),
            (32, 200, 30),
            (33, 27, 200),
            (7, 65, 0),
            (5, 64, 9),
            (12, 17, 3),
        ] {
            // Under Miri the large ones take minutes.
            if cfg!(miri) && m * n * k > 5000 {
                continue;
            }
            for [transposed, b_across] in [[false; 2], [true, false], [false, true], [true; 2]] {
                let (a, b, bias) = (numbers(m * k, 1), numbers((k + 2) * (n + 2), 2), numbers(n, 3));
                let epilogues = epilogues(&bias);
                for epilogue in epilogues {
                    let before = numbers(m * (n + 1), 4);
                    let call = |c| Gemm {
                        m,
                        n,
                        k,
                        a: &a,
                        a_strides: if transposed { [1, m] } else { [k, 1] },
                        b: &b,
                        b_strides: if b_across { [1, k + 2] } else { [n + 2, 1] },
                        c,
                        c_stride: n + 1,
                        epilogue,
                    };
                    let (mut fast, mut plain) = (before.clone(), before.clone());
                    gemm_isa(
                        isa,
                        &mut call(&mut fast),
                        Packing { a: transposed, b: true, prepacked_b: None },
                        &mut Scratch::new(),
                    );
                    reference::gemm(call(&mut plain));
                    for (i, (f, p)) in fast.iter().zip(&plain).enumerate() {
                        assert!((f - p).abs() <= 1e-4, "{isa:?} {m}x{n}x{k} at {i}: {f} instead of {p}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_batch_equals_its_products() {
    const COUNT: usize = 5;
    const SIZES: [usize; 3] = [7, 17, 3];
    fn product<'a>(a: &'a [f32], b: &'a [f32], c: &'a mut [f32]) -> Gemm<'a, f32> {
        let [m, n, k] = SIZES;
        Gemm { m, n, k, a, a_strides: [1, m], b, b_strides: [n, 1], c, c_stride: n, epilogue: Epilogue::Add }
    }
    let [m, n, k] = SIZES;
    let (a, b, before) = (numbers(COUNT * m * k, 1), numbers(COUNT * k * n, 2), numbers(COUNT * m * n, 3));
    // Each product with a C of its own, then all added to the same C.
    for c_batch in [m * n, 0] {
        let [mut batch, mut each, mut plain] = [(); 3].map(|()| before.clone());
        let batch_strides = [m * k, k * n, c_batch];
        gemm_batched(COUNT, batch_strides, product(&a, &b, &mut batch));
        for i in 0..COUNT {
            gemm(product(&a[i * m * k..], &b[i * k * n..], &mut each[i * c_batch..]));
        }
        assert_eq!(batch, each);
        reference::gemm_batched(COUNT, batch_strides, product(&a, &b, &mut plain));
        for (x, y) in batch.iter().zip(&plain) {
            assert!((x - y).abs() <= 1e-4, "{x} instead of {y}");
        }
    }
}

#[test]
fn where_k_is_cut_and_what_is_packed_does_not_show() {
    let (m, n, k) = (30, 19, if cfg!(miri) { 40 } else { 900 });
    let (a, b, bias, before) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3), numbers(m * n, 4));
    for isa in Isa::available() {
        for a_strides in [[k, 1], [1, m]] {
            for epilogue in [
                Epilogue::Set,
                Epilogue::Bias(&bias),
                Epilogue::Add,
                Epilogue::AddBias(&bias),
                Epilogue::AddScaled(-0.3),
            ] {
                let results =
                    [(false, false), (false, true), (true, false), (true, true)].map(|(pack_a, pack_b)| {
                        let mut c = before.clone();
                        let packing = Packing { a: pack_a, b: pack_b, prepacked_b: None };
                        let (a, b, c_of) = (&a[..], &b[..], &mut c[..]);
                        let call = &mut Gemm {
                            m,
                            n,
                            k,
                            a,
                            a_strides,
                            b,
                            b_strides: [n, 1],
                            c: c_of,
                            c_stride: n,
                            epilogue,
                        };
                        gemm_isa(isa, call, packing, &mut Scratch::new());
                        c
                    });
                assert!(results.iter().all(|c| *c == results[0]), "{isa:?}, A {a_strides:?}");
                let mut wanted = before.clone();
                let (a, b, c) = (&a[..], &b[..], &mut wanted[..]);
                one_by_one(Gemm { m, n, k, a, a_strides, b, b_strides: [n, 1], c, c_stride: n, epilogue });
                assert_eq!(results[0], wanted, "{isa:?}, A {a_strides:?}");
            }
        }
    }
}

#[test]
fn a_matrix_packed_beforehand_gives_the_same_bits() {
    for (m, n, k) in [(1, 40, 7), (5, 17, 3), (64, 33, if cfg!(miri) { 9 } else { 800 }), (3, 5, 0)] {
        let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
        let mut packed = vec![0.0; n.div_ceil(16) * 16 * k];
        pack(&b, n, &mut packed);
        let run = |packed: Option<&[f32]>| {
            let mut c = vec![0.0; m * n];
            let (a_strides, epilogue, c_of) = ([k, 1], Epilogue::Bias(&bias), &mut c[..]);
            let call =
                Gemm { m, n, k, a: &a, a_strides, b: &b, b_strides: [n, 1], c: c_of, c_stride: n, epilogue };
            match packed {
                Some(packed) => gemm_packed(call, packed),
                None => gemm(call),
            }
            c
        };
        assert_eq!(run(Some(&packed)), run(None));
    }
}

#[test]
#[should_panic(expected = "B is too short")]
fn short_slices_are_refused() {
    let (a, b, mut c) = ([0.0; 4], [0.0; 3], [0.0; 4]);
    gemm(Gemm {
        m: 2,
        n: 2,
        k: 2,
        a: &a,
        a_strides: [2, 1],
        b: &b,
        b_strides: [2, 1],
        c: &mut c,
        c_stride: 2,
        epilogue: Epilogue::Set,
    });
}

/// Each operand ends with its last number, so that AddressSanitizer and Miri detect reads beyond it. Sizes
/// are below, at and above those of blocks, groups and parts; A has all possible strides, also with equal or
/// overlapping rows.
#[test]
fn nothing_beyond_an_operand_is_touched() {
    let [heights, widths, lengths]: [&[usize]; 3] = match cfg!(miri) {
        true => [&[13], &[3, 25], &[0, 5]],
        false => [&[1, 2, 7, 13, 97, 101], &[1, 3, 8, 17, 31, 49, 64], &[0, 1, 2, 5, 17, 257, 300]],
    };
    let mut turn = 0;
    for (&m, &n, &k) in
        heights.iter().flat_map(|m| widths.iter().flat_map(move |n| lengths.iter().map(move |k| (m, n, k))))
    {
        let ways =
            [[k.max(1), 1], [1, m], [k + 3, 1], [1, m + 5], [2, 2 * m + 1], [0, 1], [1, 0], [0, 0], [1, 1]];
        for a_strides in ways {
            turn += 1;
            let (b_stride, c_stride) = (n + turn % 3, n + turn % 2 * 2);
            let length = |rows: usize, stride: usize, more: usize| (rows - 1) * stride + more;
            let (of_a, of_b) = match k {
                0 => (0, 0),
                _ => (length(m, a_strides[0], length(k, a_strides[1], 1)), length(k, b_stride, n)),
            };
            let (a, b) = (numbers::<f32>(of_a, 1), numbers::<f32>(of_b, 2));
            let (bias, before) = (numbers(n, 3), numbers::<f32>(length(m, c_stride, n), 4));
            let epilogues = epilogues(&bias);
            let epilogue = epilogues[turn % epilogues.len()];
            macro_rules! call {
                ($c:expr, $b:expr, $b_strides:expr) => {
                    Gemm {
                        m,
                        n,
                        k,
                        a: &a,
                        a_strides,
                        b: $b,
                        b_strides: $b_strides,
                        c: $c,
                        c_stride,
                        epilogue,
                    }
                };
            }
            let mut wanted = before.clone();
            one_by_one(call!(&mut wanted, &b, [b_stride, 1]));
            // B with contiguous rows, to be packed beforehand, and column by column.
            let dense: Vec<f32> = (0..k).flat_map(|l| &b[l * b_stride..][..n]).copied().collect();
            let column_stride = k + turn % 3;
            let mut turned = vec![9.0; if k == 0 { 0 } else { (n - 1) * column_stride + k }];
            (0..k).for_each(|l| (0..n).for_each(|j| turned[j * column_stride + l] = dense[l * n + j]));
            for isa in Isa::available() {
                let packings = [(false, false), (false, true), (true, false), (true, true)];
                // Under Miri only one, in turn.
                let some = if cfg!(miri) { &packings[turn % 4..][..1] } else { &packings[..] };
                for &(pack_a, pack_b) in some {
                    let mut c = before.clone();
                    let packing = Packing { a: pack_a, b: pack_b, prepacked_b: None };
                    gemm_isa(isa, &mut call!(&mut c, &b, [b_stride, 1]), packing, &mut Scratch::new());
                    assert_eq!(c, wanted, "{isa:?} {m}x{n}x{k}, A {a_strides:?}, packed {pack_a} {pack_b}");
                    let (mut c, b_strides) = (before.clone(), [1, column_stride]);
                    gemm_isa(isa, &mut call!(&mut c, &turned, b_strides), packing, &mut Scratch::new());
                    assert_eq!(
                        c, wanted,
                        "{isa:?} {m}x{n}x{k}, A {a_strides:?}, B by columns, packed {pack_a}"
                    );
                }
                let mut ready = vec![0.0; n.div_ceil(16) * 16 * k];
                pack_isa(isa, &dense, n, &mut ready);
                let mut c = before.clone();
                let packing = Packing { a: false, b: true, prepacked_b: Some(&ready) };
                gemm_isa(isa, &mut call!(&mut c, &dense, [n, 1]), packing, &mut Scratch::new());
                assert_eq!(c, wanted, "{isa:?} {m}x{n}x{k}, A {a_strides:?}, B packed beforehand");
            }
        }
    }
}

/// Strides that are never multiplied by a nonzero index may have any value; for an empty C nothing is done.
#[test]
fn strides_that_are_never_used_do_not_matter() {
    fn add(
        c: &mut [f32],
        [m, n, k]: [usize; 3],
        a: &[f32],
        b: &[f32],
        [a_stride, b_stride, c_stride]: [usize; 3],
    ) {
        let (a_strides, b_strides) = ([a_stride; 2], [b_stride, 1]);
        gemm(Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue: Epilogue::Add });
    }
    let (far, mut c, mut many) = (usize::MAX, [1.0; 3], [1.0; 200]);
    for stride in [far, far - 7, far - 100, far / 2, far / 8] {
        add(&mut c, [1, 3, 1], &[2.0], &[1.0, 2.0, 3.0], [stride; 3]);
        add(&mut c, [1, 3, 0], &[], &[], [stride; 3]);
        add(&mut [], [0, 3, 2], &[], &[], [stride; 3]);
        add(&mut [], [4, 0, 2], &[], &[], [stride; 3]);
        add(&mut many, [200, 1, 0], &[], &[], [stride, stride, 1]);
    }
    assert_eq!((c, many), ([11.0, 21.0, 31.0], [1.0; 200]));
}

/// 2^33 times 2^31 wraps to 0 in 64 bits.
#[test]
#[should_panic(expected = "C is too short")]
fn a_batch_that_overflows_is_refused() {
    let c = &mut [0.0];
    let call = Gemm {
        m: 1,
        n: 1,
        k: 0,
        a: &[],
        a_strides: [0; 2],
        b: &[],
        b_strides: [1, 1],
        c,
        c_stride: 1,
        epilogue: Epilogue::Set,
    };
    gemm_batched(1 << (usize::BITS / 2 + 1), [0, 0, 1 << (usize::BITS / 2 - 1)], call);
}

/// If C has no rows or no columns, nothing is done, whatever the strides; also for sums over many rows.
#[test]
fn nothing_is_summed_where_c_has_no_numbers() {
    let many = vec![1.0; 300];
    for (m, n, a, b) in [(0, 1, &[][..], &many[..]), (1, 0, &many[..], &[][..])] {
        let (a_strides, epilogue) = ([1, 1], Epilogue::Set);
        gemm_over_rows(Gemm {
            m,
            n,
            k: 300,
            a,
            a_strides,
            b,
            b_strides: [n + 1, 1],
            c: &mut [],
            c_stride: n,
            epilogue,
        });
    }
    pack(&[], 0, &mut []);
}
