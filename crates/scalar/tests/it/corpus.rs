//! What the fuzzer found worth keeping, through the fuzz target's own function.

#[path = "../../../../fuzz/src/expression.rs"]
mod expression;

#[test]
fn formulas_are_computed_or_refused() {
    for (name, bytes) in charloom_testkit::corpus("expression") {
        println!("{name}");
        expression::expression(&bytes);
    }
}
