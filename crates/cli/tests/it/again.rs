//! Runs that are used again: resumed, evaluated and compared later, elsewhere, and with other files in place of
//! theirs.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const NAMES: &str =
    "emma\nolivia\nava\nisabella\nsophia\nmia\namelia\nharper\nevelyn\nabigail\nemily\nella\n";

fn charloom(folder: &Path, args: &str) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("charloom"));
    // A program that waits for standard input waits for ever: it never closes.
    let (reader, _writer) = std::io::pipe().unwrap();
    command.current_dir(folder).args(args.split_whitespace()).stdin(Stdio::from(reader)).output().unwrap()
}

#[track_caller]
fn done(folder: &Path, args: &str) -> String {
    let output = charloom(folder, args);
    assert_eq!(output.status.code(), Some(0), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(folder: &Path, args: &str, said: &str) {
    let output = charloom(folder, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() > Some(0), "{args}: {stderr}");
    let error = stderr.lines().last().unwrap_or_default();
    assert!(error.contains(said), "{args}: {stderr:?} does not say {said:?}");
}

fn folder() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("names"), NAMES).unwrap();
    fs::write(home.path().join("val"), "emily\nava\n").unwrap();
    fs::write(home.path().join("test"), "mia\n").unwrap();
    home
}

#[test]
fn every_file_must_be_what_it_was() {
    let home = folder();
    let path = home.path();
    for run in ["one", "two"] {
        done(path, &format!("train names --val val --test test --model linear --steps 2 --out {run}"));
    }
    done(path, "compare one two");
    for file in ["val", "test", "names"] {
        let before = fs::read(path.join(file)).unwrap();
        fs::write(path.join(file), "ella\nmia\n").unwrap();
        for args in
            ["eval one", "compare one two", "train --resume --out one", "report one", "plot one bigram"]
        {
            if args.starts_with("report") {
                done(path, args);
                let page = fs::read_to_string(path.join("report.html")).unwrap();
                assert!(page.contains("has changed since"), "{file}");
                continue;
            }
            refused(path, args, &format!("{file}: has changed since the configuration was written"));
        }
        fs::write(path.join(file), before).unwrap();
    }
    done(path, "eval one");
    // What config.toml says of the files holds for a new run too, until they are named again.
    fs::write(path.join("val"), "ella\n").unwrap();
    refused(path, "train --config one/config.toml --out three", "val: has changed since");
    done(path, "train --config one/config.toml --val val --out three");
}

#[test]
fn files_are_found_from_elsewhere() {
    let home = folder();
    let path = home.path();
    done(path, "train names --val val --test test --model linear --steps 2 --out runs/one");
    let elsewhere = tempfile::tempdir().unwrap();
    let run = path.join("runs/one");
    let run = run.display();
    for args in ["eval", "train --steps 3 --resume --out"] {
        done(elsewhere.path(), &format!("{args} {run}"));
    }
    // Moved away: a folder has them all, and a message says so.
    let moved = elsewhere.path().join("moved");
    fs::create_dir(&moved).unwrap();
    for file in ["names", "val", "test"] {
        fs::rename(path.join(file), moved.join(file)).unwrap();
    }
    refused(
        elsewhere.path(),
        &format!("eval {run}"),
        "no such file, here or where the run is; --data names it",
    );
    for args in ["eval", "compare runs/one", "train --data moved --steps 4 --resume --out"] {
        let args = args.replace("runs/one", &run.to_string());
        let data = if args.starts_with("train") { "" } else { "--data moved" };
        done(elsewhere.path(), &format!("{args} {run} {data}"));
    }
}

#[test]
fn standard_input_is_not_waited_for() {
    let home = folder();
    let path = home.path();
    let piped = |args: &str| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("charloom"));
        let names = fs::File::open(path.join("names")).unwrap();
        let output = command.current_dir(path).args(args.split_whitespace()).stdin(names).output().unwrap();
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    };
    piped("train - --model linear --steps 2 --out run");
    for args in
        ["eval run", "train --resume --out run", "compare run run", "sample run --novel", "inspect run"]
    {
        refused(path, args, "the run's data was standard input; --data names a file with the same text");
    }
    done(path, "eval run --data names");
    piped("eval run --data -");
    refused(path, "mix run run --out mixed", "--data names a file with the same text");
    done(path, "mix run run --data names --out mixed");
    // The mixture knows where they were found.
    done(path, "eval mixed");
    done(path, "train names --resume --out run");
    piped("train - --steps 4 --resume --out run");
}

#[test]
fn a_teacher_that_is_gone_is_called_one() {
    let home = folder();
    let path = home.path();
    done(path, "train names --model linear --steps 2 --out teacher");
    done(path, "train names --model linear --steps 2 --teacher teacher --out run");
    fs::remove_dir_all(path.join("teacher")).unwrap();
    refused(path, "train --resume --out run", "teacher: no such run; it is the --teacher");
}

