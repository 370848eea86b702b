//! `charloom plot`, `report` and `compare`, as one calls them.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, starts_with};

fn charloom(folder: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("charloom").unwrap().current_dir(folder).args(args).assert()
}

/// A folder with two trained runs, `a` and `b`.
fn runs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, hidden) in [("a", "8"), ("b", "30")] {
        let args = ["train", "--hidden", hidden, "--steps", "200", "--lr-drops", "0.5:0.1", "--out", name];
        charloom(folder.path(), &args).success();
    }
    folder
}

#[test]
fn a_picture_is_what_the_files_name_says() {
    let folder = runs();
    let folder = folder.path();
    for what in ["loss", "lr", "embedding", "bigram", "activations", "gradients", "dead", "weights"] {
        charloom(folder, &["plot", "a", what]).success().stdout(contains("\n"));
        charloom(folder, &["plot", "a", what, "-o", "x.svg"]).success().stdout("");
        assert!(fs::read_to_string(folder.join("x.svg")).unwrap().starts_with("<svg"), "{what}");
        charloom(folder, &["plot", "a", what, "-o", "x.png", "--theme", "dark"]).success();
        assert!(fs::read(folder.join("x.png")).unwrap().starts_with(b"\x89PNG"), "{what}");
    }
    charloom(folder, &["plot", "a", "surprise", "--words", "anna"]).success().stdout(contains("bits"));
    charloom(folder, &["plot", "a", "updates"]).code(2).stderr(contains("--diagnostics"));
    charloom(folder, &["train", "--hidden", "8", "--steps", "200", "--diagnostics", "--out", "d"]).success();
    charloom(folder, &["plot", "d", "updates"]).success().stdout(contains("layers.0.weight"));
    charloom(folder, &["plot", "d", "activations"]).success().stdout(contains("Tanh"));
    let done = charloom(folder, &["plot", "a", "b", "loss", "--json", "--smooth", "3"]).success();
    let json: serde_json::Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
    let names: Vec<&str> =
        json["series"].as_array().unwrap().iter().map(|series| series["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a: minibatch", "a: validation", "b: minibatch", "b: validation"]);
}

#[test]
fn nets_without_a_window_are_drawn_as_far_as_they_have_what_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    charloom(folder, &["train", "--model", "gru", "--hidden", "4", "--steps", "1", "--out", "gru"]).success();
    let bow = ["train", "--model", "bow", "--embed", "4", "--hidden", "4", "--steps", "1", "--out", "bow"];
    charloom(folder, &bow).success();
    for run in ["gru", "bow"] {
        charloom(folder, &["plot", run, "embedding"]).success().stdout(contains("variance"));
        let refused = charloom(folder, &["plot", run, "weights"]).code(2);
        refused.stderr(contains("none of layers over a window; 'charloom show RUN' prints what it has"));
    }
    let counts = charloom(folder, &["lr-find", "--model", "ngram"]).code(2);
    counts.stderr(contains("--model ngram counts; it has no learning rate"));
}

#[test]
fn wrong_use_is_told_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    charloom(folder, &["train", "--model", "bigram", "--out", "n"]).success();
    charloom(folder, &["plot", "n", "bigram", "-o", "x.gif"]).code(2).stderr(contains(".svg or .png"));
    charloom(folder, &["plot", "n", "n", "bigram"]).code(2).stderr(contains("name one"));
    charloom(folder, &["plot", "n", "embedding"]).code(2).stderr(contains("no embedding"));
    charloom(folder, &["plot", "n", "surprise"]).code(2).stderr(contains("--words"));
    charloom(folder, &["plot", "n", "surprise", "--words", "é"]).code(1).stderr(contains("é"));
    charloom(folder, &["plot", "none", "loss"]).code(1).stderr(starts_with("error: none: "));
    charloom(folder, &["compare", "n"]).code(2);
    charloom(folder, &["report", "none"]).code(1);
    assert!(!folder.join("report.html").exists());
}

#[test]
fn runs_are_reported_and_compared() {
    let folder = runs();
    let folder = folder.path();
    charloom(folder, &["train", "--resume", "--report", "--out", "a"]).success();
    let with_training = fs::read_to_string(folder.join("a/report.html")).unwrap();
    charloom(folder, &["report", "a"]).success().stdout("");
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert_eq!(page, with_training);
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    charloom(folder, &["compare", "a", "b"]).success().stdout(
        contains("model.hidden")
            .and(contains("steps/s"))
            .and(contains("standard error, paired over 3226 words")),
    );
    let done = charloom(folder, &["compare", "a", "b", "--split", "test", "--json"]).success();
    let json: serde_json::Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
    assert_eq!((&json["split"], &json["runs"][1]["parameters"]), (&"test".into(), &1569.into()));
    assert!(json["tests"][0]["p"].is_number());
}

#[test]
fn a_file_that_was_there_is_replaced_as_a_whole() {
    let folder = runs();
    let folder = folder.path();
    for (name, args) in [
        ("x.svg", &["plot", "a", "loss", "-o", "x.svg"][..]),
        ("x.png", &["plot", "a", "loss", "-o", "x.png"]),
        ("x.html", &["report", "a", "-o", "x.html"]),
        ("x.csv", &["show", "a", "embedding.weight", "--csv", "x.csv"]),
        ("x.npy", &["show", "a", "embedding.weight", "--npy", "x.npy"]),
        ("g.svg", &["graph", "a*b", "--let", "a=2", "--let", "b=3", "-o", "g.svg"]),
        ("l.svg", &["lr-find", "--hidden", "4", "--steps", "12", "-o", "l.svg"]),
    ] {
        // Another name of the old file still has all of it: the new one was written beside it.
        fs::write(folder.join(name), "old").unwrap();
        fs::hard_link(folder.join(name), folder.join("kept")).unwrap();
        charloom(folder, args).success();
        assert_eq!(fs::read_to_string(folder.join("kept")).unwrap(), "old", "{name}");
        assert!(fs::metadata(folder.join(name)).unwrap().len() > 100, "{name}");
        fs::remove_file(folder.join("kept")).unwrap();
    }
}

#[test]
fn what_has_no_steps_has_no_curve_and_a_mixture_tells_how_it_is_made() {
    let folder = runs();
    let folder = folder.path();
    charloom(folder, &["train", "--model", "ngram", "--out", "counts"]).success();
    charloom(folder, &["mix", "a", "counts", "--weights", ".25,.75", "--out", "m"]).success();
    for run in ["counts", "m"] {
        for what in ["loss", "lr"] {
            charloom(folder, &["plot", run, what])
                .code(2)
                .stderr(contains("no steps to draw; 'charloom eval RUN'"));
        }
    }
    charloom(folder, &["report", "m"]).success();
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("charloom mix RUN-0 RUN-1 --weights 0.25,0.75 --out RUN</pre>"));
    assert!(
        page.contains("0 (mlp)") && page.contains("<td>0.7500") && !page.contains("--config config.toml")
    );
    charloom(folder, &["info", "m"])
        .success()
        .stdout(contains("27 (boundary and abc").and(contains("steps  ").not()));
    charloom(folder, &["info", "a"]).success().stdout(contains("  weights     of step 200 of 200\n"));
}
