//! `charloom eval --json`: with what a model was evaluated.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{done, json};

#[test]
fn an_evaluation_says_how_the_model_adapted_and_how_its_windows_lay() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("text"), "she sells sea shells by the sea shore. ".repeat(40)).unwrap();
    let train = |model: &str, out: &str| {
        let line =
            format!("train text --mode text --model {model} --embed 8 --steps 2 --batch 4 --out {out}");
        done(folder, &line.split(' ').collect::<Vec<_>>());
    };
    train("transformer --layers 1 --context 16", "decoder");
    train("gru --hidden 8 --context 16", "gru");
    let said = |line: &str| -> Vec<Value> {
        let object = json(folder, &format!("eval {line} --json").split(' ').collect::<Vec<_>>());
        ["adapt", "adapt_segment", "adapt_rule", "adapt_decay", "stride"]
            .map(|key| object[key].clone())
            .to_vec()
    };
    let none = Value::Null;
    assert_eq!(said("gru"), vec![none.clone(); 5]);
    let all = said("gru --adapt .01 --adapt-segment 20 --adapt-rule rms --adapt-decay .1");
    assert_eq!(all, [json!(0.01), json!(20), json!("rms"), json!(0.1), none.clone()]);
    assert_eq!(said("decoder --adapt .2"), [json!(0.2), json!(50), json!("plain"), json!(0.0), json!(4)]);
    assert_eq!(said("decoder --stride 16")[4], 16);
}
