//! The command as a user meets it: n-gram models, because they train in no time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Runs `charloom` in `folder`.
pub(crate) fn charloom(folder: &Path, args: &[&str]) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("charloom")).current_dir(folder).args(args).output().unwrap()
}

pub(crate) fn done(folder: &Path, args: &[&str]) -> String {
    let output = charloom(folder, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn json(folder: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&done(folder, args)).unwrap()
}

/// Runs what must be refused, with this exit code, in one line that says this, and nothing on standard output.
pub(crate) fn refused(folder: &Path, args: &[&str], code: i32, said: &str) {
    let output = charloom(folder, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "{args:?}: {stderr}");
    assert!(stderr.ends_with(&format!("{}\n", lines[0])), "{args:?}: more than one line in {stderr}");
    assert!(lines[0].contains(said), "{args:?}: {:?} does not say {said:?}", lines[0]);
}

const NAMES: &str =
    "emma\nolivia\nava\nisabella\nsophia\ncharlotte\nmia\namelia\nharper\nevelyn\nabigail\nemily\n";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("names.txt"), NAMES).unwrap();
    folder
}

pub(crate) fn trained() -> TempDir {
    let folder = folder();
    done(folder.path(), &["train", "names.txt", "--model", "ngram", "--order", "3", "--out", "a"]);
    folder
}

#[test]
fn no_command_shows_help_and_is_wrong_use() {
    let output = charloom(folder().path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("charloom train"));
    assert!(done(folder().path(), &["--help"]).contains("sample"));
    assert!(done(folder().path(), &["train", "--help"]).contains("--lr-drops"));
    assert!(done(folder().path(), &["--version"]).starts_with("charloom "));
}

#[test]
fn wrong_use_is_one_line_and_writes_nothing() {
    let folder = folder();
    let path = folder.path();
    for (args, said) in [
        (&["train", "--lr", "nan"][..], "--lr NaN"),
        (&["train", "--lr", "inf"], "--lr inf"),
        (&["train", "--lr", "-0.1"], "--lr -0.1"),
        (&["train", "--dropout", "1"], "--dropout 1"),
        (&["train", "--dropout", "-0.1"], "--dropout -0.1"),
        (&["train", "--context", "0"], "--context 0"),
        (&["train", "--context", "1000000000"], "--context 1000000000"),
        (&["train", "--batch", "0"], "--batch 0"),
        (&["train", "--batch", "some"], "--batch"),
        (&["train", "--hidden", "65536,65536,65536"], "parameters; the limit is"),
        (&["train", "--hidden", "1,x"], "\"x\" is not a whole number"),
        (&["train", "--activation", "tanj"], "none of tanh, relu, gelu"),
        (&["train", "--model", "ngram", "--order", "13"], "--order 13"),
        (&["train", "--contex", "3"], "similar argument exists: '--context'"),
        (&["train", "--preset", "bengoi"], "did you mean \"bengio\"?"),
        (&["train", "--resume"], "--out"),
        (&["train", "--split", "0.5,0.5"], "2 fractions"),
        (&["train", "--seed", "18446744073709551615"], "--seed"),
        (&["trian"], "similar subcommand exists: 'train'"),
        (&["data", "get", "nothing"], "no known data set"),
        (&["presets", "show", "nothing-like-it"], "unknown"),
    ] {
        refused(path, args, 2, said);
    }
    assert_eq!(fs::read_dir(path).unwrap().count(), 1, "only names.txt");
}

#[test]
fn what_cannot_be_read_or_written_fails_in_one_line() {
    let folder = trained();
    let path = folder.path();
    fs::write(path.join("bad.toml"), "[model]\nhiden = [1]").unwrap();
    fs::write(path.join("empty.txt"), "").unwrap();
    fs::write(path.join("w.pt"), b"PK\x03\x04").unwrap();
    fs::write(path.join("file"), "").unwrap();
    for (args, said) in [
        (&["train", "none.txt"][..], "none.txt: no such file"),
        (&["train", "empty.txt"], "empty.txt"),
        (&["train", "--config", "none.toml"], "none.toml"),
        (
            &["train", "--config", "bad.toml"],
            "bad.toml: line 2: [model] --hiden: a model of kind \"mlp\" has no setting \"hiden\"; \
             did you mean \"hidden\"?",
        ),
        (&["train", "names.txt", "--model", "ngram", "--out", "a"], "a: exists; --resume --out a"),
        (&["train", "names.txt", "--model", "ngram", "--out", "file/b"], "file/b"),
        (&["eval", "none"], "none"),
        (&["eval", "w.pt"], "pickle"),
        (&["eval", "names.txt"], "not a safetensors file"),
        (&["sample", "a", "--data", "none.txt", "--novel"], "none.txt"),
        (&["score", "a", "none.txt"], "none.txt"),
    ] {
        refused(path, args, 1, said);
    }
    let mut bytes = fs::read(path.join("a/best.safetensors")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path.join("flipped.safetensors"), bytes).unwrap();
    refused(path, &["sample", "flipped.safetensors"], 1, "flipped.safetensors: cut off or changed");
}

