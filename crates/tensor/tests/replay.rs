//! A recorded stretch, replayed: the same bits as recorded afresh, whatever was there before.

use charloom_tensor::kernels::Activation;
use charloom_tensor::ops::{RunningStats, Targets};
use charloom_tensor::{Element, Id, Indices, Mark, Tape};
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
    tape: Tape<F>,
    params: Vec<Id>,
    running: RunningStats,
    mark: Mark,
}

/// A net's inputs and loss, recorded.
struct Recorded {
    contexts: Indices,
    targets: Indices,
    rows: Option<Indices>,
    loss: Id,
}

impl<F: Element> Net<F> {
    fn new() -> Self {
        let tape = Tape::<F>::new();
        let mut params = vec![tape.parameter_by_columns("hidden", [H, T * E], &numbers(H * T * E, 0))];
        params.push(tape.parameter_by_columns("out", [V, H], &numbers(V * H, 1)));
        let shapes: [&[usize]; 6] = [&[V, E], &[H], &[H], &[H], &[H], &[V]];
        for (i, shape) in shapes.iter().enumerate() {
            let n = shape.iter().product();
            params.push(tape.parameter(&format!("p{i}"), shape, &numbers(n, i + 2)));
        }
        let mean = tape.buffer("mean", &[H], &[F::zero(); H]);
        let var = tape.buffer("var", &[H], &[F::one(); H]);
        let running = RunningStats { mean, var, momentum: 0.1 };
        let mark = tape.mark();
        Self { tape, params, running, mark }
    }

    /// Records the net on these contexts, each target judged by the row that `rows` names.
    fn record(&self, contexts: &[u32], targets: &[u32], rows: Option<&[u32]>, dropout: f64) -> Recorded {
        let tape = &self.tape;
        let p = |i: usize| tape.var(self.params[i]);
        let contexts = tape.indices(&[B, T], contexts);
        let targets = tape.indices(&[targets.len()], targets);
        let rows = rows.map(|r| tape.indices(&[r.len()], r));
        let mut x = p(2).embedding(contexts).flatten(1).linear(p(0), None);
        x = x.batch_norm(p(3), p(4), self.running, 1e-5).activate(Activation::Gelu);
        x = x.layer_norm(p(5), p(6), 1e-5);
        if dropout > 0.0 {
            x = x.dropout(dropout, 1, 0);
        }
        // Row by row too: an operator with broadcasting, a reduction, a softmax.
        x = x * 0.5 - x.softmax(1) * x.exp().mean(&[1], true)
            + x.matmul(tape.input(&[H, 1], &[F::of(0.1); H]));
        let loss = x.linear(p(1), Some(p(7)));
        let loss = loss.cross_entropy(Targets { tokens: targets, rows, ignore_index: None });
        Recorded { contexts, targets, rows, loss: loss.id() }
    }

