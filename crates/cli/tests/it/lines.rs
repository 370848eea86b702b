//! Lines that a model is given to judge, and lines that it writes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const NAMES: &str =
    "emma\nolivia\nava\nisabella\nsophia\nmia\namelia\nharper\nevelyn\nabigail\nemily\nella\n";

fn command(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("charloom"));
    command.current_dir(folder).args(args.split_whitespace());
    command
}

fn charloom(folder: &Path, args: &str) -> Output {
    command(folder, args).output().unwrap()
}

#[track_caller]
fn done(folder: &Path, args: &str) -> String {
    let output = charloom(folder, args);
    assert_eq!(output.status.code(), Some(0), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn trained(flags: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("names"), NAMES).unwrap();
    done(home.path(), &format!("train names --out run {flags}"));
    home
}

/// The log-likelihood of each line, none of one that is impossible.
fn scores(text: &[u8]) -> Vec<Option<f64>> {
    let object: Value = serde_json::from_slice(text).unwrap();
    object["lines"].as_array().unwrap().iter().map(|line| line["log_likelihood"].as_f64()).collect()
}

#[test]
fn one_unknown_character_costs_one_line() {
    let home = trained("--model ngram --order 3");
    let path = home.path();
    fs::write(path.join("some"), "emma\nEmma\nava\nol\u{e9}\n").unwrap();
    let output = charloom(path, "score run some");
    let (text, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[2].trim_start().starts_with("-inf") && lines[2].contains("'E', U+0045, character 1"),
        "{text}"
    );
    assert!(lines[3].ends_with("  ava") && lines.len() == 5, "{text}");
    assert!(stderr.contains("2 of 4 lines hold unknown characters; the first is in line 2: 'E'"), "{stderr}");
    assert!(stderr.contains("--unknown skip"), "{stderr}");
    let refused = scores(&charloom(path, "score run some --json").stdout);
    assert!(refused[0].is_some() && refused[1].is_none() && refused[2].is_some() && refused[3].is_none());

    let skipped = scores(done(path, "score run some --json --unknown skip").as_bytes());
    assert_eq!(skipped, [refused[0], refused[2]]);
    let floored = scores(done(path, "score run some --json --unknown floor").as_bytes());
    // What follows the unknown character is read as a beginning.
    fs::write(path.join("rest"), "mma\n").unwrap();
    let rest = scores(done(path, "score run rest --json").as_bytes())[0].unwrap();
    assert!((floored[1].unwrap() - (rest - 1_112_064f64.ln())).abs() < 1e-9, "{floored:?}");
    assert_eq!(floored[0], refused[0]);
}

#[test]
fn one_unknown_character_costs_one_line_of_an_evaluation() {
    let home = trained("--model ngram --order 3");
    let path = home.path();
    fs::write(path.join("known"), "emma\nava\n").unwrap();
    fs::write(path.join("some"), "emma\nEmma\nava\n").unwrap();
    let all = done(path, "eval run --data known --json");
    let output = charloom(path, "eval run --data some --json");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), all);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("1 line holds unknown characters; the first: 'E'"), "{stderr}");
    assert_eq!(done(path, "eval run --data some --json --unknown skip"), all);
    let [floored, all] = [done(path, "eval run --data some --json --unknown floor"), all]
        .map(|text| serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!((all["examples"].as_u64(), floored["examples"].as_u64()), (Some(9), Some(14)));
    assert!(floored["loss"].as_f64() > all["loss"].as_f64());
    fs::write(path.join("none"), "EMMA\n").unwrap();
    let none = charloom(path, "eval run --data none --unknown skip");
    assert!(String::from_utf8(none.stderr).unwrap().contains("every line has an unknown character"));
}

#[test]
fn one_line_that_is_no_text_costs_one_line() {
    let home = trained("--model ngram --order 3");
    let path = home.path();
    let long = "a".repeat((1 << 20) + 1);
    fs::write(path.join("some"), [&b"emma\nzo\xeb\n"[..], long.as_bytes(), b"\r\nava\n"].concat()).unwrap();
    let output = charloom(path, "score run some");
    let (text, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert!(lines[0].ends_with("  emma") && lines[3].ends_with("  ava"), "{text}");
    assert!(lines[1].ends_with("zo\u{fffd}  (not UTF-8 from its byte 3 on)"), "{text}");
    assert!(lines[2].ends_with("aaa...  (longer than 1 MiB)") && lines.len() == 4, "{text}");
    assert!(stderr.contains("line 2 is not UTF-8") && stderr.contains("2 of 4 lines are such"), "{stderr}");
    let known = scores(&charloom(path, "score run some --json").stdout);
    assert!(known[0].is_some() && known[1].is_none() && known[2].is_none() && known[3].is_some());
    assert_eq!(scores(done(path, "score run --data some --json --unknown skip").as_bytes()).len(), 2);
    for (name, bytes) in
        [("gzip", &b"\x1f\x8b\x08\0"[..]), ("git-LFS", b"version https://git-lfs.github.com/spec/v1\n")]
    {
        fs::write(path.join("none"), bytes).unwrap();
        let output = charloom(path, "score run none");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && stderr.contains(name), "{stderr}");
    }
}

