//! `charloom backprop`, `gradcheck` and `explain` as a user meets them.

use std::process::{Command, Output};

use serde_json::Value;

fn charloom(args: &[&str]) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("charloom")).args(args).output().unwrap()
}

fn text(output: &Output) -> (String, String) {
    let read = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (read(&output.stdout), read(&output.stderr))
}

fn json(args: &[&str]) -> Value {
    let output = charloom(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output).1);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_row_is_equal_in_both_precisions() {
    for (args, precision, tolerance) in [
        (&["backprop", "--json", "--check", "--train", "20"][..], "f32", 1e-6),
        (&["backprop", "--json", "--check", "--f64"], "f64", 1e-12),
    ] {
        let report = json(args);
        assert_eq!((&report["precision"], &report["parameters"]), (&precision.into(), &12_297.into()));
        let rows = report["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 26);
        for row in rows.iter().chain(report["shortcuts"].as_array().unwrap()) {
            assert_eq!(row["approximate"], true, "{row}");
            assert!(row["max_difference"].as_f64().unwrap() < tolerance * 10.0, "{row}");
        }
        assert_eq!(report["training"].is_null(), precision == "f64");
    }
}

#[test]
fn a_broken_formula_is_shown_and_fails_the_check() {
    let args = ["backprop", "--break", "bn_var", "--f64"];
    let output = charloom(&args);
    assert_eq!(output.status.code(), Some(0), "without --check it only shows");
    let (shown, _) = text(&output);
    let not_equal: Vec<&str> = shown.lines().filter(|line| line.contains(" NO ")).collect();
    assert!(matches!(not_equal[..], [row] if row.starts_with("bn_var ")), "{shown}");

    let output = charloom(&[&args[..], &["--check"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let (still_shown, error) = text(&output);
    assert_eq!(still_shown, shown);
    assert_eq!(error.lines().count(), 1);
    assert!(error.contains("differ: bn_var;"), "{error}");

    assert_eq!(charloom(&["backprop", "--break", "bn_vra"]).status.code(), Some(2));
    assert_eq!(charloom(&["backprop", "--hidden", "9,9"]).status.code(), Some(2));
}

#[test]
fn gradcheck_names_the_parameter_that_is_wrong() {
    let args = ["gradcheck", "--hidden", "8", "--norm", "layer", "--batch", "8", "--elements", "5"];
    let report = json(&[&args[..], &["--json"]].concat());
    assert_eq!(report["passed"], true);
    assert_eq!(report["rows"][0]["checked"], 5);

    let output = charloom(&[&args[..], &["--break", "layers.0.weight"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let (shown, error) = text(&output);
    let wrong: Vec<&str> = shown.lines().filter(|line| line.ends_with("WRONG")).collect();
    assert!(matches!(wrong[..], [row] if row.starts_with("layers.0.weight ")), "{shown}");
    assert!(error.contains("in layers.0.weight;"), "{error}");
    assert_eq!(charloom(&["gradcheck", "--model", "ngram"]).status.code(), Some(2));
}

#[test]
fn a_loss_is_explained_before_and_after_training() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run").display().to_string();
    let sizes = ["--hidden", "16", "--batch", "64"];
    let before = json(&[&["explain", "loss", "--json"], &sizes[..]].concat());
    assert!((before["expected"].as_f64().unwrap() - 27f64.ln()).abs() < 1e-12);
    assert!(before["run"].is_null());

    let trained = charloom(&[&["train", "--out", &run, "--steps", "300"], &sizes[..]].concat());
    assert_eq!(trained.status.code(), Some(0), "{}", text(&trained).1);
    let after = json(&["explain", "loss", &run, "--json"]);
    assert_eq!((&after["untrained"], &after["baselines"]), (&before["untrained"], &before["baselines"]));
    assert!(after["run"]["loss"].as_f64().unwrap() < after["untrained"].as_f64().unwrap());
    let (shown, _) = text(&charloom(&["explain", "loss", &run]));
    assert!(shown.contains("ln 27") && shown.contains("the run"), "{shown}");
    assert_eq!(charloom(&["explain", "loss", &run, "--hidden", "8"]).status.code(), Some(2));
}
