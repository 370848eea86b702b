//! Broadcasting: sizes are compared from the last dimension, and where one is 1 or missing, it is repeated.
//!
//!     cargo run --release -p charloom-nn --example 06_broadcasting

use charloom_tensor::{Shape, Tape, rng::TorchGenerator};

fn main() {
    let mut generator = TorchGenerator::new(2_147_483_647);
    let tape = Tape::<f32>::new();
    let mut normal = |dims: &[usize]| {
        let mut numbers = vec![0.0; dims.iter().product()];
        generator.randn_f32(&mut numbers);
        tape.variable(dims, &numbers)
    };

    // A hidden layer: (32, 6) times (6, 100), and a bias (100) added to each of 32 rows.
    let (emb, w, b) = (normal(&[32, 3, 2]), normal(&[6, 100]), normal(&[100]));
    let product = emb.view(&[32, 6]).matmul(w);
    println!("{:?} + {:?} -> {:?}", product.shape(), b.shape(), (product + b).shape());
    let h = (product + b).tanh();
    println!("h\n{h:?}");
    // What is repeated forward is summed backward: each bias has the gradients of all rows.
    h.sum_all().backward();
    assert_eq!(b.grad().len(), 100);

    // Each row divided by its sum: with keepdim the sums are (3, 1), a column beside the rows.
    let counts = tape.arange(9).view(&[3, 3]);
    let by_rows = counts / counts.sum(&[1], true);
    println!("rows divided by their sums\n{by_rows:?}");
    // Without it they are (3), a row, and each column is divided: no error, and wrong.
    let wrong = counts / counts.sum(&[1], false);
    println!("columns divided by the sums of rows\n{wrong:?}");
    assert!((by_rows.slice(0, 2, 3).sum_all().item() - 1.0).abs() < 1e-6);
    assert!((wrong.slice(0, 2, 3).sum_all().item() - 1.0).abs() > 0.1);

    assert_eq!(Shape::new(&[2]).broadcast(&Shape::new(&[3])), None);
}

#[test]
fn it_runs() {
    main();
}
