//! The commands of `docs/notebooks.md`, and what a learner types beside them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use charloom_testkit::{shared_data, workspace_root};
use serde_json::Value;
use tempfile::TempDir;

/// Runs `charloom` in `folder`, with the known data sets kept in `cache` below it.
fn charloom(folder: &Path, args: &[&str]) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("charloom"))
        .current_dir(folder)
        .env("CHARLOOM_CACHE", folder.join("cache"))
        .args(args)
        .output()
        .unwrap()
}

/// What it prints to both outputs, when it succeeds.
fn said(folder: &Path, args: &[&str]) -> String {
    let output = charloom(folder, args);
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {err}");
    out + &err
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let output = charloom(folder, &[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(folder: &Path, args: &[&str], why: &str) {
    let output = charloom(folder, args);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
    assert!(err.contains(why), "{args:?}: {err:?} does not say {why:?}");
}

/// The parts of a line of Markdown between backticks.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(|code| code.replace("\\|", "|")).collect()
}

/// The cells of a row of a table; `\|` is no end of a cell.
fn cells(row: &str) -> Vec<String> {
    let hidden = row.replace("\\|", "\u{0}");
    hidden.trim().trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "\\|")).collect()
}

/// A command's words; quotes hold one together.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is one").push(c),
        }
    }
    words
}

#[test]
#[ignore = "reads the notebooks' data, which is no part of the repository, in ../shared/data"]
fn every_cell_has_a_command_that_runs_and_prints_what_the_table_says() {
    let [names, shakespeare] = ["names.txt", "tinyshakespeare.txt"].map(shared_data);
    let folder = tempfile::tempdir().unwrap();
    fs::copy(names, folder.path().join("names.txt")).unwrap();
    fs::create_dir(folder.path().join("cache")).unwrap();
    fs::copy(shakespeare, folder.path().join("cache/tinyshakespeare.txt")).unwrap();
    let page = fs::read_to_string(workspace_root().join("docs/notebooks.md")).unwrap();
    assert!(!page.contains("to come"));
    let (_, tables) = page.split_once("## Every cell").expect("the tables");
    let (mut run, mut rows, mut runs) = (String::new(), 0, 0);
    for line in tables.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| cell")) {
        let row = cells(line);
        assert_eq!(row.len(), 3, "{line}");
        rows += 1;
        for example in row[1].split("example ").skip(1) {
            let name: String =
                example.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(workspace_root().join(format!("examples/{name}.rs")).is_file(), "{line}");
        }
        let mut printed = String::new();
        let commands = code(&row[1]).into_iter().filter(|code| code.starts_with("charloom "));
        for command in commands {
            let mut args = words(&command.replace("RUN", &run))[1..].to_vec();
            let has = |args: &[String], flag: &str| args.iter().any(|arg| arg == flag);
            match args[0].as_str() {
                "train" => {
                    runs += 1;
                    run = format!("run-{runs}");
                    args.extend(["--out".to_owned(), run.clone()]);
                    if !has(&args, "--steps") {
                        args.extend(["--steps", "3"].map(str::to_owned));
                    }
                }
                // Fifteen trainings: that its words are right is all that is looked at.
                "sweep" => args = vec!["sweep".into(), "tuning".into(), "--help".into()],
                _ => {}
            }
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            printed += &said(folder.path(), &args);
        }
        for wanted in code(&row[2]).iter().filter(|wanted| *wanted != "C") {
            assert!(printed.contains(wanted.as_str()), "{line}\nprints no {wanted:?}:\n{printed}");
        }
    }
    assert!(rows > 60 && runs > 10, "{rows} rows, {runs} trainings");
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn the_unfinished_line_of_004_leaves_its_printed_difference() {
    let names = shared_data("names.txt");
    let names = names.to_str().unwrap();
    let logits = |more: &[&str]| {
        let report = json(Path::new("."), &[&["backprop", names, "--seed", "2"], more].concat());
        let rows = report["rows"].as_array().unwrap().clone();
        let row = rows.into_iter().find(|row| row["name"] == "logits").unwrap();
        assert_eq!((&row["exact"], &row["approximate"]), (&Value::from(false), &Value::from(true)), "{row}");
        row["max_difference"].as_f64().unwrap()
    };
    assert_eq!(logits(&["--unfinished"]), 6.05359673500061e-9);
    assert_ne!(logits(&[]), 6.05359673500061e-9);
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let words =
        "emma\nolivia\nava\nisabella\nsophia\ncharlotte\nmia\namelia\nharper\nevelyn\nabigail\nemily\n";
    fs::write(folder.path().join("names.txt"), words).unwrap();
    folder
}

