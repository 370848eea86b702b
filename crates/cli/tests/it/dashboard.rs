//! The dashboard, on a terminal, without one, and in a build that has none.

#[cfg(all(feature = "dashboard", target_os = "linux"))]
use std::io::{Read, Write};
use std::path::PathBuf;
#[cfg(all(feature = "dashboard", target_os = "linux"))]
use std::process::Stdio;
use std::process::{Command, Output};

fn words() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data/words.txt")
}

/// A training with a dashboard that stands on no terminal.
fn train(run: &std::path::Path) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("charloom"));
    command
        .arg("train")
        .arg(words())
        .args(["--steps", "20", "--hidden", "4", "--dashboard", "--out"])
        .arg(run);
    command.output().unwrap()
}

#[test]
#[cfg(feature = "dashboard")]
fn without_a_terminal_there_is_the_bar() {
    let home = tempfile::tempdir().unwrap();
    let output = train(&home.path().join("run"));
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("--dashboard needs a terminal"));
}

#[test]
#[cfg(not(feature = "dashboard"))]
fn a_build_without_it_says_how_to_have_it_and_writes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let output = train(&home.path().join("run"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("cargo install --path crates/cli --features dashboard"), "{said}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

/// What a dashboard writes to its terminal, which script(1) is, of 80 by 24, while these keys are typed.
#[cfg(all(feature = "dashboard", target_os = "linux"))]
fn on_a_terminal(command: &str, keys: &[u8]) -> String {
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty cols 80 rows 24; exec {command}"), "/dev/null"]);
    let child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("script(1)");
    let mut output = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    let mut part = [0; 4096];
    // Keys before there is a dashboard are the terminal's own.
    while !shown.windows(8).any(|w| w == b"\x1b[?1049h") {
        let read = output.read(&mut part).unwrap();
        assert!(read > 0, "no dashboard in {}", String::from_utf8_lossy(&shown));
        shown.extend(&part[..read]);
    }
    let mut input = child.stdin.take().unwrap();
    input.write_all(keys).unwrap();
    output.read_to_end(&mut shown).unwrap();
    drop(input);
    child.wait().unwrap();
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
#[cfg(all(feature = "dashboard", target_os = "linux"))]
fn a_dashboard_listens_to_keys_and_gives_the_terminal_back() {
    let home = tempfile::tempdir().unwrap();
    let run = home.path().join("run");
    let program = assert_cmd::cargo::cargo_bin!("charloom");
    let command = format!(
        "{} train {} --hidden 20 --steps 100000000 --dashboard --out {}",
        program.display(),
        words().display(),
        run.display()
    );
    let shown = on_a_terminal(&command, b"lq");
    let (_, after) = shown.rsplit_once("\x1b[?1049l").expect("the terminal is not given back");
    assert!(after.contains("\x1b[?25h"), "the cursor stays hidden");
    assert!(after.contains("saved; go on with"), "{after}");
    let last = charloom::Checkpoint::read(&run.join("last.safetensors")).unwrap();
    assert_eq!(last.state("lr.factor").unwrap().as_f64(), Some(&[0.1][..]), "l did not lower the rate");
}

#[test]
#[cfg(all(feature = "dashboard", target_os = "linux"))]
fn within_a_long_step_a_dashboard_hears_ctrl_c_twice() {
    let home = tempfile::tempdir().unwrap();
    let program = assert_cmd::cargo::cargo_bin!("charloom");
    // A step takes many minutes.
    let command = format!(
        "{} train {} --hidden 20 --batch 512 --accumulate 1000000 --dashboard --out {}",
        program.display(),
        words().display(),
        home.path().join("run").display()
    );
    let shown = on_a_terminal(&command, b"\x03\x03");
    let (_, after) = shown.rsplit_once("\x1b[?1049l").expect("the terminal is not given back");
    assert!(after.contains("\x1b[?25h") && after.contains("stopped at once; "), "{after}");
}
