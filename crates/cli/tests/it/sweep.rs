//! Studies as a user meets them: several processes, killed ones, a database server.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// A PostgreSQL server's URL to test with, without a study's name.
#[cfg(feature = "postgres")]
const SERVER: &str = "CHARLOOM_TEST_POSTGRES";

const SPEC: &str = r#"
    sampler = "grid"
    lease = 0.5
    base.train.steps = 120
    base.train.eval_every = 40
    [settings]
    embed = [2, 3, 4, 5, 6, 7]
    hidden = [8, 16]
    lr = [0.1, 0.2]
"#;

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("charloom"));
    command.current_dir(folder).args(args);
    command
}

fn charloom(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn done(folder: &Path, args: &[&str]) -> String {
    let output = charloom(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn start(folder: &Path, args: &[&str]) -> Child {
    command(folder, args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("spec.toml"), SPEC).unwrap();
    folder
}

/// What `show` says, trials by number.
fn show(folder: &Path, study: &str) -> (Value, BTreeMap<u64, Value>) {
    let shown: Value = serde_json::from_str(&done(folder, &["sweep", "show", study, "--json"])).unwrap();
    let trials = shown["trials"].as_array().unwrap().clone();
    let numbered: BTreeMap<u64, Value> =
        trials.iter().map(|trial| (trial["number"].as_u64().unwrap(), trial.clone())).collect();
    assert_eq!(trials.len(), numbered.len(), "a number is there twice");
    (shown, numbered)
}

/// All 24 trials are there, once and whole.
fn assert_whole(trials: &BTreeMap<u64, Value>) {
    assert_eq!(trials.keys().copied().collect::<Vec<_>>(), (0..24).collect::<Vec<_>>());
    let mut settings: Vec<String> = trials.values().map(|trial| trial["settings"].to_string()).collect();
    settings.sort();
    settings.dedup();
    assert_eq!(settings.len(), 24, "two trials try the same");
    for trial in trials.values() {
        assert_eq!(trial["state"], "done", "{trial}");
        assert_eq!(trial["seeds"].as_array().unwrap().len(), 1, "{trial}");
        let curve = trial["curve"].as_array().unwrap();
        let steps: Vec<u64> = curve.iter().map(|point| point["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, [0, 40, 80, 120], "{trial}");
        let best = curve.iter().map(|point| point["loss"].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
        assert_eq!(trial["loss"].as_f64(), Some(best), "{trial}");
    }
}

/// What a trial found, without what depends on when and where it ran.
fn found(trials: &BTreeMap<u64, Value>) -> Vec<String> {
    trials
        .values()
        .map(|t| [&t["number"], &t["settings"], &t["curve"]].map(Value::to_string).join(" "))
        .collect()
}

/// The numbers of the trials that a worker says it finished.
fn finished_by(mut worker: Child) -> Vec<u64> {
    let mut said = String::new();
    worker.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(worker.wait().unwrap().success(), "{said}");
    let is_finished = |line: &&str| line.starts_with("trial") && line.contains("  done ");
    let number = |line: &str| line.split_whitespace().nth(1).unwrap().parse().unwrap();
    said.lines().filter(is_finished).map(number).collect()
}

fn wait_for(folder: &Path, study: &str) {
    for _ in 0..600 {
        if charloom(folder, &["sweep", "show", study]).status.success() {
            return;
        }
        sleep(Duration::from_millis(50));
    }
    panic!("the study did not come into being");
}

/// Two workers share a study. Then one is killed at work on another, and its trial is not touched while its lease
/// lasts.
fn share(folder: &Path, [first, second]: [&str; 2]) {
    let one = start(folder, &["sweep", "spec.toml", "--study", first, "--threads", "1"]);
    wait_for(folder, first);
    let two = start(folder, &["sweep", "--resume", first, "--threads", "1"]);
    let (one, two) = (finished_by(one), finished_by(two));
    let mut both = [one.clone(), two.clone()].concat();
    both.sort_unstable();
    assert_eq!(both, (0..24).collect::<Vec<_>>(), "each trial is finished by one of them, once");
    assert!(!one.is_empty() && !two.is_empty(), "both worked: {} and {} trials", one.len(), two.len());
    let (_, trials) = show(folder, first);
    assert_whole(&trials);
    assert!(trials.values().all(|trial| trial["attempts"] == 1), "a trial was begun twice");

    // Trials so long that the worker dies in one.
    let long = ["sweep", "--grid", "embed=2,3", "--steps", "100000000", "--study", second, "--threads", "1"];
    let mut dying = start(folder, &long);
    wait_for(folder, second);
    let running = |trials: &BTreeMap<u64, Value>| trials.values().any(|trial| trial["state"] == "running");
    while !running(&show(folder, second).1) {
        sleep(Duration::from_millis(50));
    }
    dying.kill().unwrap();
    dying.wait().unwrap();
    // Its lease is thirty seconds, so nobody touches it before.
    let (_, trials) = show(folder, second);
    assert_eq!(
        (trials.len(), &trials[&0]["state"], &trials[&0]["attempts"]),
        (1, &"running".into(), &1.into())
    );
}

#[test]
fn two_workers_share_a_file_without_a_trial_run_twice() {
    let folder = folder();
    share(folder.path(), ["a.db", "b.db"]);
}

#[test]
#[cfg(feature = "postgres")]
#[ignore = "needs a PostgreSQL server, named by CHARLOOM_TEST_POSTGRES"]
fn two_workers_share_a_server_without_a_trial_run_twice() {
    let server = std::env::var(SERVER).expect("the URL of a PostgreSQL server to test with");
    let folder = folder();
    let name = |what: &str| format!("{server}#test-{what}-{}", std::process::id());
    share(folder.path(), [&name("shared"), &name("dying")]);
}

/// Kills a study's only process twenty times, and compares with one that nobody disturbed.
fn kill(folder: &Path, study: &str) {
    done(folder, &["sweep", "spec.toml", "--study", "undisturbed.db", "--threads", "2"]);
    let mut seconds: BTreeMap<u64, Value> = BTreeMap::new();
    let mut worker = start(folder, &["sweep", "spec.toml", "--study", study, "--threads", "2"]);
    wait_for(folder, study);
    for kill in 0..20u64 {
        // Moments all over a trial, the same in each run of this test.
        sleep(Duration::from_millis(20 + kill * 7919 % 230));
        worker.kill().unwrap();
        worker.wait().unwrap();
        let (_, trials) = show(folder, study);
        for (number, before) in &seconds {
            assert_eq!(trials[number]["seconds"], *before, "trial {number} was finished, and ran again");
        }
        let finished = trials.into_iter().filter(|(_, trial)| trial["state"] == "done");
        seconds = finished.map(|(number, trial)| (number, trial["seconds"].clone())).collect();
        worker = start(folder, &["sweep", "--resume", study, "--threads", "2"]);
    }
    finished_by(worker);
    let (_, trials) = show(folder, study);
    assert_whole(&trials);
    for (number, before) in &seconds {
        assert_eq!(trials[number]["seconds"], *before, "trial {number} was finished, and ran again");
    }
    assert!(trials.values().any(|trial| trial["attempts"].as_u64() > Some(1)), "no kill hit a trial");
    assert_eq!(found(&trials), found(&show(folder, "undisturbed.db").1));
}

#[test]
fn twenty_kills_lose_repeat_and_halve_no_trial() {
    let folder = folder();
    kill(folder.path(), "killed.db");
}

#[test]
#[cfg(not(feature = "postgres"))]
fn a_server_wants_a_build_with_postgresql() {
    let folder = folder();
    let output = charloom(folder.path(), &["sweep", "show", "postgresql://ada@db.example/charloom#embed"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("cargo install --path crates/cli --features postgres"), "{said}");
}

#[test]
#[cfg(feature = "postgres")]
#[ignore = "needs a PostgreSQL server, named by CHARLOOM_TEST_POSTGRES"]
fn kills_of_a_worker_on_a_server_lose_no_trial() {
    let server = std::env::var(SERVER).expect("the URL of a PostgreSQL server to test with");
    let folder = folder();
    kill(folder.path(), &format!("{server}#test-killed-{}", std::process::id()));
}

#[test]
fn the_best_configuration_leads_to_the_same_loss_and_is_tested_once() {
    let folder = folder();
    let path = folder.path();
    let args = ["sweep", "--grid", "hidden=4,32", "--steps", "100", "--study", "s.db", "--seeds", "2"];
    done(path, &args);
    let (shown, trials) = show(path, "s.db");
    let best = &trials[&shown["best"].as_u64().unwrap()];
    assert_eq!(best["settings"]["hidden"], 32);
    assert!(best["deviation"].as_f64() > Some(0.0));

    fs::write(path.join("best.toml"), done(path, &["sweep", "show", "s.db", "--best"])).unwrap();
    done(path, &["train", "--config", "best.toml", "--out", "run"]);
    let eval = done(path, &["eval", "run", "--split", "val", "--json"]);
    let eval: Value = serde_json::from_str(&eval).unwrap();
    assert_eq!(eval["loss"], best["seeds"][0]["loss"], "what train finds is what the trial found");

    let choose = |out| {
        serde_json::from_str::<Value>(&done(path, &["sweep", "choose", "s.db", "--out", out, "--json"]))
    };
    let chosen = choose("chosen").unwrap();
    assert_eq!(chosen["number"], shown["best"]);
    let eval = done(path, &["eval", "chosen", "--split", "test", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&eval).unwrap()["loss"], chosen["test"]);
    // The second time nothing is trained or evaluated: there is no run.
    assert_eq!(choose("again").unwrap(), chosen);
    assert!(!path.join("again").exists());
    let closed = charloom(path, &["sweep", "--resume", "s.db"]);
    assert!(String::from_utf8_lossy(&closed.stderr).contains("the study is closed: trial 1 was chosen"));
    assert_eq!(closed.status.code(), Some(1));

    done(path, &["sweep", "plot", "s.db", "hidden", "-o", "hidden.svg"]);
    done(path, &["sweep", "report", "s.db", "-o", "study.html"]);
    let read = |name| fs::read_to_string(path.join(name)).unwrap();
    assert!(read("hidden.svg").starts_with("<svg"));
    assert!(read("study.html").contains("trial 1 was chosen, and its test loss is"));

    let csv = done(path, &["sweep", "show", "s.db", "--csv"]);
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.starts_with("number,state,loss,deviation,steps,seconds,attempts,hidden,error\n1,done,"));
}

#[test]
fn a_study_that_measures_test_losses_chooses_nothing() {
    let folder = folder();
    let path = folder.path();
    let spec = "sampler = \"grid\"\nmeasure_test = true\n[settings]\nmodel = [\"ngram\"]\norder = [2, 3]\n";
    fs::write(path.join("spec.toml"), spec).unwrap();
    done(path, &["sweep", "spec.toml", "--study", "s.db"]);
    let (_, trials) = show(path, "s.db");
    assert!(trials.values().all(|trial| trial["seeds"][0]["test"].as_f64() > Some(2.0)));
    let refused = charloom(path, &["sweep", "choose", "s.db", "--out", "run"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("none can be chosen"));
    assert!(!path.join("run").exists());
}

#[test]
fn a_study_without_a_result_fails() {
    let folder = folder();
    let path = folder.path();
    let output =
        charloom(path, &["sweep", "--grid", "embed=2,3", "--lr", "1e30", "--steps", "50", "--study", "s.db"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: every trial failed"), "{stderr}");
    fs::write(path.join("short"), "ab").unwrap();
    let short = ["sweep", "--data", "short", "--mode", "text", "--grid", "embed=2,3", "--study", "short.db"];
    let output = charloom(path, &short);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("nothing to judge in the validation split") && output.status.code() == Some(1),
        "{stderr}"
    );
    assert!(!path.join("short.db").exists());
}

/// `choose` names no flag that it has not, and leaves no folder behind when it fails.
#[test]
fn a_choice_that_cannot_be_made_leaves_nothing() {
    let folder = folder();
    let path = folder.path();
    done(path, &["sweep", "--grid", "hidden=4,8", "--steps", "20", "--study", "s.db"]);
    fs::create_dir(path.join("taken")).unwrap();
    fs::write(path.join("taken/mine"), "mine").unwrap();
    let output = charloom(path, &["sweep", "choose", "s.db", "--out", "taken"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("taken: exists; choose another --out") && !stderr.contains("--force"),
        "{stderr}"
    );
    // A trial that is not finished.
    let sql = "UPDATE charloom_trial SET state = 'running' WHERE number = 0";
    rusqlite::Connection::open(path.join("s.db")).unwrap().execute(sql, []).unwrap();
    let output = charloom(path, &["sweep", "choose", "s.db", "--out", "chosen"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("trial 0 is not finished"));
    assert!(!path.join("chosen").exists());
}

#[test]
fn wrong_use_says_what_is_wrong() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("text"), "no database").unwrap();
    for (args, code, said) in [
        (&["sweep"][..], 2, "nothing varies"),
        (&["sweep", "--grid", "embe=1"], 2, "did you mean \"embed\"?"),
        (&["sweep", "--grid", "embed=two"], 2, "setting embed = \"two\""),
        (&["sweep", "--grid", "lr=-1"], 2, "--lr -1 is out of range"),
        (&["sweep", "--grid", "seed=1,2"], 2, "does not choose seeds"),
        (&["sweep", "--grid", "split_seed=1,2"], 2, "a study's data is one"),
        (&["sweep", "--range", "lr=0..1:log"], 2, "low to be above 0"),
        (&["sweep", "--range", "lr=1..2", "--sampler", "grid"], 2, "points = N"),
        (&["sweep", "--range", "embed=2..9", "--trials", "0"], 2, "trials"),
        (&["sweep", "show", "none.db"], 1, "no such study"),
        (&["sweep", "show", "text"], 1, "text: "),
        (&["sweep", "--resume", "none.db"], 1, "no such study"),
    ] {
        let output = charloom(path, args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.lines().count() == 1 && stderr.contains(said), "{args:?}: {stderr}");
    }
    assert!(!path.join("none.db").exists());
}
