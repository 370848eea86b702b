//! A recording run again: the same bits as recorded afresh, whatever was there before.

use charloom_tensor::kernels::Activation;
use charloom_tensor::ops::{RunningStats, Targets};
use charloom_tensor::{Element, Grads, Indices, NodeId, ParamId, Params, Pass, Recording, Rows};
use charloom_testkit::assert_close;

const B: usize = 8;
const T: usize = 3;
const V: usize = 7;
const E: usize = 4;
const H: usize = 12;

fn numbers<F: Element>(n: usize, seed: usize) -> Vec<F> {
    (0..n).map(|i| F::of(((i * 13 + seed * 7919) as f64).sin())).collect()
}

/// A small network with one of everything that may follow rows of a batch.
struct Net<F: Element> {
    params: Params<F>,
    grads: Grads<F>,
    recording: Recording<F>,
    contexts: Indices,
    targets: Indices,
    rows: Option<Indices>,
    loss: NodeId,
}

impl<F: Element> Net<F> {
    fn new(merged: bool, dropout: f64) -> Self {
        let mut params = Params::<F>::new();
        let mut ids = vec![params.add_by_columns("hidden", [H, T * E], &numbers(H * T * E, 0))];
        ids.push(params.add_by_columns("out", [V, H], &numbers(V * H, 1)));
        let shapes: [&[usize]; 6] = [&[V, E], &[H], &[H], &[H], &[H], &[V]];
        for (i, shape) in shapes.iter().enumerate() {
            let n = shape.iter().product();
            ids.push(params.add(&format!("p{i}"), shape, &numbers(n, i + 2)));
        }
        let mean = params.add_buffer("mean", &[H], &[F::zero(); H]);
        let var = params.add_buffer("var", &[H], &[F::one(); H]);
        let running = RunningStats { mean, var, momentum: 0.1 };
        let (recording, (contexts, targets, rows, loss)) = record(&params, &ids, running, merged, dropout);
        Self { grads: Grads::zeros(&params), params, recording, contexts, targets, rows, loss }
    }

    /// A step at these inputs; then loss, running statistics and all gradients.
    fn step(&mut self, contexts: &[u32], targets: &[u32], rows: &[u32], pass: &Pass<'_>) -> Vec<f64> {
        let Self { params, grads, recording, loss, .. } = self;
        recording.set_indices(self.contexts, |c| c[..contexts.len()].copy_from_slice(contexts));
        recording.set_indices(self.targets, |t| t.copy_from_slice(targets));
        if let Some(of_targets) = self.rows {
            recording.set_indices(of_targets, |r| r.copy_from_slice(rows));
        }
        recording.forward(params, pass);
        recording.backward(params, grads, *loss, pass);
        recording.store_buffers(params);
        let loss = recording.item(*loss);
        [&[loss], params.buffers(), grads.values()].concat().into_iter().map(F::f64).collect()
    }
}

type Recorded<F> = (Recording<F>, (Indices, Indices, Option<Indices>, NodeId));

fn record<F: Element>(
    params: &Params<F>,
    ids: &[ParamId],
    running: RunningStats,
    merged: bool,
    dropout: f64,
) -> Recorded<F> {
    Recording::new(params, |tape| {
        let p = |i: usize| tape.param(ids[i]);
        let contexts = tape.index_rows(tape.axis(B), &[T]);
        let targets = tape.indices(&[B], &[0; B]);
        let rows = merged.then(|| tape.indices(&[B], &[0; B]));
        let mut x = p(2).embedding(contexts).flatten(1).linear(p(0), None);
        x = x.batch_norm(p(3), p(4), running, 1e-5).activate(Activation::Gelu);
        x = x.layer_norm(p(5), p(6), 1e-5);
        if dropout > 0.0 {
            x = x.dropout(dropout, 1, 0);
        }
        // Row by row too: an operator with broadcasting, a reduction, a softmax.
        x = x * 0.5 - x.softmax(1) * x.exp().mean(&[1], true)
            + x.matmul(tape.input(&[H, 1], &[F::of(0.1); H]));
        let loss = x.linear(p(1), Some(p(7)));
        let loss = loss.cross_entropy(Targets { tokens: targets, rows, ignore_index: None });
        (contexts, targets, rows, loss.id())
    })
}

fn contexts(seed: usize) -> Vec<u32> {
    (0..B * T).map(|i| ((i * 31 + seed * 17 + i * i) % V) as u32).collect()
}

fn targets(seed: usize) -> Vec<u32> {
    (0..B).map(|i| ((i * 5 + seed) % V) as u32).collect()
}

