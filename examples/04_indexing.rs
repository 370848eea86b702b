//! Rows of an embedding: by one index, by several, by a whole context, and as one-hot times the table.
//!
//!     cargo run --release -p charloom-nn --example 04_indexing

use charloom_tensor::{Tape, rng::TorchGenerator};

fn main() {
    let mut numbers = vec![0.0; 27 * 2];
    TorchGenerator::new(2_147_483_647).randn_f32(&mut numbers);
    let tape = Tape::<f32>::new();
    // A point of the plane for each of 27 characters.
    let table = tape.input(&[27, 2], &numbers);
    let rows = |shape: &[usize], which: &[u32]| table.embedding(tape.indices(shape, which));

    let e = rows(&[], &[5]);
    println!("table[5]\n{e:?}");
    // An index may come twice: the row is copied twice, and its gradients add up.
    let several = rows(&[6], &[5, 6, 7, 7, 9, 9]);
    println!("table[[5, 6, 7, 7, 9, 9]]\n{several:?}");
    assert_eq!(several.slice(0, 2, 3).data(), several.slice(0, 3, 4).data());
    println!("nothing\n{:?}", table.slice(0, 27, 27));

    // A context of three characters has three points.
    let context = rows(&[1, 3], &[0, 0, 0]);
    println!("table[[[0, 0, 0]]] has shape {:?}", context.shape());
    assert_eq!(context.shape().dims(), [1, 3, 2]);

    // One-hot times the table picks the row: 1 times it, 0 times each other.
    let one_hot = tape.one_hot(tape.indices(&[1], &[5]), 27);
    let picked = one_hot.matmul(table);
    println!("one_hot(5) @ table\n{picked:?}");
    assert_eq!(picked.data(), e.data());
}

#[test]
fn it_runs() {
    main();
}