#[test]
fn examples_are_listed_as_in_the_notebooks() {
    let folder = folder();
    let path = folder.path();
    let listed = said(path, &["examples", "names.txt", "-n", "1"]);
    assert_eq!(
        listed,
        "... ---> e\n..e ---> m\n.em ---> m\nemm ---> a\nmma ---> .\n5 of 81 examples: X [5, 3], Y [5]\n"
    );
    let numbered = said(path, &["examples", "--data", "names.txt", "-n", "1", "--numbers", "--context", "2"]);
    assert!(numbered.starts_with("emma\n.. ---> e | [0, 0] ---> "), "{numbered}");
    let object = json(path, &["examples", "names.txt", "-n", "2", "--context", "1"]);
    assert_eq!((&object["count"], &object["examples"][4]["target"]), (&Value::from(12), &Value::from(".")));
    let stoi = object["stoi"]["e"].as_u64().unwrap() as usize;
    assert_eq!(object["itos"][stoi], "e");
    assert!(said(path, &["examples", "names.txt", "--vocab"]).starts_with("itos {0: '.', 1: 'a'"));
    refused(path, &["examples", "names.txt", "--data", "names.txt"], "cannot be used with");
}

#[test]
fn a_models_tensors_and_next_characters_are_shown() {
    let folder = folder();
    let path = folder.path();
    said(path, &["train", "names.txt", "--steps", "20", "--hidden", "8", "--embed", "3", "--out", "a"]);
    let table = said(path, &["show", "a"]);
    assert!(table.contains("layers.0.weight") && table.contains("parameters"), "{table}");
    let row = json(path, &["show", "a", "embedding.weight[5]"]);
    assert_eq!((&row["shape"], row["data"].as_array().unwrap().len()), (&serde_json::json!([3]), 3));
    let rows = json(path, &["show", "a", "embedding.weight[5,5,0]"]);
    assert_eq!((&rows["data"][0], &rows["data"][1]), (&row["data"], &row["data"]));
    assert!(said(path, &["show", "a", "embedding.weight[4:6]"]).starts_with("tensor([["));
    said(path, &["show", "a", "embedding.weight", "--csv", "e.csv", "--npy", "e.npy"]);
    let csv = fs::read_to_string(path.join("e.csv")).unwrap();
    let npy = fs::read(path.join("e.npy")).unwrap();
    assert_eq!(csv.lines().nth(5).unwrap().split(',').count(), 3);
    assert_eq!(npy.len() % 64, (csv.lines().count() * 12) % 64);
    for (wanted, why) in [
        ("embeding", "it has embedding.weight"),
        ("embedding.weight[99]", "rows"),
        ("embedding.weight[x]", "name[5:8]"),
    ] {
        refused(path, &["show", "a", wanted], why);
    }

    let next = json(path, &["next", "a", "em", "--logits"]);
    let next = next["next"].as_array().unwrap();
    let of = |key: &str| next.iter().map(|row| row[key].as_f64().unwrap()).collect::<Vec<_>>();
    let (probs, logits) = (of("prob"), of("logit"));
    assert!((probs.iter().sum::<f64>() - 1.0).abs() < 1e-5 && probs.is_sorted_by(|a, b| a >= b));
    let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
    assert!(logits.iter().zip(&probs).all(|(logit, p)| (logit.exp() / total - p).abs() < 1e-5));
    assert_eq!(
        said(path, &["next", "a", "em", "-n", "2"]).lines().filter(|line| line.contains('█')).count(),
        2
    );
    refused(path, &["next", "a", "E"], "'E'");
}

#[test]
fn every_command_takes_data_by_position_and_by_name() {
    let folder = folder();
    let path = folder.path();
    let small = ["--hidden", "4", "--batch", "4"];
    for command in [
        &["info"][..],
        &["explain", "loss"],
        &["inspect", "--untrained"],
        &["lr-find", "--steps", "60"],
        &["gradcheck", "--elements", "1"],
        &["bench", "--seconds", "0.1"],
        &["examples"],
        &["sweep", "--grid", "lr=0.1", "--steps", "5", "--study", "s.db"],
        &["train", "--steps", "2", "--out", "r"],
        &["data", "split", "--out", "parts"],
    ] {
        let takes_model = !matches!(command[0], "examples" | "data");
        for data in [&["names.txt"][..], &["--data", "names.txt"]] {
            for made in ["s.db", "r", "parts"] {
                let made = path.join(made);
                let _ = if made.is_dir() { fs::remove_dir_all(made) } else { fs::remove_file(made) };
            }
            let settings = if takes_model { &small[..] } else { &[] };
            said(path, &[command, data, settings].concat());
        }
        let twice = charloom(path, &[command, &["names.txt", "--data", "names.txt"]].concat());
        assert_eq!(twice.status.code(), Some(2), "{command:?}");
    }
}

