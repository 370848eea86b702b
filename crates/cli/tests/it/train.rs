//! Training networks with the command: the same bytes, failing, sizes, teachers.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn charloom(folder: &Path, args: &str) -> Output {
    let args = args.split_whitespace();
    Command::new(assert_cmd::cargo::cargo_bin!("charloom")).current_dir(folder).args(args).output().unwrap()
}

pub(super) fn done(folder: &Path, args: &str) -> String {
    let output = charloom(folder, args);
    assert_eq!(output.status.code(), Some(0), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn failed(folder: &Path, args: &str, said: &str) {
    let output = charloom(folder, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args}: {stderr}");
    assert!(stderr.lines().last().unwrap().contains(said), "{args}: {stderr}");
}

pub(super) fn same(folder: &Path, a: &str, b: &str) {
    for name in ["config.toml", "best.safetensors", "last.safetensors", "metrics.jsonl", "samples.txt"] {
        let [a, b] = [a, b].map(|run| fs::read(folder.join(run).join(name)).unwrap());
        assert!(!a.is_empty() && a == b, "{name} differs");
    }
}

#[test]
fn the_first_command_works() {
    let folder = TempDir::new().unwrap();
    let report = done(folder.path(), "train --steps 200");
    assert!(report.starts_with("split"), "{report}");
    assert_eq!(fs::read_to_string(folder.path().join("runs/mlp/samples.txt")).unwrap().lines().count(), 20);
    let shown: serde_json::Value =
        serde_json::from_str(&done(folder.path(), "eval runs/mlp --json")).unwrap();
    assert!(shown["loss"].as_f64().unwrap() < 3.2, "{shown}");
    assert_eq!(done(folder.path(), "sample runs/mlp -n 4").lines().count(), 4);
}

/// Texts of which a split has tokens, but nothing that is judged.
#[test]
fn a_text_of_which_little_is_judged_is_trained_on_to_the_end() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let long = "hello world, hello there; ".repeat(15);
    for (name, text) in
        [("h", "hello world, hello there"), ("t", "hello worl"), ("long", long.as_str()), ("v", "h")]
    {
        fs::write(path.join(name), text).unwrap();
    }
    for (i, (args, eval)) in [
        ("h --mode text --steps 20", true),
        ("h --mode text --model ngram --order 3", true),
        ("h --mode text --model wavenet --hidden 8 --steps 3", true),
        ("long --mode text --context 32 --steps 3", true),
        ("t --mode text --steps 20", false),
        ("t --mode text --model ngram --order 2", false),
        ("t --mode text --steps 3 --seeds 2", false),
        ("long --mode text --val v --steps 3", false),
    ]
    .into_iter()
    .enumerate()
    {
        let output = charloom(path, &format!("train {args} --json --out r{i}"));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}: {stderr}");
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let has = |key: &str| !result[key].is_null();
        assert!(["loss", "train", "baselines", "samples"].into_iter().all(has), "{args}: {result}");
        assert_eq!(has("members"), args.contains("--seeds"), "{args}: {result}");
        assert!(!stderr.contains("--split test"), "{args} has no test split to evaluate: {stderr}");
        for command in ["eval --split all", "eval --split train", "explain loss", "report"] {
            done(path, &format!("{command} r{i}"));
        }
        assert_eq!(charloom(path, &format!("eval r{i}")).status.code() == Some(0), eval, "{args}");
    }
    // What cannot be trained is known before anything is written.
    for args in [
        "--context 32",
        "--context 32 --seeds 2",
        "--model gru",
        "--model transformer --context 32",
        "--model gru --seeds 2",
    ] {
        let output = charloom(path, &format!("train h --mode text {args} --steps 5 --out none"));
        assert!(output.status.code() > Some(0) && !path.join("none").exists(), "{args}");
    }
}

#[test]
fn every_preset_trains_a_little() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("text"),
        "First Citizen:\nBefore we proceed any further, hear me speak.\n".repeat(60),
    )
    .unwrap();
    let few: Vec<&str> = charloom::data::NAMES.lines().take(300).collect();
    fs::write(folder.path().join("names"), few.join("\n")).unwrap();
    for preset in charloom::presets::all() {
        let is_nanogpt = preset.name.starts_with("nanogpt");
        let is_text = preset.name.starts_with("shakespeare") || preset.name == "char-rnn" || is_nanogpt;
        let data = if is_text { "text" } else { "names" };
        let counts = preset.toml.contains("ngram");
        let is_large = is_nanogpt || ["shakespeare-lstm", "shakespeare-best"].contains(&preset.name);
        let steps = match (counts, is_large) {
            (true, _) => "",
            // Their depth takes a build for tests a minute, and repeats what one layer is.
            (_, true) => "--steps 1 --batch 1 --eval-size 64 --layers 1",
            _ => "--steps 2",
        };
        let out = done(folder.path(), &format!("train {data} --preset {} {steps} --json", preset.name));
        let result: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(result["loss"].as_f64().unwrap().is_finite(), "{}: {out}", preset.name);
    }
}