#[test]
fn the_same_command_with_resume_begins_goes_on_and_ends() {
    let home = folder();
    let path = home.path();
    fs::write(path.join("my.toml"), "[model]\nkind = \"linear\"\n[train]\nlr = 0.2\n").unwrap();
    for (how, run) in [("--model linear --lr 0.2", "flags"), ("--config my.toml --preset mlp-2d", "layers")] {
        let train = |more: &str| format!("train names {how} {more} --resume --out {run}");
        done(path, &train("--steps 4"));
        let first = fs::read(path.join(run).join("last.safetensors")).unwrap();
        done(path, &train("--steps 4"));
        assert!(
            fs::read(path.join(run).join("last.safetensors")).unwrap() == first,
            "{run}: nothing was left to do"
        );
        refused(path, &train("--steps 3"), "--steps 3 are fewer than the 4 that the run has");
        refused(path, &train("--seed 18446744073709551615"), "is out of range");
        refused(path, &train("--steps 4 --batch 8"), "--batch 8: the run began with 32");
        refused(
            path,
            &train("--steps 4 --lr 0.1"),
            if run == "flags" { "--lr" } else { "--lr 0.1: the run began with 0.2" },
        );
        done(path, &train("--steps 8"));
        let metrics = fs::read_to_string(path.join(run).join("metrics.jsonl")).unwrap();
        assert!(metrics.contains("{\"step\":8,\"split\":\"val\""), "{metrics}");
        assert!(fs::read_to_string(path.join(run).join("config.toml")).unwrap().contains("steps = 8"));
        done(path, &format!("train --resume --out {run}"));
    }
    // Counted at once: a job that is started again has nothing to do, and did not fail.
    for _ in 0..2 {
        done(path, "train names --model ngram --resume --out counted");
    }
    // Killed before its first checkpoint.
    fs::create_dir(path.join("killed")).unwrap();
    for file in ["config.toml", "metrics.jsonl"] {
        fs::copy(path.join("flags").join(file), path.join("killed").join(file)).unwrap();
    }
    refused(path, "train names --model linear --steps 2 --out killed", "killed: exists");
    done(path, "train names --model linear --steps 2 --resume --out killed");
    fs::create_dir(path.join("foreign")).unwrap();
    fs::write(path.join("foreign/metrics.jsonl"), "mine").unwrap();
    fs::write(path.join("foreign/precious"), "mine").unwrap();
    refused(path, "train names --model linear --steps 2 --resume --out foreign", "foreign: exists");
}

#[test]
fn a_changed_configuration_is_named() {
    let home = folder();
    let path = home.path();
    done(path, "train names --model linear --steps 4 --out run");
    let file = path.join("run/config.toml");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, before.replace("lr = 0.1", "lr = 0.3")).unwrap();
    refused(path, "train --resume --out run", "config.toml: lr 0.3: the run began with 0.1");
    fs::write(&file, before.replace("steps = 4", "steps = 6")).unwrap();
    done(path, "train --resume --out run");
    // Cut off, it asks for nothing.
    fs::write(&file, &before[..before.find("[train]").unwrap()]).unwrap();
    done(path, "train --resume --out run");
    fs::rename(path.join("names"), path.join("renamed")).unwrap();
    fs::write(&file, before.replace("steps = 4", "steps = 6").replace("\"names\"", "\"renamed\"")).unwrap();
    done(path, "train --resume --out run");
}

#[test]
fn a_resumed_study_takes_limits_and_refuses_the_rest() {
    let home = folder();
    let path = home.path();
    let trials = || done(path, "sweep show s.db --csv").lines().count() - 1;
    done(path, "sweep --data names --range lr=0.1..1.0 --model linear --steps 2 --trials 2 --study s.db");
    assert_eq!(trials(), 2);
    done(path, "sweep --resume s.db --trials 5");
    assert_eq!(trials(), 5);
    done(path, "sweep --resume s.db --trials 9 --max-steps 12");
    assert_eq!(trials(), 6, "no trial begins that might exceed the steps");
    done(path, "sweep --resume s.db --max-steps 100 --max-seconds 0.000001");
    assert_eq!(trials(), 6);
    for flags in ["--seeds 2", "--sampler random", "--sampler-seed 2", "--prune asha"] {
        let flag = flags.split(' ').next().unwrap();
        refused(
            path,
            &format!("sweep --resume s.db {flags}"),
            &format!("{flag} has no effect on a study that exists"),
        );
    }
    refused(path, "sweep --resume s.db --preset mlp-2d", "has no effect");
}