#[test]
fn a_run_is_evaluated_sampled_scored_and_told_about() {
    let folder = trained();
    let path = folder.path();
    let eval = json(path, &["eval", "a", "--split", "all", "--json"]);
    for key in ["loss", "bits_per_char", "perplexity"] {
        assert!(eval[key].as_f64().unwrap() > 0.0, "{key} in {eval}");
    }
    assert_eq!(eval["examples"], NAMES.len());
    assert!(eval["splits"]["test"]["loss"].is_f64());
    assert!(eval["baselines"]["uniform"].as_f64() > eval["loss"].as_f64());
    assert_eq!(json(path, &["eval", "a/best.safetensors", "--json"]), json(path, &["eval", "a", "--json"]));

    let few = done(path, &["sample", "a", "-n", "3", "--seed", "7"]);
    let more = done(path, &["sample", "a", "-n", "9", "--seed", "7"]);
    assert_eq!(few.lines().count(), 3);
    assert!(more.starts_with(&few));
    let samples = json(path, &["sample", "a", "-n", "3", "--seed", "7", "--json"]);
    assert_eq!(samples["samples"][0]["text"], few.lines().next().unwrap());
    assert!(
        done(path, &["sample", "a", "-n", "5", "--prefix", "ma"]).lines().all(|word| word.starts_with("ma"))
    );
    refused(path, &["sample", "a", "--prefix", "m9"], 2, "'9'");

    fs::write(path.join("lines"), "emma\nava\n").unwrap();
    let score = json(path, &["score", "a", "lines", "--per-char", "--json"]);
    let line = &score["lines"][0];
    let sum: f64 =
        line["characters"].as_array().unwrap().iter().map(|c| c["log_likelihood"].as_f64().unwrap()).sum();
    assert!((sum - line["log_likelihood"].as_f64().unwrap()).abs() < 1e-9);
    assert_eq!(line["characters"].as_array().unwrap().len(), 5);

    let info = json(path, &["info", "a", "--json"]);
    assert_eq!((info["model"].as_str(), info["config"]["model"]["order"].as_u64()), (Some("ngram"), Some(3)));
    let card = json(path, &["info", "names.txt", "--context", "3", "--json"]);
    for key in ["lines", "characters", "vocab_size", "longest", "duplicates", "examples", "leaked"] {
        assert!(!card[key].is_null(), "{key} in {card}");
    }
    assert_eq!(card["lines"], 12);
}

#[test]
fn equal_runs_give_equal_bytes_and_the_config_leads_back() {
    let folder = trained();
    let path = folder.path();
    done(path, &["train", "names.txt", "--config", "a/config.toml", "--out", "b"]);
    for name in ["config.toml", "best.safetensors", "last.safetensors", "metrics.jsonl", "samples.txt"] {
        let [a, b] = ["a", "b"].map(|run| fs::read(path.join(run).join(name)).unwrap());
        assert!(!a.is_empty() && a == b, "{name} differs");
    }
    done(path, &["train", "names.txt", "--model", "bigram", "--out", "a", "--force"]);
    assert_eq!(json(path, &["info", "a", "--json"])["config"]["model"]["smoothing"], "add-k");
}

#[test]
fn runs_without_a_name_do_not_meet() {
    let folder = folder();
    for run in ["runs/ngram", "runs/ngram-2"] {
        let trained = json(folder.path(), &["train", "names.txt", "--model", "ngram", "--json"]);
        assert_eq!(trained["run"], run);
    }
}

