//! Input as bad as it comes: one line that says what, where and what to do; the right exit code; nothing written.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

mod files;
mod flags;

const NAMES: &str =
    "emma\nolivia\nava\nisabella\nsophia\nmia\namelia\nharper\nevelyn\nabigail\nemily\nella\n";

/// Data that cannot be used, and what is said of it.
const BAD_DATA: [(&str, &[u8], &str, &str); 9] = [
    ("empty", b"", "", "is empty"),
    ("blank", b"\n \n\t\r\n\n", "", "nothing but blank lines"),
    ("latin1", b"emma\nzo\xeb\n", "", "not UTF-8 at byte 7 (line 2); convert it"),
    ("utf16", b"\xff\xfee\0m\0m\0a\0\n\0", "", "is UTF-16; convert it"),
    ("utf16-without-mark", b"e\0m\0m\0a\0\n\0o\0", "", "is UTF-16; convert it"),
    (
        "git-lfs",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "",
        "is a git-LFS pointer, not the file itself; fetch that first (git lfs pull)",
    ),
    ("gzip", b"\x1f\x8b\x08\0\0", "", "is compressed with gzip; unpack it"),
    ("nul", b"emma\nolivia\nev\0a\n", "", "NUL at byte 14 (line 3)"),
    ("text", b"One word after another makes a line.\n", "--dedupe", "--dedupe is for lists of lines"),
];

/// Data that is unusual but works, with the lines that it has as a list.
const ODD_DATA: [(&str, &str, usize); 14] = [
    ("byte-order-mark", "\u{feff}emma\nava\n", 2),
    ("crlf", "emma\r\nava\r\n", 2),
    ("cr", "emma\rava\rmia", 3),
    ("other-breaks", "em\u{2028}ma\na\u{b}v\u{c}a\nmi\u{2029}a\u{85}\n", 3),
    ("controls", "em\u{7}ma\nava\n", 2),
    ("two-forms", "zo\u{eb}\nzoe\u{308}\n", 2),
    ("emoji", "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\nava\n", 2),
    ("right-to-left", "\u{5e9}\u{5dc}\u{5d5}\u{5dd}\n\u{202e}ava\n", 2),
    ("ansi", "\u{1b}[31mred\u{1b}[0m\n\u{1b}]0;title\u{7}\n", 2),
    ("html", "<script>alert(1)</script>\n&amp;\n", 2),
    ("one-word", "emma", 1),
    ("nine-words", "a\nb\nc\nd\ne\nf\ng\nh\ni\n", 9),
    ("one-character", "a\naa\naaa\n", 3),
    ("spaces", "  a b  \n\n\n", 1),
];