#[test]
fn a_word_where_a_file_is_wanted_is_told_how_it_is_scored() {
    let home = trained("--model ngram --order 3");
    for (name, said) in [
        (
            "emma",
            "error: emma: no such file; it is a file of lines that is wanted here. \
             A word is piped in: echo WORD | charloom score run\n",
        ),
        ("run", "error: run: is a directory; it is a file of lines that is wanted here\n"),
    ] {
        let output = charloom(home.path(), &format!("score run {name}"));
        assert_eq!(
            (output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()),
            (Some(1), said)
        );
    }
}

#[test]
fn a_line_is_scored_before_the_next_one_comes() {
    let home = trained("--model ngram --order 3");
    let mut child =
        command(home.path(), "score run").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(output.next().unwrap().unwrap().starts_with("log-likelihood"));
    for line in ["emma", "ava", "mia"] {
        writeln!(input, "{line}").unwrap();
        // Without the line's score this waits for ever.
        assert!(output.next().unwrap().unwrap().ends_with(line));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn lines_are_read_as_the_data_was() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    fs::write(path.join("latin1"), b"zo\xeb\nanna\n").unwrap();
    fs::write(path.join("two-forms"), "zo\u{eb}\nzoe\u{308}\n").unwrap();
    done(path, "train latin1 --lossy --model bigram --out lossy");
    assert_eq!(done(path, "score lossy latin1").lines().count(), 3);
    done(path, "train two-forms --normalize nfc --model bigram --out nfc");
    let lines = scores(done(path, "score nfc two-forms --json").as_bytes());
    assert_eq!(lines[0], lines[1]);
    done(path, "train two-forms --model bigram --out plain");
    let refused = charloom(path, "score plain latin1");
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(
        stderr.contains("line 1 is not UTF-8 from its byte 3 on; convert it (iconv), or --lossy"),
        "{stderr}"
    );
    assert_eq!(charloom(path, "score plain latin1 --lossy --unknown skip").status.code(), Some(0));
    // Every command that reads other data than a run's own does so too.
    assert_eq!(done(path, "eval lossy --split train"), done(path, "eval lossy --split train --data latin1"));
    for command in ["eval plain latin1 --unknown skip", "explain loss net anna", "inspect net anna"] {
        done(path, "train two-forms --hidden 4 --steps 2 --out net --force");
        fs::write(path.join("anna"), b"zo\xeb\n").unwrap();
        let stderr = String::from_utf8(charloom(path, command).stderr).unwrap();
        assert!(stderr.contains("not UTF-8") && stderr.contains("--lossy"), "{command}: {stderr}");
        let stderr = String::from_utf8(charloom(path, &format!("{command} --lossy")).stderr).unwrap();
        assert!(!stderr.contains("--lossy replaces"), "{command}: {stderr}");
    }
}

/// What is sampled into a file is scored out of it, by every kind of model and in any script.
#[test]
fn what_is_sampled_is_scored() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    let scripts = "emma\n\u{202b}\u{5e9}\u{5dc}\u{5d5}\u{5dd}\u{202c}\nзоя\n李明\nनेहा\nสมชาย\na\u{2028}b\n\u{1b}[31m\n\
                   \u{feff}mark\n\u{1f469}\u{200d}\u{1f467}\ne\u{301}ve\n\u{fffd}\n";
    fs::write(path.join("data"), scripts.repeat(3)).unwrap();
    for (i, model) in ["ngram --order 3", "linear --steps 30", "mlp --hidden 8 --steps 30"].iter().enumerate()
    {
        for mode in ["lines", "text"] {
            let run = format!("run-{i}-{mode}");
            done(path, &format!("train data --mode {mode} --model {model} --out {run}"));
            let sampled = done(path, &format!("sample {run} -n 40 --max-length 60"));
            assert!(!sampled.contains("\\u{"), "{sampled}");
            fs::write(path.join("sampled"), &sampled).unwrap();
            let count = scores(done(path, &format!("score {run} sampled --json")).as_bytes()).len();
            assert_eq!(count, sampled.lines().count(), "{run}");
        }
    }
}
