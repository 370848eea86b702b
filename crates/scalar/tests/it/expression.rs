//! Expressions: what they mean, and what is said of wrong ones.

use charloom_scalar::{Expression, ExpressionError, Graph};

fn eval(source: &str, names: &[(&str, f64)]) -> Result<f64, ExpressionError> {
    let graph = Graph::new();
    Ok(Expression::parse(source)?.eval(&graph, names)?.data())
}

#[test]
fn precedence_and_grouping_are_pythons() {
    for (source, want) in [
        ("1 + 2*3", 7.0),
        ("(1 + 2)*3", 9.0),
        ("10 - 3 - 2", 5.0),
        ("16/4/2", 2.0),
        ("2^3^2", 512.0),
        ("2**3**2", 512.0),
        ("-2^2", -4.0),
        ("(-2)^2", 4.0),
        ("2^-1", 0.5),
        ("2 * -3", -6.0),
        ("--3", 3.0),
        ("-+3*2", -6.0),
        ("2^3*2", 16.0),
        ("1e3 + .5 + 2. + 1.5E-1", 1002.65),
        ("pow(2, 3) + relu(-1) + relu(2)", 10.0),
        ("ln(exp(2)) + log(exp(1)) + sqrt(9) + tanh(0) + sigmoid(0)", 6.5),
        ("e = 2*3; d = e + 1; d*2", 14.0),
        ("e = 2*3;", 6.0),
        ("_x1 = 2; _x1*_x1", 4.0),
    ] {
        let got = eval(source, &[]).unwrap();
        assert!((got - want).abs() < 1e-12, "{source}: {got}, wanted {want}");
    }
}

#[test]
fn names_are_leaves_with_gradients_and_labels() {
    let graph = Graph::new();
    let names = [("a", 2.0), ("b", -3.0), ("c", 10.0), ("f", -2.0)];
    let l = Expression::parse("e = a*b; d = e + c; L = d*f").unwrap().eval(&graph, &names).unwrap();
    l.backward();
    let seen: Vec<_> =
        graph.nodes_of(l).into_iter().map(|n| (n.label.unwrap(), n.op, n.data, n.grad.unwrap())).collect();
    let want = [
        ("a", "", 2.0, 6.0),
        ("b", "", -3.0, -4.0),
        ("e", "*", -6.0, -2.0),
        ("c", "", 10.0, -2.0),
        ("d", "+", 4.0, -2.0),
        ("f", "", -2.0, 4.0),
        ("L", "*", -8.0, 1.0),
    ];
    assert_eq!(seen, want.map(|(label, op, data, grad)| (label.to_string(), op, data, grad)));
}

#[test]
fn errors_point_at_the_place() {
    for (source, names, message, place) in [
        ("", "", "expected a number, a name or `(`, found the end (column 1)", "^"),
        ("tanh(a*)", "a", "expected a number, a name or `(`, found `)` (column 8)", "       ^"),
        ("(a + 1", "a", "expected an operator or `)`, found the end (column 7)", "      ^"),
        ("a 1", "a", "expected an operator or the end, found `1` (column 3)", "  ^"),
        ("2x", "", "expected an operator or the end, found `x` (column 2)", " ^"),
        ("é + $", "é", "`$` has no meaning here", "    ^"),
        ("sin(a)", "a", "there is no function `sin`; known are tanh,", "^^^"),
        ("1 + tanh", "", "`tanh` is a function; write tanh(...)", "    ^^^^"),
        ("pow(a)", "a", "expected an operator or `,`, found `)`", "     ^"),
        ("1 + 1e999", "", "`1e999` is not a number that fits", "    ^^^^^"),
        ("a*foo", "a", "`foo` has no value; give it one, as in --let foo=1 (column 3)", "  ^^^"),
        ("a + 1", "a b", "`b` is given a value but not used", "^"),
        ("a + 1", "a a", "`a` is given two values", "^"),
        ("b = a; b = 2; b", "a", "`b` already has a value", "       ^"),
        ("a = 1 + a; a", "", "`a` is computed from itself", "        ^"),
        ("a\u{7}", "", "`\\u{7}` has no meaning here", " ^"),
        ("b = a; b", "a b", "`b` is computed here and given a value too", "^"),
    ] {
        let names: Vec<_> = names.split_whitespace().map(|n| (n, 1.0)).collect();
        let error = eval(source, &names).unwrap_err();
        assert!(error.to_string().starts_with(message), "{source}: {error}");
        assert_eq!(error.pointer().lines().nth(1), Some(place), "{source}: {error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[test]
fn a_long_expression_is_shown_around_the_place() {
    let source = format!("{}$ + 1{}", "a + ".repeat(100), " + a".repeat(100));
    let pointer = eval(&source, &[]).unwrap_err().pointer();
    let (text, mark) = pointer.split_once('\n').unwrap();
    assert_eq!(text.chars().nth(mark.chars().count() - 1), Some('$'), "{pointer}");
    assert!(text.chars().count() < 70);
}

#[test]
fn size_is_no_danger() {
    for deep in ["(", "-", "2^", "tanh("] {
        let error = eval(&deep.repeat(100_000), &[]).unwrap_err();
        assert!(error.message.contains("nested deeper than 200"), "{error}");
    }
    let wide = vec!["a"; 200_000].join(" + ");
    assert_eq!(eval(&wide, &[("a", 1.0)]).unwrap(), 200_000.0);
    let many: String = (0..20_000).map(|i| format!("n{i} = 1;")).collect();
    assert_eq!(eval(&many, &[]).unwrap(), 1.0);
}

#[test]
fn no_text_panics() {
    let parts = [
        "a", "1", "1.5e", ".", "+", "-", "*", "**", "^", "(", ")", ",", ";", "=", "tanh", "pow(", " ", "é",
        "😀", "\n",
    ];
    let mut random = charloom_scalar::Random::seed(1);
    let mut fine = 0;
    for _ in 0..20_000 {
        let length = (random.random() * 12.0) as usize;
        let source: String =
            (0..length).map(|_| parts[(random.random() * parts.len() as f64) as usize]).collect();
        match eval(&source, &[("a", 1.0)]) {
            Ok(_) => fine += 1,
            Err(error) => assert_eq!(error.pointer().lines().count(), 2, "{source}"),
        }
    }
    assert!(fine > 100, "the random texts hardly ever are expressions: {fine}");
}