    /// Loss, running statistics and all gradients.
    fn results(&self, loss: Id) -> Vec<f64> {
        let gradients = self.tape.with_parameters(|_, g| g.to_vec());
        let state = self.tape.entries().into_iter().flat_map(|e| self.tape.read_entry(&e));
        self.tape.var(loss).data().into_iter().chain(state).chain(gradients).map(F::f64).collect()
    }
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
fn a_replay_has_the_bits_of_a_fresh_recording() {
    fn test<F: Element>() {
        let old = Net::<F>::new();
        let recorded = old.record(&contexts(0), &targets(0), None, 0.3);
        let graph = old.tape.graph_since(old.mark);
        old.tape.var(recorded.loss).backward();

        let new = Net::<F>::new();
        new.record(&contexts(0), &targets(0), None, 0.3);
        new.tape.truncate(new.mark);
        for net in [&old, &new] {
            net.tape.set_step(5);
            net.tape.with_parameters(|p, _| p.iter_mut().for_each(|p| *p *= F::of(0.9)));
        }
        old.tape.set_indices(recorded.contexts, |c| c.copy_from_slice(&contexts(1)));
        old.tape.set_indices(recorded.targets, |t| t.copy_from_slice(&targets(1)));
        old.tape.replay(graph);
        old.tape.backward(recorded.loss);
        let fresh = new.record(&contexts(1), &targets(1), None, 0.3);
        new.tape.backward(fresh.loss);
        assert_eq!(bits(&old.results(recorded.loss)), bits(&new.results(fresh.loss)));

        // The same again is the same again; other inputs are not.
        let before = bits(&new.results(fresh.loss));
        new.tape.backward(fresh.loss);
        assert_eq!(before, bits(&new.results(fresh.loss)));
        new.tape.set_step(6);
        new.tape.replay(new.tape.graph_since(new.mark));
        new.tape.backward(fresh.loss);
        assert_ne!(before, bits(&new.results(fresh.loss)));
    }
    test::<f32>();
    test::<f64>();
}

#[test]
fn forgotten_memory_is_used_again() {
    let net = Net::<f64>::new();
    let first = net.record(&contexts(0), &targets(0), None, 0.0);
    net.tape.backward(first.loss);
    let gradients = net.tape.with_parameters(|_, g| g.to_vec());
    let (loss, place) = (net.tape.var(first.loss).item(), net.tape.var(first.loss).layout());
    // Something else in between, that leaves its numbers behind.
    net.tape.truncate(net.mark);
    let other = net.record(&contexts(3), &targets(2), None, 0.5);
    net.tape.backward(other.loss);
    net.tape.truncate(net.mark);
    let again = net.record(&contexts(0), &targets(0), None, 0.0);
    net.tape.backward(again.loss);
    assert_eq!((net.tape.var(again.loss).item(), net.tape.var(again.loss).layout()), (loss, place));
    assert_eq!(net.tape.with_parameters(|_, g| g.to_vec()), gradients);
}

#[test]
#[should_panic(expected = "a parameter cannot be forgotten")]
fn a_parameter_is_not_forgotten() {
    let tape = Tape::<f32>::new();
    let mark = tape.mark();
    tape.parameter("w", &[1], &[1.0]);
    tape.truncate(mark);
}

/// Eight examples of three different contexts: the same numbers whether equal rows are computed once or each time.
#[test]
fn merged_rows_equal_each_for_itself() {
    fn test<F: Element>(tolerance: f64) {
        let distinct = [[1, 2, 3], [0, 0, 5], [6, 2, 3]];
        let rows: [u32; B] = [0, 1, 1, 2, 0, 1, 0, 1];
        let each = Net::<F>::new();
        let all: Vec<u32> = rows.iter().flat_map(|&r| distinct[r as usize]).collect();
        let unmerged = each.record(&all, &targets(0), None, 0.0);
        each.tape.backward(unmerged.loss);

        let once = Net::<F>::new();
        once.tape.set_rows(&[3, 4, 1]);
        // What lies in rows not in use must not matter.
        let mut few = vec![4; B * T];
        few[..9].copy_from_slice(distinct.as_flattened());
        let merged = once.record(&few, &targets(0), Some(&rows), 0.0);
        assert!(once.tape.mergeable(once.tape.graph_since(once.mark)));
        once.tape.backward(merged.loss);
        assert_close(&once.results(merged.loss), &each.results(unmerged.loss), tolerance, tolerance);

        // And back: the same recording with every row for itself.
        let graph = once.tape.graph_since(once.mark);
        once.tape.set_rows(&[]);
        once.tape.set_indices(merged.contexts, |c| c.copy_from_slice(&all));
        once.tape.set_indices(merged.rows.unwrap(), |r| r.iter_mut().zip(0..).for_each(|(r, i)| *r = i));
        for (net, loss) in [(&once, merged.loss), (&each, unmerged.loss)] {
            net.tape.replay(graph);
            net.tape.backward(loss);
        }
        assert_close(&once.results(merged.loss), &each.results(unmerged.loss), tolerance, tolerance);
    }
    test::<f64>(1e-12);
    test::<f32>(1e-5);
}

#[test]
fn dropout_and_sums_over_the_batch_are_not_merged() {
    let net = Net::<f64>::new();
    net.record(&contexts(0), &targets(0), Some(&[0; B]), 0.0);
    assert!(net.tape.mergeable(net.tape.graph_since(net.mark)));
    net.tape.truncate(net.mark);
    net.record(&contexts(0), &targets(0), Some(&[0; B]), 0.5);
    assert!(!net.tape.mergeable(net.tape.graph_since(net.mark)));
    net.tape.truncate(net.mark);
    net.tape.var(net.params[2]).embedding(net.tape.indices(&[B], &[0; B])).sum(&[0], false);
    assert!(!net.tape.mergeable(net.tape.graph_since(net.mark)));
}