#[test]
fn splits_are_written_as_trained_on() {
    let folder = folder();
    done(folder.path(), &["data", "split", "names.txt", "--out", "parts"]);
    let read = |name: &str| fs::read_to_string(folder.path().join("parts").join(name)).unwrap();
    let mut all: Vec<String> = ["train.txt", "val.txt", "test.txt"]
        .iter()
        .flat_map(|name| read(name).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    all.sort();
    let mut names: Vec<&str> = NAMES.lines().collect();
    names.sort_unstable();
    assert_eq!(all, names);
    assert_eq!(read("train.txt").lines().count(), 9);
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let folder = trained();
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("charloom"))
        .current_dir(folder.path())
        .args(["sample", "a", "-n", "1000000000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && stderr.starts_with("the best weights") && stderr.lines().count() == 1,
        "{stderr}"
    );
    assert!(!first.trim().is_empty());
}

#[test]
fn help_is_short_first_and_whole_on_request() {
    let folder = folder();
    let [short, long] = ["-h", "--help"].map(|flag| done(folder.path(), &["train", flag]));
    for first in ["--preset", "--model", "--context", "--hidden", "--steps", "--out"] {
        assert!(short.contains(first), "{first}");
    }
    assert!(short.lines().count() < 30 && !short.contains("--weight-decay") && short.contains("--help"));
    for group in ["Data:", "Model:", "Training:", "The run:"] {
        assert!(long.contains(group), "{group}");
    }
    let whole = done(folder.path(), &["--help"]);
    for word in ["CHARLOOM_CACHE", "CHARLOOM_DATA_URL", "CHARLOOM_ISA", "NO_COLOR", "Exit code", "130"] {
        assert!(whole.contains(word), "{word}");
    }
}

#[test]
fn a_package_has_completions_and_manual_pages() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish"] {
        let script = done(folder.path(), &["completions", shell]);
        assert!(script.contains("weight-decay") && script.contains("lr-find"), "{shell}");
    }
    let written = done(folder.path(), &["man", "man1"]);
    for page in ["charloom.1", "charloom-train.1", "charloom-data-get.1"] {
        assert!(written.contains(page), "{page} is not among {written}");
        let text = fs::read_to_string(folder.path().join("man1").join(page)).unwrap();
        assert!(text.contains(".TH") && text.contains(".SH SYNOPSIS"), "{text}");
        // A flag, and then what it is.
        let lines: Vec<&str> = text.lines().collect();
        let bare = lines.windows(3).find(|of| of[0] == ".TP" && (of[2].is_empty() || of[2].starts_with('.')));
        assert_eq!(bare, None, "{page}: nothing is said of a flag");
    }
    refused(folder.path(), &["completions", "tcsh"], 2, "tcsh");
}

#[test]
fn a_command_says_on_request_what_it_does() {
    let folder = trained();
    for arguments in [&["-v", "eval", "a"][..], &["sample", "a", "--verbose"]] {
        let output = charloom(folder.path(), arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("ms] the model is read: a") && said.contains("ms] done"), "{said}");
    }
}

#[test]
fn what_is_asked_of_the_processor_is_known_or_refused() {
    let presets = |isa: &str| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("charloom"));
        command.arg("presets").env("CHARLOOM_ISA", isa).output().unwrap()
    };
    assert!(["", "avx2", "portable"].iter().all(|isa| presets(isa).status.success()));
    let output = presets("avx3");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("avx2 or portable"), "{said}");
}

#[test]
fn help_has_colours_where_they_are_wanted() {
    let folder = folder();
    let is_coloured = |arguments: &[&str]| done(folder.path(), arguments).contains('\u{1b}');
    assert!(!is_coloured(&["-h"]) && !is_coloured(&["-h", "--color", "never"]));
    assert!(is_coloured(&["--color=always", "-h"]) && is_coloured(&["train", "-h", "--color", "always"]));
}