/// What `train` refuses beside what command.rs has: flags, exit code, words of the error.
const REFUSED: [(&str, i32, &str); 50] = [
    ("folder", 1, "is a directory"),
    ("/dev/zero", 1, "not a regular file"),
    ("names --val none", 1, "none: no such file"),
    ("names --init-from none", 1, "none: no such run or model file"),
    ("names --preset bengio --init-from none", 1, "none: no such run; it is the one of --init-from"),
    ("names --context -1", 2, "-1"),
    ("names --context 99999999999999999999", 2, "--context"),
    ("names --model linear --context 1024 --batch 1048577", 2, "--batch 1048577"),
    ("names --model ngram --hidden 9", 2, "--hidden: a model of kind \"ngram\" has no setting"),
    (
        "names --model ngram --momentum .5",
        2,
        "--momentum has no effect: a model of kind \"ngram\" is counted",
    ),
    ("names --optimizer adamw --momentum .5", 2, "--momentum has no effect: it is of --optimizer sgd"),
    ("names --beta1 .5", 2, "--beta1 has no effect"),
    ("names --nesterov", 2, "--nesterov has no effect: it is of --optimizer sgd with --momentum"),
    ("names --optimizer adamw --alpha .9", 2, "--alpha has no effect: it is of --optimizer rmsprop"),
    ("names --decay-on matrices", 2, "--decay-on has no effect: --weight-decay is 0"),
    ("names --batch full --accumulate 2", 2, "--accumulate has no effect: with --batch full"),
    ("names --lr-min .01", 2, "--lr-min has no effect: it is of --schedule cosine"),
    ("names --schedule cosine --lr-min .2", 2, "--lr-min 0.2 is out of range; it must be from 0 to --lr"),
    ("names --warmup .1 --warmup-steps 5", 2, "--warmup-steps: --warmup says the same"),
    ("names --ema 1", 2, "--ema 1 is out of range"),
    ("names --accumulate 0", 2, "--accumulate 0 is out of range"),
    ("names --hidden 0", 2, "--hidden 0"),
    ("names --batch -1", 2, "\"-1\" is neither a whole number nor \"full\""),
    ("names --batch 1 --norm batch", 2, "at least 2 with batch norm"),
    ("names --batch 1 --model wavenet", 2, "at least 2 with batch norm"),
    ("names --model wavenet --context 6", 2, "--context 6 is out of range; it must be a power of two from 2"),
    ("names --model wavenet --hidden 8,9", 2, "--hidden"),
    ("names --lr 1e31", 2, "is out of range"),
    ("names --lr -inf", 2, "unexpected argument '-i'"),
    ("names --dropout NaN", 2, "--dropout NaN"),
    ("names --steps -1", 2, "--steps"),
    ("names --steps 1e3", 2, "--steps"),
    ("names --seed abc", 2, "--seed"),
    ("names --seed -1", 2, "--seed"),
    ("names --threads 0", 2, "--threads"),
    ("names --threads 1000000", 2, "--threads"),
    ("names --split 0,0.5,0.5", 2, "--split 0,0.5,0.5"),
    ("names --split nan,0,1", 2, "--split NaN"),
    ("names --lr-drops 0.5", 2, "\"0.5\" is not fraction:factor"),
    ("names --embed 65536 --hidden 65536,65536", 2, "parameters; the limit is"),
    ("many-characters --model linear", 2, "parameters; the limit is"),
    ("names --config unknown.toml", 1, "did you mean \"steps\"?"),
    ("names --config duplicate.toml", 1, "duplicate.toml: line 3"),
    ("names --config wrong-type.toml", 1, "wrong-type.toml: line 2"),
    ("names --config nested.toml", 1, "nested.toml"),
    ("names --config steering.toml", 1, "steering.toml: line 1: unknown key"),
    ("--config nul-path.toml", 1, "a\\u{0}b: "),
    ("names --config folder", 1, "a folder, not a file"),
    ("names --out occupied", 1, "occupied: exists"),
    ("names --out dangling", 1, "dangling: "),
];

fn program() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("charloom"))
}

fn charloom(folder: &Path, args: &str) -> Output {
    program().current_dir(folder).args(args.split_whitespace()).output().unwrap()
}

fn done(folder: &Path, args: &str) -> String {
    let output = charloom(folder, args);
    assert_eq!(output.status.code(), Some(0), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// All that is in the folder, and below it.
fn listing(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        all.push(format!("{} {:?}", entry.path().display(), entry.metadata().map(|m| m.len()).ok()));
        if entry.file_type().unwrap().is_dir() {
            all.extend(listing(&entry.path()));
        }
    }
    all.sort();
    all
}

/// Runs what must be refused.
fn refused(folder: &Path, args: &str, code: i32, said: &str) {
    refused_by(&mut program(), folder, args, code, said);
}

fn refused_by(program: &mut Command, folder: &Path, args: &str, code: i32, said: &str) {
    let before = listing(folder);
    let output = program.current_dir(folder).args(args.split_whitespace()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args}: {stderr}");
    let error = stderr.lines().last().unwrap_or_default();
    assert!(error.starts_with("error: ") && error.contains(said), "{args}: {stderr:?} does not say {said:?}");
    assert_eq!(stderr.matches("error: ").count(), 1, "{args}: {stderr}");
    assert!(error.len() < 1000 && !error.chars().any(char::is_control), "{args}: {error:?}");
    assert_eq!(before, listing(folder), "{args}: something was written");
}

fn folder() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("names"), NAMES).unwrap();
    home
}

