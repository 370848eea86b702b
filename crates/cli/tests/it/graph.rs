//! `charloom graph`, as one calls it.

use assert_cmd::Command;
use predicates::str::{contains, starts_with};

const LETS: [&str; 6] = ["--let", "a=2", "--let", "b=-3", "--let", "c=10"];

fn graph(args: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("charloom").unwrap().arg("graph").args(args).assert()
}

#[test]
fn a_formula_prints_a_table() {
    graph(&[&["tanh(a*b + c)"], &LETS[..]].concat())
        .success()
        .stdout(contains("v2    a * b     -6.0000   0.0013\n"))
        .stdout(contains("v5    tanh(v4)   0.9993   1.0000\n"));
}

#[test]
fn json_has_stable_keys() {
    let done = graph(&["--json", "a^2", "--let", "a=3"]).success();
    let json: serde_json::Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
    assert_eq!(json["data"], 9.0);
    assert_eq!(
        json["nodes"][0],
        serde_json::json!({"id": 0, "label": "a", "op": "", "inputs": [], "data": 3.0, "grad": 6.0})
    );
    assert_eq!(json["nodes"][2]["op"], "pow");
}

#[test]
fn pictures_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (picture, text) = (file("graph.svg"), file("graph.dot"));
    graph(&[&["tanh(a*b + c)", "-o", &picture], &LETS[..]].concat()).success().stdout("");
    assert!(std::fs::read_to_string(&picture).unwrap().starts_with("<svg "));
    graph(&["--mlp", "3,4,4,1", "--input", "2,3,-1", "-o", &picture]).success();
    assert!(std::fs::read_to_string(&picture).unwrap().contains(">2.4.w4</text>"));
    graph(&["--neuron", "2", "--input", "-2,0.5", "--seed", "-7", "--out", &text]).success();
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("digraph {"));
    graph(&["a", "--let", "a=1", "-o", &file("graph.png")]).code(2).stderr(contains(".svg or .dot"));
}

#[test]
fn a_wrong_formula_is_pointed_at() {
    graph(&["tanh(a*)", "--let", "a=1"])
        .code(2)
        .stderr("error: expected a number, a name or `(`, found `)` (column 8)\n  tanh(a*)\n         ^\n");
    graph(&["a + foo", "--let", "a=1"])
        .code(2)
        .stderr(contains("--let foo=1"))
        .stderr(contains("      ^^^\n"));
}

#[test]
fn wrong_use_is_said() {
    graph(&[]).code(2);
    graph(&["a", "--neuron", "2"]).code(2);
    graph(&["a", "--let", "a"]).code(2).stderr(contains("NAME=NUMBER"));
    graph(&["--neuron", "2", "--input", "1"]).code(2).stderr(contains("1 numbers, and there are 2 inputs"));
    graph(&["--mlp", "3"]).code(2).stderr(starts_with("error: --mlp wants"));
    graph(&["--neuron", "18446744073709551615"]).code(2).stderr(contains("more than 10000 parameters"));
    graph(&["--mlp", "99999999999,99999999999,1"]).code(2).stderr(contains("more than 10000 parameters"));
}
