//! Ctrl-C and SIGTERM in a training.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::train::{done, same};

#[test]
fn a_stopped_ensemble_is_resumed_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    let flags = "train --seeds 2 --steps 3000 --eval-every 200 --hidden 30";
    let mixed = done(folder.path(), &format!("{flags} --out whole"));
    assert!(mixed.contains("whole/seed-2 (mlp)  0.5000"), "{mixed}");
    assert_eq!(fs::read_to_string(folder.path().join("whole/samples.txt")).unwrap().lines().count(), 20);
    let rest = stopped(folder.path(), &format!("{flags} --out cut"), "-INT", ["training 2", "step      400"]);
    assert!(rest.last().unwrap().contains("charloom train --resume --out cut"), "{rest:?}");
    assert!(!folder.path().join("cut/best.safetensors").exists());
    done(folder.path(), "train --resume --out cut");
    for name in ["best.safetensors", "seed-2/last.safetensors", "config.toml", "metrics.jsonl", "samples.txt"]
    {
        let [a, b] = ["whole", "cut"].map(|run| fs::read(folder.path().join(run).join(name)).unwrap());
        assert!(!a.is_empty() && a == b, "{name} differs");
    }
    assert_eq!(done(folder.path(), "sample cut -n 2").lines().count(), 2);
}

/// Sends a command a signal once these lines, one after the other, have begun; what it says after that, but for the
/// line that comes on a slow machine, if it takes a second to end.
fn stopped(folder: &Path, args: &str, signal: &str, wait_for: [&str; 2]) -> Vec<String> {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("charloom"))
        .current_dir(folder)
        .args(args.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    for wait_for in wait_for {
        assert!(lines.any(|line| line.unwrap().starts_with(wait_for)), "no {wait_for}");
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let rest = lines.map(Result::unwrap).filter(|line| !line.contains("another Ctrl-C")).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    rest
}

#[test]
fn within_a_long_step_one_ctrl_c_is_heard_and_two_stop_at_once() {
    let folder = TempDir::new().unwrap();
    // Its first step takes many minutes.
    let args = "train --hidden 30 --batch 512 --accumulate 1000000 --steps 2 --out cut";
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("charloom"))
        .current_dir(folder.path())
        .args(args.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id().to_string();
    let interrupt = || assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let last = folder.path().join("cut/last.safetensors");
    while !last.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The evaluation before the first step is over a moment after it is saved.
    std::thread::sleep(Duration::from_millis(500));
    interrupt();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let heard = lines.find(|line| line.contains("another Ctrl-C")).unwrap();
    assert!(heard.starts_with("stops after the step that is being computed, and saves"), "{heard}");
    interrupt();
    let told = lines.last().unwrap();
    let loses = "stopped at once; what came after the last save is lost";
    assert_eq!(told, format!("{loses}: charloom train --resume --out cut goes on"));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(charloom::Checkpoint::read(&last).unwrap().step, 0);
}

#[test]
fn a_stopped_run_is_resumed_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    let steps = "--steps 3000 --eval-every 200 --hidden 30";
    done(folder.path(), &format!("train {steps} --out whole"));
    for (signal, wait_for) in [("-INT", "step      200"), ("-TERM", "step      400")] {
        let _ = fs::remove_dir_all(folder.path().join("cut"));
        let rest = stopped(folder.path(), &format!("train {steps} --out cut"), signal, ["", wait_for]);
        assert!(rest.last().unwrap().contains("charloom train --resume --out cut"), "{rest:?}");
        assert!(!folder.path().join("cut/samples.txt").exists());
        done(folder.path(), "train --resume --out cut");
        same(folder.path(), "whole", "cut");
    }
}

#[test]
fn a_finished_training_is_kept_if_it_is_stopped_before_its_losses_are_printed() {
    let folder = TempDir::new().unwrap();
    let train = "train --model lstm --hidden 512 --steps 1 --out run";
    let rest = stopped(folder.path(), train, "-INT", ["", "step        1"]);
    let said = rest[0].starts_with("stopped after the training") && rest[1].starts_with("saved in run");
    assert!(said, "{rest:?}");
    assert_eq!(fs::read_to_string(folder.path().join("run/samples.txt")).unwrap().lines().count(), 20);
}
