//! The loss by hand, exponentials, sums, logarithms, beside cross-entropy in one operation.
//!
//!     cargo run --release -p charloom-nn --example 07_loss_by_hand

use charloom_tensor::{Tape, Var, rng::TorchGenerator};

const ROWS: usize = 32;
const CLASSES: usize = 27;

/// -mean(log(prob[i, target i]))
fn by_hand<'t>(logits: Var<'t, f32>, targets: &[u32]) -> Var<'t, f32> {
    let counts = logits.exp();
    let prob = counts / counts.sum(&[1], true);
    let right = prob.gather(1, logits.tape().indices(&[targets.len(), 1], targets));
    -right.log().mean_all()
}

fn main() {
    let mut generator = TorchGenerator::new(2_147_483_647);
    let (mut numbers, mut targets) = (vec![0.0; ROWS * CLASSES], vec![0; ROWS]);
    generator.randn_f32(&mut numbers);
    generator.randint_into(CLASSES as u32, &mut targets);

    let tape = Tape::<f32>::new();
    let logits = tape.variable(&[ROWS, CLASSES], &numbers);
    let which = tape.indices(&[ROWS], &targets);
    let (hand, one) = (by_hand(logits, &targets), logits.cross_entropy(which));
    println!("by hand {hand:?}, cross-entropy {one:?}, ln 27 = {:.4}", (CLASSES as f32).ln());
    assert!((hand.item() - one.item()).abs() < 1e-5);

    hand.backward();
    let slow = logits.grad();
    one.backward();
    let far = slow.iter().zip(logits.grad()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("their gradients differ by {far:e} at most");
    assert!(far < 1e-7);

    // The largest logit of each row, and where it stands.
    let (values, indices) = logits.max_with_indices(1);
    println!("logits.max(1)\n{values:?}\n{indices:?}");

    // Logits of 100 overflow when they are raised to e; cross-entropy subtracts the largest of a row first.
    let large: Vec<f32> = numbers.iter().map(|x| x + 100.0).collect();
    let large = tape.input(&[ROWS, CLASSES], &large);
    println!(
        "with 100 added: by hand {:?}, cross-entropy {:?}",
        by_hand(large, &targets),
        large.cross_entropy(which)
    );
    assert!(by_hand(large, &targets).item().is_nan());
    assert!((large.cross_entropy(which).item() - one.item()).abs() < 1e-4);
}

#[test]
fn it_runs() {
    main();
}
