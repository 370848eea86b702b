//! Formulas.

use charloom_scalar::picture::{dot, svg, table};
use charloom_scalar::{Expression, ExpressionError, Graph};

/// Parses text as a formula, gives each name in it a number, and computes, differentiates and draws it.
///
/// # Panics
/// An error that does not point into the text, or is more than one line.
pub fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(error) => return told_well(&error),
    };
    let mut names: Vec<(&str, f64)> = Vec::new();
    loop {
        let graph = Graph::new();
        match expression.eval(&graph, &names) {
            Ok(value) => {
                value.backward();
                let nodes = graph.nodes_of(value);
                assert!(!table(&nodes).is_empty() && !dot(&nodes).is_empty());
                if nodes.len() < 50 {
                    svg(&nodes).expect("so few nodes have room");
                }
                return;
            }
            Err(error) => {
                told_well(&error);
                let name = &text[error.span];
                assert!(names.iter().all(|(given, _)| *given != name), "{name:?} was given a number already");
                names.push((name, 0.5 + names.len() as f64));
            }
        }
    }
}

fn told_well(error: &ExpressionError) {
    assert!(error.source_text.get(error.span.clone()).is_some(), "{error:?} points beside the text");
    assert!(!error.to_string().chars().any(char::is_control), "{error:?} holds control characters");
    assert_eq!(error.pointer().lines().count(), 2);
}