#[test]
fn a_random_seed_is_told_and_gives_the_same_again() {
    let folder = trained();
    let output = charloom(folder.path(), &["sample", "a", "--seed", "random"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let seed = said.lines().find_map(|line| line.strip_prefix("the same again: --seed ")).unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert_eq!(done(folder.path(), &["sample", "a", "--seed", seed]), words);
    assert_ne!(done(folder.path(), &["sample", "a", "--seed", "random"]), words);
    assert_eq!(json(folder.path(), &["sample", "a", "--seed", "9", "--json"])["seed"], 9);
    refused(folder.path(), &["sample", "a", "--seed", "rnd"], 2, "random");
}

#[test]
fn colors_and_talk_are_as_asked_for() {
    let folder = trained();
    let figure =
        |color: &str| done(folder.path(), &["plot", "a", "surprise", "--words", "emma", "--color", color]);
    assert!(figure("always").contains('\u{1b}') && !figure("auto").contains('\u{1b}'));
    assert_eq!(figure("never"), figure("auto"));
    let said = |args: &[&str]| String::from_utf8(charloom(folder.path(), args).stderr).unwrap();
    let args = ["train", "names.txt", "--model", "ngram", "--out", "b", "--force"];
    assert!(!said(&args).contains(" ms]"));
    assert!(said(&[&args[..], &["-v"]].concat()).contains(" ms] the data is read"));
}

#[test]
fn a_training_that_was_best_long_before_its_end_is_told_so() {
    let folder = folder();
    let said = |flags: &str| {
        let all =
            "train names.txt --split 0.5,0.25,0.25 --hidden 40 --steps 100 --eval-every 20 --force --out a ";
        let args = all.to_owned() + flags;
        let output = charloom(folder.path(), &args.split_whitespace().collect::<Vec<_>>());
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().contains("the validation loss was lowest at step")
    };
    // At a rate of 1 no step is better than none; at a hundredth of that the last is the best.
    assert_eq!(["--lr 1", "--lr 1 --patience 3", "--lr 0.01"].map(said), [true, false, false]);
}

#[test]
fn words_of_a_pattern_are_drawn_and_the_likeliest_found() {
    let folder = trained();
    let path = folder.path();
    let drawn = done(path, &["sample", "a", "-n", "2000", "--seed", "7"]);
    let is_match = |word: &&str| word.starts_with(['a', 'e']) && word.ends_with('a') && word.len() > 2;
    let wanted: Vec<&str> = drawn.lines().filter(is_match).take(5).collect();
    let found = done(path, &["sample", "a", "-n", "5", "--seed", "7", "--pattern", "[ae].+a|e.+a"]);
    assert_eq!((found.lines().collect::<Vec<_>>(), wanted.len()), (wanted, 5));
    refused(path, &["sample", "a", "--pattern", "a)|(b"], 2, "--pattern");
    refused(path, &["sample", "a", "--pattern", "7+", "-n", "1"], 1, "--pattern left out the rest of");
    let contradiction = ["sample", "a", "--prefix", "em", "--pattern", "a.*"];
    refused(path, &contradiction, 1, "whether anything with this --prefix can match");
    // Texts are fewer than words, and as many characters: 8,372 of 501, in batches of 1,024.
    done(path, &["train", "names.txt", "--mode", "text", "--model", "ngram", "--out", "text"]);
    refused(
        path,
        &["sample", "text", "--pattern", "7+"],
        1,
        "0 of 1 texts found: --pattern left out the rest of 9216",
    );

    let top = json(path, &["sample", "a", "--top", "9", "--json"]);
    assert!(top["file"].is_string() && top["seed"].is_null());
    let log_prob = |sample: &serde_json::Value| sample["log_prob"].as_f64().unwrap();
    let samples = top["samples"].as_array().unwrap();
    assert!(samples.len() == 9 && samples.is_sorted_by(|a, b| log_prob(a) >= log_prob(b)));
    let words = done(path, &["sample", "a", "--top", "9"]);
    assert!(words.lines().eq(samples.iter().map(|sample| sample["text"].as_str().unwrap())));
    // No drawn word is likelier than the last and not among them.
    let drawn = json(path, &["sample", "a", "-n", "500", "--json"]);
    let is_likelier = |sample: &&serde_json::Value| log_prob(sample) > log_prob(&samples[8]) + 1e-6;
    let likelier: Vec<_> = drawn["samples"].as_array().unwrap().iter().filter(is_likelier).collect();
    assert!(
        likelier.len() > 10 && likelier.iter().all(|s| samples.iter().any(|top| top["text"] == s["text"]))
    );
    assert!(
        done(path, &["sample", "a", "--top", "3", "--prefix", "ma"])
            .lines()
            .all(|word| word.starts_with("ma"))
    );
    for flags in ["-n 3", "--seed 1", "--temperature 1", "--novel", "--pattern a", "--top-k 3"] {
        let all: Vec<&str> = ["sample", "a", "--top", "3"].into_iter().chain(flags.split(' ')).collect();
        refused(path, &all, 2, "cannot be used with");
    }
}