fn trained(flags: &str) -> TempDir {
    let home = folder();
    done(home.path(), &format!("train names --out run {flags}"));
    home
}

#[test]
fn bad_data_is_named() {
    let home = folder();
    for (name, bytes, flags, said) in BAD_DATA {
        fs::write(home.path().join(name), bytes).unwrap();
        refused(home.path(), &format!("train {name} {flags} --out run"), 1 + i32::from(name == "text"), said);
    }
}

#[test]
fn odd_data_works() {
    let home = folder();
    for (name, text, lines) in ODD_DATA {
        fs::write(home.path().join(name), text).unwrap();
        let card: serde_json::Value =
            serde_json::from_str(&done(home.path(), &format!("info {name} --mode lines --json"))).unwrap();
        assert_eq!(card["lines"], lines, "{name}: {card}");
        let run = format!("run-{name}");
        done(home.path(), &format!("train {name} --mode lines --model bigram --out {run}"));
        // What is sampled into a file is scored out of it.
        fs::write(home.path().join("sampled"), done(home.path(), &format!("sample {run} -n 30"))).unwrap();
        let scored = done(home.path(), &format!("score {run} sampled"));
        assert_eq!(scored.lines().count(), 31, "{name}: {scored}");
        let scored = done(home.path(), &format!("score {run} {name}"));
        // A headline, and a blank line of the data is a word without letters to be scored.
        let blank = if name == "spaces" { 2 } else { 0 };
        assert_eq!(scored.lines().count(), 1 + lines + blank, "{name}: {scored}");
        done(home.path(), &format!("score {run} {name} --per-char"));
        done(home.path(), &format!("train {name} --mode lines --model linear --steps 1 --out {run} --force"));
    }
    let warned = charloom(home.path(), "train two-forms --model bigram --out warned").stderr;
    assert!(String::from_utf8(warned).unwrap().contains("--normalize nfc"));
    done(home.path(), "train two-forms --model bigram --normalize nfkd --out nfkd");
    fs::write(home.path().join("latin1"), b"zo\xeb\n").unwrap();
    done(home.path(), "train latin1 --lossy --model bigram --out lossy");
}

#[test]
fn wrong_settings_write_nothing() {
    let home = folder();
    let path = home.path();
    fs::create_dir(path.join("folder")).unwrap();
    fs::create_dir(path.join("occupied")).unwrap();
    fs::write(path.join("occupied/precious"), "mine").unwrap();
    fs::write(path.join("unknown.toml"), "[train]\nstepz = 1\n").unwrap();
    fs::write(path.join("duplicate.toml"), "[train]\nsteps = 1\nsteps = 2\n").unwrap();
    fs::write(path.join("wrong-type.toml"), "[train]\nsteps = \"many\"\n").unwrap();
    fs::write(path.join("nested.toml"), format!("a = {}", "[".repeat(100_000))).unwrap();
    fs::write(path.join("steering.toml"), "\"\\u001b[31m\\n\" = 1\n").unwrap();
    fs::write(path.join("nul-path.toml"), "[data]\npath = \"a\\u0000b\"\n").unwrap();
    let many = (0x4e00..0x9fff).chain(0x20000..0x2a6d0).chain(0x30000..0x3134a).filter_map(char::from_u32);
    fs::write(path.join("many-characters"), many.map(|c| format!("{c}\n")).collect::<String>()).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere/at/all", path.join("dangling")).unwrap();
    for (args, code, said) in REFUSED {
        let out = if args.contains("--out") { "" } else { "--out run" };
        refused(path, &format!("train {args} {out}"), code, said);
    }
    refused(path, &format!("train names --out {}", "n".repeat(300)), 1, "nnn");
    for name in ["../../etc/passwd", "/etc/passwd"] {
        refused(path, &format!("presets show {name}"), 2, "unknown");
        refused(path, &format!("data get {name}"), 2, "no known data set");
    }
}

