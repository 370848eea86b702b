//! Views and copies: `view` and `unbind` look at the same memory, `cat` and `contiguous` make new.
//!
//!     cargo run --release -p charloom-nn --example 05_views

use charloom_tensor::{Tape, Var};

fn main() {
    let tape = Tape::<f32>::new();
    let a = tape.arange(18);
    println!("arange(18)\n{a:?}");
    let cube = a.view(&[3, 3, 2]);
    println!("view(3, 3, 2)\n{cube:?}");
    assert!(cube.shares_memory(a));

    // Three characters of two features each, side by side: of a minibatch of three examples.
    let flat = cube.view(&[3, 6]);
    let slices: Vec<_> = (0..3).map(|t| cube.slice(1, t, t + 1).reshape(&[3, 2])).collect();
    let by_slices = Var::cat(&slices, 1);
    let by_unbind = Var::cat(&cube.unbind(1), 1);
    println!("cat(unbind(1), 1)\n{by_unbind:?}");
    assert!(flat.data() == by_slices.data() && flat.data() == by_unbind.data());
    assert!(flat.shares_memory(a) && !by_unbind.shares_memory(a));
    assert!(cube.unbind(1)[2].shares_memory(a));

    // A transposed view shares the memory too, but no longer lies in order: to be viewed otherwise it is copied.
    let turned = flat.transpose(0, 1);
    println!("transpose: shape {:?}, strides {:?}", turned.shape(), &turned.layout().strides[..2]);
    assert!(turned.shares_memory(a) && !turned.is_contiguous());
    let copied = turned.contiguous().view(&[18]);
    assert!(!copied.shares_memory(a));
    println!("in order again\n{copied:?}");
}

#[test]
fn it_runs() {
    main();
}