fn bits(x: &[f64]) -> Vec<u64> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_second_run_has_the_bits_of_a_fresh_recording() {
    fn test<F: Element>() {
        let mut old = Net::<F>::new(false, 0.3);
        old.step(&contexts(0), &targets(0), &[], &Pass::training());
        let mut new = Net::<F>::new(false, 0.3);
        new.params = old.params.clone();
        let pass = |step| Pass { step, ..Pass::training() };
        let before = old.step(&contexts(1), &targets(1), &[], &pass(5));
        assert_eq!(bits(&before), bits(&new.step(&contexts(1), &targets(1), &[], &pass(5))));
        // Another step has other masks, and so has another replica.
        new.params = old.params.clone();
        assert_ne!(before[0], new.step(&contexts(1), &targets(1), &[], &pass(6))[0]);
        let replica = Pass { replica: 1, ..pass(5) };
        assert_ne!(before[0], new.step(&contexts(1), &targets(1), &[], &replica)[0]);
    }
    test::<f32>();
    test::<f64>();
}

#[test]
fn threads_can_share_parameters_that_recordings_read() {
    let net = Net::<f32>::new(false, 0.0);
    let ids: Vec<ParamId> = net.params.ids().collect();
    let params = &net.params;
    let losses: Vec<u32> = std::thread::scope(|scope| {
        let each = |_| {
            let running = RunningStats { mean: ids[8], var: ids[9], momentum: 0.1 };
            let ids = &ids;
            scope.spawn(move || {
                let (mut recording, (.., loss)) = record(params, ids, running, false, 0.0);
                recording.forward(params, &Pass::evaluation());
                recording.item(loss).to_bits()
            })
        };
        let threads: Vec<_> = (0..4).map(each).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(losses.iter().all(|&loss| loss == losses[0]));
}

/// Eight examples of three different contexts: the same numbers whether equal rows are computed once or each time.
#[test]
fn merged_rows_equal_each_for_itself() {
    fn test<F: Element>(tolerance: f64) {
        let distinct = [[1, 2, 3], [0, 0, 5], [6, 2, 3]];
        let rows: [u32; B] = [0, 1, 1, 2, 0, 1, 0, 1];
        let all: Vec<u32> = rows.iter().flat_map(|&r| distinct[r as usize]).collect();
        let mut each = Net::<F>::new(false, 0.0);
        let unmerged = each.step(&all, &targets(0), &[], &Pass::training());

        let mut once = Net::<F>::new(true, 0.0);
        assert!(once.recording.is_mergeable());
        // What lies in rows not in use must not matter.
        once.recording.set_indices(once.contexts, |c| c.fill(4));
        let counted = [Rows::Counted { rows: 3, from: 1 }];
        let pass = Pass { rows: &counted, counts: &[9, 3, 4, 1], ..Pass::training() };
        let merged = once.step(distinct.as_flattened(), &targets(0), &rows, &pass);
        assert_close(&merged, &unmerged, tolerance, tolerance);

        // And back: the same recording with every row for itself.
        let apart: [u32; B] = std::array::from_fn(|i| i as u32);
        let again = once.step(&all, &targets(0), &apart, &Pass::training());
        let unmerged = each.step(&all, &targets(0), &[], &Pass::training());
        assert_close(&again, &unmerged, tolerance, tolerance);
    }
    test::<f64>(1e-12);
    test::<f32>(1e-5);
}

#[test]
fn rows_that_are_not_in_use_do_not_count() {
    let mut few = Net::<f64>::new(false, 0.0);
    let rows = [Rows::First(5)];
    // Without a list of rows each target is judged by its own, so targets need the axis too: they are merged here.
    let mut merged = Net::<f64>::new(true, 0.0);
    let of_targets = [0, 1, 2, 3, 4, 0, 1, 2];
    let pass = Pass { rows: &rows, ..Pass::training() };
    let first = merged.step(&contexts(2)[..15], &targets(1), &of_targets, &pass);
    merged.recording.set_indices(merged.contexts, |c| c[15..].fill(6));
    merged.params = few.params.clone();
    let second = merged.step(&contexts(2)[..15], &targets(1), &of_targets, &pass);
    assert_eq!(bits(&first), bits(&second));
    assert_ne!(first, few.step(&contexts(2), &targets(1), &[], &Pass::training()));
}

#[test]
fn dropout_and_sums_over_the_batch_are_not_merged() {
    assert!(Net::<f64>::new(true, 0.0).recording.is_mergeable());
    assert!(!Net::<f64>::new(true, 0.5).recording.is_mergeable());
    let mut params = Params::<f64>::new();
    let table = params.add("table", &[V, E], &[0.0; V * E]);
    let (recording, ()) = Recording::new(&params, |tape| {
        tape.param(table).embedding(tape.index_rows(tape.axis(B), &[])).sum(&[0], false);
    });
    assert!(!recording.is_mergeable());
}

#[test]
fn handles_are_of_their_recording() {
    let mut net = Net::<f64>::new(false, 0.0);
    let other = Net::<f64>::new(false, 0.0);
    let refused = |f: &mut dyn FnMut()| {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        let said = *result.unwrap_err().downcast::<&str>().unwrap();
        assert!(said.contains("of another recording"), "{said}");
    };
    refused(&mut || assert!(other.recording.shape(net.loss).is_empty()));
    refused(&mut || net.recording.set_indices(other.contexts, |_| {}));
    refused(&mut || {
        Recording::new(&net.params, |tape| tape.var(net.loss).id());
    });
}

#[test]
#[should_panic(expected = "recorded with other parameters")]
fn a_recording_is_run_with_its_parameters() {
    Net::<f64>::new(false, 0.0).recording.forward(&Params::new(), &Pass::evaluation());
}

/// The loss of two levels, the second of which has `rows` rows in use; then all gradients. In layers this
/// wide sums over units are made in two halves, and a layer on an embedding is a table's.
fn levels(rows: Option<usize>, used_before: bool) -> Vec<f64> {
    const WIDE: usize = 64;
    let mut params = Params::<f32>::new();
    let table = params.add("table", &[V, WIDE], &numbers(V * WIDE, 0));
    let [input, hidden, out] = [("input", WIDE, 1), ("hidden", WIDE, 2), ("out", V, 3)]
        .map(|(name, n, seed)| params.add_by_columns(name, [n, WIDE], &numbers(n * WIDE, seed)));
    let bias = params.add("bias", &[WIDE], &numbers(WIDE, 4));
    let (mut recording, loss) = Recording::new(&params, |tape| {
        let axes: Vec<_> =
            [1, 40].into_iter().take(1 + usize::from(rows.is_some())).map(|n| tape.axis(n)).collect();
        let all = tape.axis(41);
        let mut state = tape.rows(axes[0], &[WIDE]);
        let mut logits = Vec::new();
        for &axis in &axes {
            let [tokens, parents] = [(); 2].map(|()| tape.index_rows(axis, &[]));
            let x = tape.param(table).embedding(tokens).linear(tape.param(input), Some(tape.param(bias)));
            state =
                (x + state.embedding(parents).linear(tape.param(hidden), None)).activate(Activation::Tanh);
            logits.push(state.linear(tape.param(out), None));
        }
        let (tokens, rows) = (tape.indices(&[1], &[2]), Some(tape.indices(&[1], &[0])));
        let targets = Targets { tokens, rows, ignore_index: None };
        charloom_tensor::Var::stack_rows(&logits, all).cross_entropy(targets).id()
    });
    recording.fuse(&[loss]);
    let used: Vec<Rows> =
        std::iter::once(1).chain(rows).chain([1 + rows.unwrap_or(0)]).map(Rows::First).collect();
    let (pass, mut grads) = (Pass { rows: &used, ..Pass::training() }, Grads::zeros(&params));
    if used_before {
        recording.forward(&params, &Pass::training());
        recording.backward(&params, &mut grads, loss, &Pass::training());
    }
    recording.forward(&params, &pass);
    recording.backward(&params, &mut grads, loss, &pass);
    [&[recording.item(loss)], grads.values()].concat().into_iter().map(f64::from).collect()
}

#[test]
fn a_level_without_rows_changes_nothing() {
    // Nor does what another pass has left behind there.
    for used_before in [false, true] {
        assert_close(&levels(Some(0), used_before), &levels(None, false), 1e-6, 1e-7);
    }
}

/// Operations that are shared out by rows, on numbers of which only some are in use.
#[test]
fn numbers_in_use_need_not_fill_their_dimension() {
    let params = Params::<f32>::new();
    for dims in [&[][..], &[3]] {
        let (mut recording, (x, y)) = Recording::new(&params, |tape| {
            let x = tape.rows(tape.axis(5), dims);
            (x.id(), ((x + x) * x).dropout(0.5, 1, 2).id())
        });
        let used = 3 * dims.iter().product::<usize>();
        recording.set(x, |x| (0..).zip(&mut x[..used]).for_each(|(i, x)| *x = i as f32));
        let rows = [Rows::First(3)];
        recording.forward(&params, &Pass { rows: &rows, ..Pass::default() });
        let wanted: Vec<f32> = (0..used).map(|i| 2.0 * (i * i) as f32).collect();
        recording.with_data(y, |y| assert_eq!(y, wanted));
    }
}