#[test]
fn a_run_says_how_it_drew_and_which_weights_were_taken() {
    let folder = folder();
    let path = folder.path();
    let flags = ["--steps", "12", "--hidden", "8,8", "--eval-every", "4"];
    let train = |more: &[&str]| said(path, &[&["train", "names.txt"], &flags[..], more].concat());
    let stderr = train(&["--preset", "deep-batchnorm", "--context", "3", "--out", "deep"]);
    assert!(stderr.contains("step        0  batch ") && stderr.contains("as the notebook drew"), "{stderr}");
    let samples = said(path, &["sample", "deep", "--as-notebook"]);
    assert!(samples.contains("the last weights, of step 12: deep/last.safetensors"), "{samples}");
    assert_eq!(samples.lines().count(), 11);
    // What the training printed are these.
    assert!(samples.lines().take(10).all(|name| stderr.contains(name)), "{samples} {stderr}");
    refused(path, &["sample", "deep/best.safetensors", "--as-notebook"], "last.safetensors");
    refused(path, &["sample", "deep", "--as-notebook", "--seed", "1"], "cannot be used with");
    assert!(said(path, &["eval", "deep"]).contains("the best weights, of step"));
    assert_eq!(json(path, &["eval", "deep/last.safetensors"])["step"], 12);
    let inspected = said(path, &["inspect", "deep"]);
    assert!(
        inspected.contains("prediction Softmax") && inspected.contains("the best weights"),
        "{inspected}"
    );

    train(&["--out", "plain"]);
    refused(path, &["sample", "plain", "--as-notebook"], "no [notebook]");
    let before = json(path, &["show", "plain", "embedding.weight"])["data"].clone();
    train(&["--freeze", "embedding,layers.0", "--out", "frozen"]);
    said(path, &["train", "names.txt", "--steps", "0", "--hidden", "8,8", "--out", "drawn"]);
    let [frozen, drawn] = ["frozen/last.safetensors", "drawn/last.safetensors"].map(|run| {
        ["embedding.weight", "layers.2.weight"].map(|name| json(path, &["show", run, name])["data"].clone())
    });
    assert!(frozen[0] == drawn[0] && frozen[1] != drawn[1] && before != drawn[0]);
    let refuse =
        |more: &[&str], why: &str| refused(path, &[&["train", "names.txt"], &flags[..], more].concat(), why);
    refuse(&["--freeze", "embeding"], "did you mean \"embedding.weight\"?");
    refuse(&["--freeze", "embedding,layers"], "none is left to train");
    refuse(&["--lr-at", "5:0.1,4:0.1"], "--lr-at: its steps must rise");
    refuse(&["--lr-at", "5:0.1", "--schedule", "cosine"], "--lr-at has no effect");
    refuse(&["--generator", "shared", "--split-seed", "3"], "--split-seed has no effect");
    train(&["--lr-at", "4:.01,8:.001", "--out", "stages"]);
    let metrics = fs::read_to_string(path.join("stages/metrics.jsonl")).unwrap();
    let lr = |step: u64| {
        let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["step"] == step && line["split"] == "batch")
            .map(|line| line["lr"].as_f64().unwrap())
            .next()
    };
    assert_eq!([3, 4, 8].map(lr), [Some(0.1), Some(0.01), Some(0.001)]);

    let info = json(path, &["info", "names.txt", "--hidden", "8,8"]);
    let parameters = json(path, &["info", "plain"])["parameters"].clone();
    assert_eq!(info["parameters"], parameters);
    let shown = said(path, &["info", "names.txt", "--context", "3"]);
    assert!(!shown.contains("parameters") && shown.contains("context 3"), "{shown}");
}

#[test]
fn letters_without_room_are_named() {
    let folder = folder();
    let path = folder.path();
    said(path, &["train", "names.txt", "--steps", "5", "--embed", "4", "--out", "a"]);
    let picture = said(path, &["plot", "a", "embedding", "--dims", "0,3"]);
    assert!(picture.contains("across: dimension 0\nup: dimension 3"), "{picture}");
    let letters = json(path, &["plot", "a", "embedding"])["points"].as_array().unwrap().len();
    let (drawn, named) = picture.split_once("up: ").unwrap();
    let drawn =
        drawn.lines().skip(2).flat_map(str::chars).filter(|c| c.is_ascii_lowercase() || *c == '.').count();
    let hidden = named.matches(" beside ").count();
    // The last line of the picture is "across: dimension 0".
    assert_eq!(drawn - "acrossdimension".len() + hidden, letters, "{picture}");
    refused(path, &["plot", "a", "embedding", "--dims", "0,4"], "dimensions 0 to 3");
}
