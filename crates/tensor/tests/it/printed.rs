//! Tensors as torch prints them (`fixtures/printed.json`).

use charloom_tensor::{Tape, print_floats, print_whole};
use charloom_testkit::fixture;
use serde::Deserialize;

#[derive(Deserialize)]
struct Printed {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    dims: Vec<usize>,
    whole: bool,
    double: bool,
    numbers: Vec<String>,
    text: String,
}

#[test]
fn tensors_are_printed_as_in_torch() {
    let cases = fixture::<Printed>("printed.json").cases;
    for case in &cases {
        let numbers = case.numbers.iter();
        let floats: Vec<f64> = numbers.map(|x| x.parse().expect("a number")).collect();
        let single: Vec<f32> = floats.iter().map(|&x| x as f32).collect();
        let text = match (case.whole, case.double) {
            (true, _) => print_whole(&case.dims, &floats.iter().map(|&x| x as u64).collect::<Vec<_>>()),
            (false, true) => print_floats(&case.dims, &floats),
            (false, false) => print_floats(&case.dims, &single),
        };
        assert_eq!(text, case.text, "{:?}", case.dims);
    }
    assert!(cases.len() > 30);
}

#[test]
fn a_variable_is_shown_as_its_numbers() {
    let tape = Tape::<f32>::new();
    let x = tape.arange(6).view(&[2, 3]);
    assert_eq!(format!("{x:?}"), "tensor([[0., 1., 2.],\n        [3., 4., 5.]])");
    assert_eq!(
        format!("{:?}", x.transpose(0, 1)),
        "tensor([[0., 3.],\n        [1., 4.],\n        [2., 5.]])"
    );
}