#[test]
fn equal_runs_give_equal_bytes() {
    let folder = TempDir::new().unwrap();
    let flags = "--steps 60 --norm batch --hidden 20 --dropout 0.2 --optimizer adamw --lr 0.01";
    done(folder.path(), &format!("train {flags} --out a"));
    done(folder.path(), "train --config a/config.toml --out b --threads 1");
    same(folder.path(), "a", "b");
    let shown = done(folder.path(), "info a");
    assert!(shown.contains("layers.0.weight"), "{shown}");
}

#[test]
fn what_cannot_be_trained_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("short"), "abc").unwrap();
    for kind in ["mlp --context 8", "linear --context 8", "ngram --order 9"] {
        failed(folder.path(), &format!("train short --mode text --model {kind} --out a"), "examples");
        assert!(!folder.path().join("a").exists(), "{kind}");
    }
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_and_keeps_what_was_saved() {
    let folder = TempDir::new().unwrap();
    failed(folder.path(), "train --lr 10000 --steps 500 --out a", "a --lr lower than 10000");
    done(folder.path(), "sample a -n 1");
}

#[test]
fn no_steps_leave_the_model_as_drawn() {
    let folder = TempDir::new().unwrap();
    done(folder.path(), "train --steps 0 --out a");
    done(folder.path(), "train --resume --out a");
    done(folder.path(), "sample a -n 1");
}

#[test]
fn patience_ends_a_run_early() {
    let folder = TempDir::new().unwrap();
    let output = charloom(folder.path(), "train --steps 400 --eval-every 10 --lr 0 --patience 2 --out a");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.contains("stopped early at step 20"), "{stderr}");
}

#[test]
fn a_teacher_and_what_is_read_are_learned_from() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    done(folder, "train --model ngram --order 3 --out teacher");
    let flags = "--hidden 20 --steps 200 --eval-every 100";
    done(folder, &format!("train {flags} --teacher teacher --teacher-weight 0.7 --out taught"));
    done(folder, &format!("train {flags} --out alone"));
    let [taught, alone] =
        ["taught", "alone"].map(|run| fs::read(folder.join(run).join("best.safetensors")).unwrap());
    assert_ne!(taught, alone);
    assert!(fs::read_to_string(folder.join("taught/config.toml")).unwrap().contains("[train.teacher]"));
    done(folder, "train --config taught/config.toml --out again");
    same(folder, "taught", "again");
    failed(folder, "train --steps 5 --teacher none --out x", "none: no such run; it is the --teacher");
    for (flags, said) in [
        ("--teacher-weight 0.5", "there is no --teacher"),
        ("--teacher-temperature 2", "there is no --teacher"),
        ("--teacher teacher --teacher-temperature 0", "--teacher-temperature 0 is out of range"),
    ] {
        let output = charloom(folder, &format!("train {flags} --out x"));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && stderr.contains(said), "{stderr}");
    }
    // Another teacher in its place.
    done(folder, "train --model ngram --order 4 --out teacher --force");
    failed(folder, "train --config taught/config.toml --out x", "is another file than the teacher");
    let loss = |args: &str| -> f64 {
        let shown: serde_json::Value = serde_json::from_str(&done(folder, args)).unwrap();
        shown["loss"].as_f64().unwrap()
    };
    let fixed = loss("eval alone --json");
    assert!(loss("eval alone --adapt 0.3 --json") < fixed - 0.05);
    assert!((loss("eval alone --adapt 0 --adapt-segment 9 --json") - fixed).abs() < 1e-5);
    assert!(loss("eval alone --adapt 0.001 --adapt-rule rms --adapt-decay 0.001 --json") < fixed - 0.05);
    let output = charloom(folder, "eval alone --adapt 1000 --adapt-rule rms");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && stderr.contains("--adapt: with this rate"), "{stderr}");
    let output = charloom(folder, "eval teacher --adapt 0.1");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && stderr.contains("--adapt: nothing in this model"), "{stderr}");
}

#[test]
fn a_size_follows_the_data_and_flags_come_on_top() {
    let folder = TempDir::new().unwrap();
    let few: Vec<&str> = charloom::data::NAMES.lines().take(300).collect();
    fs::write(folder.path().join("names"), few.join("\n")).unwrap();
    done(folder.path(), "train names --size tiny --steps 20 --model mlp --hidden 12 --beta2 0.9 --out run");
    let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    for line in ["optimizer = \"adamw\"", "hidden = [12]", "steps = 20", "beta2 = 0.9", "ema = 0.9"] {
        assert!(config.contains(line), "no {line} in {config}");
    }
    for (flags, said) in [
        ("--momentum .5", "--momentum has no effect"),
        ("--model ngram", "--size: a model of kind \"ngram\" has no sizes"),
        ("--preset wavenet", "cannot be used with"),
    ] {
        let output = charloom(folder.path(), &format!("train names --size tiny {flags} --out other"));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && stderr.contains(said), "{flags}: {stderr}");
    }
}

