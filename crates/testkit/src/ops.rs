//! The golden values of ops, `fixtures/ops.json`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::fixture;

/// A tensor of a fixture, row-major. A float32 reads back exactly by `as f32`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Its dimensions; none for a scalar.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Vec<f64>,
}

impl Golden {
    /// The elements in single precision.
    pub fn f32(&self) -> Vec<f32> {
        self.data.iter().map(|&x| x as f32).collect()
    }

    /// The elements as indices.
    ///
    /// # Panics
    /// If one is negative or no integer.
    #[track_caller]
    pub fn indices(&self) -> Vec<usize> {
        let index = |&x: &f64| {
            assert!(x >= 0.0 && x.fract() == 0.0, "fixture: {x} is no index");
            x as usize
        };
        self.data.iter().map(index).collect()
    }
}

/// One call of an op in PyTorch; `fixtures/make_ops.py` says what each field holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpCase {
    /// The op's name.
    pub op: String,
    /// `f64` or `f32`.
    pub dtype: String,
    /// Its arguments other than tensors.
    pub attrs: Value,
    /// Its tensors.
    pub inputs: Vec<Golden>,
    /// Its value.
    pub output: Golden,
    /// The gradient of the loss with respect to the output, if any input is differentiable.
    pub grad_output: Option<Golden>,
    /// A gradient for each input; `None` for inputs of integers.
    pub grads: Vec<Option<Golden>>,
    /// The buffers that it changed, by name.
    #[serde(default)]
    pub after: BTreeMap<String, Vec<f64>>,
}

impl OpCase {
    /// A list of numbers in the attributes, such as `dims` or `running_mean`.
    ///
    /// # Panics
    /// If there is no such list.
    #[track_caller]
    pub fn numbers(&self, name: &str) -> Vec<f64> {
        let list = self.attrs[name].as_array();
        let list = list.unwrap_or_else(|| panic!("fixture: {} has no list {name:?}", self.op));
        list.iter().map(|x| x.as_f64().expect("fixture: a number")).collect()
    }
}

/// All cases of one op and one precision.
///
/// # Panics
/// If there are none: otherwise a test with a misspelt name would pass.
#[track_caller]
pub fn op_cases(op: &str, dtype: &str) -> Vec<OpCase> {
    #[derive(Deserialize)]
    struct Ops {
        cases: Vec<OpCase>,
    }
    let mut cases = fixture::<Ops>("ops.json").cases;
    cases.retain(|case| case.op == op && case.dtype == dtype);
    assert!(!cases.is_empty(), "fixture ops.json: no {dtype} cases of {op:?}");
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_close;

    #[test]
    fn cases_are_whole() {
        let all = ["add", "matmul", "linear_tanh", "batch_norm"].map(|op| op_cases(op, "f64")).concat();
        for case in all.iter().chain(&op_cases("linear", "f32")) {
            let sized = |golden: &Golden| golden.shape.iter().product::<usize>() == golden.data.len();
            assert!(case.inputs.iter().all(sized) && sized(&case.output), "{case:?}");
            assert_eq!(case.grads.len(), case.inputs.len());
            for (grad, input) in case.grads.iter().zip(&case.inputs) {
                assert_eq!(grad.as_ref().unwrap().shape, input.shape);
            }
        }
    }

    #[test]
    fn values_are_what_they_say() {
        let case = &op_cases("add", "f64")[0];
        let sum: Vec<f64> =
            case.inputs[0].data.iter().zip(&case.inputs[1].data).map(|(a, b)| a + b).collect();
        assert_close(&sum, &case.output.data, 1e-15, 0.0);
        assert_eq!(op_cases("batch_norm", "f64")[0].after["running_var"].len(), 4);
        assert_eq!(op_cases("sum", "f64")[0].numbers("dims"), [0.0]);
        assert!(op_cases("embedding", "f64")[0].inputs[1].indices().contains(&6));
    }

    #[test]
    #[should_panic(expected = "no f64 cases of \"sums\"")]
    fn an_unknown_op_is_no_empty_test() {
        op_cases("sums", "f64");
    }
}