#[test]
fn unusual_settings_work() {
    let home = folder();
    for (i, flags) in [
        "--model linear --steps 0",
        "--model linear --steps 3 --batch 1000",
        "--model linear --steps 3 --batch full --threads 256",
        // As many numbers as are too many in a hidden layer, which this model has not.
        "--model linear --steps 1 --batch 65536",
        // 85 examples to train on: evaluated in parts, one is left over.
        "--hidden 4 --norm batch --steps 3 --batch 2",
        "--context 30 --hidden 4 --steps 3",
    ]
    .iter()
    .enumerate()
    {
        done(home.path(), &format!("train names {flags} --out run-{i}"));
        done(home.path(), &format!("eval run-{i} --split all"));
    }
    let output = charloom(home.path(), "train names --lr 1e10 --steps 500 --eval-every 50 --out diverged");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.lines().last().unwrap().contains("--lr lower than 10000000000"), "{stderr}");
    done(home.path(), "sample diverged/last.safetensors -n 1");
}

#[test]
fn very_long_lines_are_text() {
    let home = folder();
    let long = home.path().join("long");
    fs::write(&long, vec![b'a'; 100 << 20]).unwrap();
    refused(home.path(), "train long --mode lines --out run", 1, "line 1 has 104857600 characters");
    fs::write(&long, "ab".repeat(100_000)).unwrap();
    refused(home.path(), "train long --mode lines --out run", 1, "--mode text");
    done(home.path(), "train long --model bigram --out run");
}

#[test]
fn sampling_and_scoring_refuse_what_makes_no_sense() {
    let home = trained("--model ngram --order 3");
    let path = home.path();
    for (flags, said) in [
        ("--temperature nan", "temperature"),
        ("--temperature -1", "temperature"),
        ("--temperature inf", "temperature"),
        ("--top-p 2", "top-p"),
        ("--top-p nan", "top-p"),
        ("--prefix emmZa", "'Z' (U+005A, character 4)"),
        ("-n -1", "-1"),
        ("--seed x", "--seed"),
        ("--max-length 0 --min-length 5", "--max-length 0: must be at least --min-length, 5"),
        (
            "--max-length 4 --prefix emma",
            "--prefix has 4 characters, and --max-length is 4: give more than 4",
        ),
    ] {
        refused(path, &format!("sample run {flags}"), 2, said);
    }
    for flags in [
        "--temperature 0",
        "--temperature 1e-30",
        "--top-k 0",
        "--top-k 1000000",
        "--prefix abcdefghijklmnopqrstuvwxyz",
    ] {
        let prefix: String = NAMES.chars().filter(char::is_ascii_lowercase).collect();
        let flags = flags.replace("abcdefghijklmnopqrstuvwxyz", &prefix);
        assert_eq!(done(path, &format!("sample run -n 3 --max-length 200 {flags}")).lines().count(), 3);
    }
    let cut: serde_json::Value =
        serde_json::from_str(&done(path, "sample run -n 5 --max-length 1 --min-length 1 --json")).unwrap();
    assert!(cut["samples"].as_array().unwrap().iter().any(|sample| sample["truncated"] == true), "{cut}");
    fs::write(path.join("other"), "emma\nem9a\n").unwrap();
    let output = charloom(path, "score run other");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("line 2: "));
}

#[test]
fn a_run_is_resumed_with_its_own_data_by_one_program_only() {
    let home = trained("--model linear --steps 0");
    let path = home.path();
    let metrics = File::open(path.join("run/metrics.jsonl")).unwrap();
    metrics.lock().unwrap();
    for how in ["--resume", "names --model linear --force"] {
        refused(path, &format!("train {how} --out run"), 1, "another charloom is writing");
    }
    drop(metrics);
    fs::write(path.join("names"), NAMES.to_uppercase()).unwrap();
    refused(path, "train --resume --out run", 1, "has changed since");
    refused(path, "eval run", 1, "has changed since");
}
