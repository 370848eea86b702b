//! `charloom inspect`, `lr-find`, and what `train` writes for those who watch.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, starts_with};

fn charloom() -> Command {
    Command::cargo_bin("charloom").unwrap()
}

fn words() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data/words.txt")
}

#[test]
fn an_untrained_network_is_told_what_is_wrong_with_it() {
    let inspect = |flags: &[&str]| {
        charloom().args(["inspect", "--untrained"]).arg(words()).args(flags).assert().success()
    };
    inspect(&["--init", "unit-normal", "--output-scale", "1"]).stdout(starts_with("! the first loss is"));
    inspect(&["--hidden", "100,100,100,100", "--gain", "3"]).stdout(contains("where tanh is flat"));
    inspect(&["--context", "2"]).stdout(starts_with("nothing stands out").and(contains("layers.1 Tanh")));
    charloom().arg("inspect").assert().code(2);
    charloom().args(["inspect", "--untrained", "--model", "ngram"]).arg(words()).assert().code(2);
}

#[test]
fn a_run_with_diagnostics_is_inspected_and_tensorboard_gets_its_files() {
    let home = tempfile::tempdir().unwrap();
    let (run, board) = (home.path().join("run"), home.path().join("board"));
    let flags = ["--steps", "120", "--hidden", "20", "--diagnostics", "--tensorboard"];
    let train = || {
        let mut command = charloom();
        command.arg("train").arg(words()).args(flags).arg(&board).arg("--out").arg(&run);
        command
    };
    train().assert().success();
    let names: Vec<String> = fs::read_dir(&board)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| name.contains("tfevents")), "{names:?}");
    assert!(names.contains(&"projector_config.pbtxt".to_owned()));
    let rows = fs::read_to_string(board.join("embedding.tsv")).unwrap().lines().count();
    assert_eq!(rows, fs::read_to_string(board.join("characters.tsv")).unwrap().lines().count());

    let shown = charloom().arg("inspect").arg(&run).args(["--data"]).arg(words()).assert().success();
    shown.stdout(contains("start").and(contains("end")).and(contains("after 120 steps")));
    let json = charloom().args(["inspect", "--json"]).arg(&run).output().unwrap().stdout;
    let seen: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert!(seen["end"]["loss"].as_f64().unwrap() < seen["start"]["loss"].as_f64().unwrap());
    assert_eq!(seen["start"]["records"][1]["kind"], "gradient");
    charloom()
        .arg("inspect")
        .arg(&run)
        .args(["--gain", "3"])
        .assert()
        .code(2)
        .stderr(contains("leave out the other ones, or the run"));
    charloom().args(["inspect", "--gain", "3"]).assert().code(2).stderr(contains("--untrained"));

    let other = home.path().join("other");
    let plain = |out: &PathBuf| {
        let flags = ["--steps", "120", "--hidden", "20"];
        charloom().arg("train").arg(words()).args(flags).arg("--out").arg(out).assert().success();
    };
    plain(&other);
    let best = |run: &PathBuf| fs::read(run.join("best.safetensors")).unwrap();
    assert!(best(&run) == best(&other), "looking changed the training");
}

#[test]
fn lr_find_draws_prints_and_writes() {
    let home = tempfile::tempdir().unwrap();
    let (svg, csv) = (home.path().join("curve.svg"), home.path().join("curve.csv"));
    let find = || {
        let mut command = charloom();
        command.arg("lr-find").arg(words()).args(["--hidden", "20", "--steps", "200"]);
        command
    };
    let shown = find().arg("-o").arg(&svg).arg("--csv").arg(&csv).assert().success();
    shown.stdout(contains("suggested learning rate").and(contains("log10 of the learning rate")));
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
    let table = fs::read_to_string(csv).unwrap();
    assert_eq!((table.lines().next(), table.lines().count()), (Some("step,lr,loss,smoothed"), 201));
    let found: serde_json::Value =
        serde_json::from_slice(&find().arg("--json").output().unwrap().stdout).unwrap();
    assert_eq!(found["losses"].as_array().unwrap().len(), 200);
    assert!(found["suggestion"].as_f64().unwrap() > 1e-3);
    find().args(["--from", "1", "--to", "0.1"]).assert().code(2).stderr(contains("the rate must rise"));
}
