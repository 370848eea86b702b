//! `charloom eval` and `compare`: how a model was evaluated, and on what.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{charloom, done, json, refused, trained};

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

#[test]
fn a_file_of_unknown_characters_alone_has_a_floor() {
    let folder = trained();
    let folder = folder.path();
    fs::write(folder.join("other"), "\u{e9}mma\n").unwrap();
    refused(folder, &["eval", "a", "--data", "other"], 1, "--unknown floor judges such lines");
    refused(folder, &["eval", "a", "--data", "other", "--unknown", "skip"], 1, "every line");
    let floor = json(folder, &["eval", "a", "--data", "other", "--unknown", "floor", "--json"]);
    assert_eq!((&floor["examples"], &floor["split"]), (&json!(5), &json!("all")));
    assert!(floor["loss"].as_f64() > Some(14.0 / 5.0), "{floor}");
}

#[test]
fn what_is_certain_has_no_loss_of_minus_zero() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("text"), "a".repeat(400)).unwrap();
    done(folder, &["train", "text", "--mode", "text", "--hidden", "4", "--steps", "2", "--out", "one"]);
    let evaluated = done(folder, &["eval", "one"]);
    assert!(evaluated.contains(" 0.0000") && !evaluated.contains('-'), "{evaluated}");
    fs::write(folder.join("lines"), "\na\n").unwrap();
    let scored = done(folder, &["score", "one", "lines", "--json", "--per-char"]);
    assert!(scored.contains("\"loss\":0.0") && !scored.contains("-0.0"), "{scored}");
}

#[test]
fn a_loss_of_a_sample_is_called_so_and_a_text_is_paired_by_blocks() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("text"), "she sells sea shells by the sea shore. ".repeat(200)).unwrap();
    let train = |flags: &str| {
        let line = format!("train text --mode text --hidden 4 --steps 10 --context 5 {flags}");
        let output = charloom(folder, &line.split(' ').collect::<Vec<_>>());
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let sample = train("--eval-size 500 --out sample");
    assert!(
        sample.contains("\ntrain (sample)  ") && sample.contains(" test (characters after 5 others)"),
        "{sample}"
    );
    assert!(train("--eval-size 0 --seed 2 --out whole").contains("\ntrain  "));
    // A net that reads all of a text judges, and counts, each character but the first.
    let gru = train("--eval-size 0 --model gru --out gru");
    assert!(gru.contains(" 7,019 training, 779 validation,") && gru.contains("   7019  "), "{gru}");
    let compared = done(folder, &["compare", "sample", "whole"]);
    let losses = compared.lines().find(|line| line.starts_with("train loss")).unwrap();
    assert_eq!(losses.matches(" (sample)").count(), 1, "{compared}");
    assert!(compared.contains("paired over 8 blocks of 100 characters,"), "{compared}");
    train("--split 1,0,0 --out all");
    refused(
        folder,
        &["compare", "all", "whole"],
        2,
        "nothing in the val split of all is judged; compare on the",
    );
}