#[test]
fn a_training_begins_with_the_weights_of_another() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("old"), "emma\nava\nmia\n".repeat(9)).unwrap();
    fs::write(folder.path().join("new"), "emma\nzo\u{eb}\n".repeat(9)).unwrap();
    done(folder.path(), "train old --hidden 8 --steps 20 --out first");
    let output = charloom(folder.path(), "train new --init-from first --steps 2 --out second");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("begins with the weights of first; new characters, as drawn: oz\u{eb}"),
        "{stderr}"
    );
    failed(
        folder.path(),
        "train new --init-from first --hidden 9 --out third",
        "layers.0.weight is [8, 18] there and [9, 18] here",
    );
}

#[test]
fn words_are_read_whole_with_the_weights_of_a_run_on_text() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("text"), "emma and ava and mia. ".repeat(50)).unwrap();
    fs::write(folder.path().join("words"), "emma\nava\nmia\n".repeat(9)).unwrap();
    let train = "train text --mode text --model lstm --hidden 8 --context 20 --batch 4 --steps 2";
    done(folder.path(), &format!("{train} --out first"));
    let of = |data: &str, out: &str| {
        done(folder.path(), &format!("train {data} --init-from first --batch 4 --steps 2 --out {out}"));
        fs::read_to_string(folder.path().join(out).join("config.toml")).unwrap()
    };
    assert!(!of("words --mode lines", "second").contains("context ="));
    assert!(of("text --mode text", "third").contains("context = 20"));
    let shared = of("words --mode lines --generator shared --seed 7", "fourth");
    assert!(shared.contains("split_seed = 7"), "{shared}");
    let output = charloom(folder.path(), "train words --mode lines --init-from first --context 20");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("--context 20 has no effect: words are read whole"), "{stderr}");
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_terminal_an_example_is_below_the_bar_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let program = assert_cmd::cargo::cargo_bin!("charloom").display();
    // Of 80 columns, which script(1) is.
    let on_a_terminal = |arguments: &str| {
        let command = format!("stty cols 80 rows 24; exec {program} {arguments}");
        let mut script = Command::new("script");
        let output = script.args(["-qec", &command, "/dev/null"]).current_dir(home.path()).output();
        let output = output.expect("script(1)");
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = "\u{4e00}\u{4e01}{ab}\n\tc \u{1b}[2J".repeat(40);
    fs::write(home.path().join("odd.txt"), text).unwrap();
    for data in ["", "odd.txt --mode text --batch 4"] {
        let train = format!("train {data} --hidden 4 --context 2 --steps 40 --eval-every 10 --force --out");
        let seen = on_a_terminal(&format!("{train} seen"));
        assert!(seen.contains("e.g. "), "{seen:?}");
        assert!(!seen.contains("\u{1b}[2J"), "the terminal is steered: {seen:?}");
        let json = on_a_terminal(&format!("{train} json --json"));
        assert!(!json.contains("e.g. "), "{json:?}");
        done(home.path(), &format!("{train} unseen"));
        same(home.path(), "seen", "unseen");
        same(home.path(), "json", "unseen");
    }
}

#[test]
fn a_runs_configuration_beside_other_data_says_how_that_is_read() {
    let folder = TempDir::new().unwrap();
    let text =
        "It was late, and the harbour lay still.\nNobody spoke, for nobody had anything to say.\n".repeat(9);
    fs::write(folder.path().join("text.txt"), text).unwrap();
    fs::write(folder.path().join("names.txt"), "anna\nbob\nclara\ndora\n".repeat(9)).unwrap();
    let said = |args: &str| {
        let output = charloom(folder.path(), &format!("train {args} --steps 1"));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}: {stderr}");
        stderr.lines().find(|line| line.contains("read as")).unwrap().to_owned()
    };
    for (args, expected) in [
        ("names.txt --out names", "names.txt, read as lines (--mode text reads it otherwise)"),
        ("text.txt --out text", "text.txt, read as a running text (--mode lines reads it otherwise)"),
        (
            "text.txt --config names/config.toml",
            "text.txt, read as lines, though it looks like a running text (--mode text)",
        ),
        ("text.txt --config names/config.toml --mode text", "text.txt, read as a running text"),
        (
            "names.txt --config text/config.toml",
            "names.txt, read as a running text, though it looks like lines (--mode lines)",
        ),
        ("--config text/config.toml", "text.txt, read as a running text"),
    ] {
        assert_eq!(said(args), expected, "{args}");
    }
}
