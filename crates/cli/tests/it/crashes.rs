//! Training that is killed, or runs out of disk: what was saved goes on to the same end.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use charloom::Checkpoint;

/// Trainings with all that a state may have: a generator, moments, averages, states that are carried on.
const TRAININGS: [&str; 3] = [
    "train names --hidden 30 --steps 4000 --eval-every 40 --log-every 10 --batch 8",
    "train names --mode text --model gru --hidden 16 --context 16 --batch 4 --ema 0.9 --steps 1500 \
     --eval-every 40 --log-every 10",
    "train names --model transformer --layers 1 --embed 16 --batch 8 --optimizer adamw --steps 1500 --eval-every 40 \
     --log-every 10",
];

fn charloom(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("charloom"));
    command.current_dir(folder).args(args.split_whitespace());
    command
}

fn folder() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let few: Vec<&str> = charloom::data::NAMES.lines().take(60).collect();
    fs::write(home.path().join("names"), few.join("\n")).unwrap();
    home
}

fn has_temporaries(run: &Path) -> bool {
    fs::read_dir(run).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with('.'))
}

#[test]
fn killed_at_any_moment_a_run_goes_on_to_the_same_end() {
    let kills: usize = std::env::var("CHARLOOM_KILLS").map_or(12, |text| text.parse().unwrap());
    let counts = TRAININGS.map(|flags| kill(flags, kills.div_ceil(TRAININGS.len())));
    let [killed, with_checkpoint] = [0, 1].map(|i| counts.iter().map(|counts| counts[i]).sum::<usize>());
    assert!(with_checkpoint * 3 > killed, "killed too early to show anything");
}

/// Kills runs with SIGKILL until as many as `kills` are dead, each after a random time; how many, and of how many of them a
/// checkpoint was there.
fn kill(flags: &str, kills: usize) -> [usize; 2] {
    let home = folder();
    let begun = Instant::now();
    assert!(charloom(home.path(), &format!("{flags} --out whole")).output().unwrap().status.success());
    let whole_takes = begun.elapsed();
    let run = home.path().join("run");
    let mut random = random_numbers();
    let (mut killed, mut ended, mut with_checkpoint) = (0, 0, 0);
    while killed < kills || ended == 0 {
        let resumes = run.join("last.safetensors").exists();
        let args = if resumes {
            "train --resume --out run".to_owned()
        } else {
            format!("{flags} --out run --force")
        };
        let mut child =
            charloom(home.path(), &args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        if killed < kills {
            std::thread::sleep(whole_takes.mul_f64(random() * 0.4));
        }
        let finished = if killed < kills { child.try_wait().unwrap() } else { Some(child.wait().unwrap()) };
        match finished {
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
                for name in ["best.safetensors", "last.safetensors", "previous.safetensors"] {
                    let path = run.join(name);
                    if path.exists() {
                        Checkpoint::read(&path).unwrap_or_else(|error| panic!("kill {killed}: {error}"));
                        with_checkpoint += usize::from(name.starts_with("last"));
                    }
                }
            }
            Some(status) => {
                let said = child.wait_with_output().unwrap().stderr;
                assert!(status.success(), "{}", String::from_utf8_lossy(&said));
                ended += 1;
                for name in ["best.safetensors", "last.safetensors", "metrics.jsonl", "samples.txt"] {
                    let [a, b] =
                        ["whole", "run"].map(|run| fs::read(home.path().join(run).join(name)).unwrap());
                    assert!(a == b, "{name} differs after {killed} kills");
                }
                assert!(!has_temporaries(&run));
                if killed < kills {
                    fs::remove_dir_all(&run).unwrap();
                }
            }
        }
    }
    println!(
        "{flags}: {killed} kills, {with_checkpoint} of them with a checkpoint there, {ended} runs to their end"
    );
    [killed, with_checkpoint]
}

/// Numbers from 0 to 1, others at each call of the test: every run of it looks elsewhere.
fn random_numbers() -> impl FnMut() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let (state, mut count) = (RandomState::new(), 0u64);
    move || {
        count += 1;
        (state.hash_one(count) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Runs a script in a mount namespace that ends with it.
fn in_mount_namespace(home: &Path, script: &str) -> Output {
    Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script])
        .env("CHARLOOM", assert_cmd::cargo::cargo_bin!("charloom"))
        .current_dir(home)
        .output()
        .expect("unshare(1)")
}

#[test]
#[ignore = "mounts a small file system, which not every machine allows"]
fn a_full_disk_keeps_the_checkpoint_before() {
    let home = folder();
    let script = r#"
        set -e
        mkdir small copy
        mount -t tmpfs -o size=400k tmpfs small || exit 77
        "$CHARLOOM" train names --hidden 200 --steps 50 --eval-every 10 --out small/run 2> first || exit 3
        dd if=/dev/zero of=small/filler bs=1k count=1000 2> /dev/null || true
        set +e
        cp small/run/last.safetensors before
        "$CHARLOOM" train names --hidden 200 --steps 50 --eval-every 10 --out small/other 2> second
        echo $? > code-new
        "$CHARLOOM" train --resume --out small/run 2> third
        echo $? > code-resume
        cp -a small/run copy/run
        cp -a small/other copy/other 2> /dev/null
        exit 0
    "#;
    let output = in_mount_namespace(home.path(), script);
    let said = String::from_utf8_lossy(&output.stderr);
    let first = fs::read_to_string(home.path().join("first")).unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{said}{first}");
    let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
    for (code, errors) in [("code-new", "second"), ("code-resume", "third")] {
        let errors = read(errors);
        assert_eq!(read(code).trim(), "1", "{errors}");
        let last = errors.lines().last().unwrap();
        assert!(last.starts_with("error: ") && last.contains("No space left"), "{errors}");
    }
    let run = home.path().join("copy/run");
    assert_eq!(
        fs::read(run.join("last.safetensors")).unwrap(),
        fs::read(home.path().join("before")).unwrap()
    );
    Checkpoint::read(&run.join("best.safetensors")).unwrap();
    assert!(!has_temporaries(&run));
}

/// What a full disk costs is told with a way out; nothing half-written is left, and with room the told way works.
#[test]
#[ignore = "mounts a small file system, which not every machine allows"]
fn a_full_disk_is_told_with_a_way_out_wherever_it_is_found() {
    let home = folder();
    let script = r#"
        mkdir small
        mount -t tmpfs -o size=400k tmpfs small || exit 77
        train="train names --steps 5 --eval-every 5"
        fill() { dd if=/dev/zero of=small/filler bs=1k count=$1 2> /dev/null; }
        fill 1000
        for command in "$train --out small/run" "$train --seeds 2 --out small/both" "mix one two --out small/mix" \
                "sample one" "sample one --json" "report one -o small/page"; do
            "$CHARLOOM" $command > small/text 2> errors
            echo "$? $(tail -n 1 errors)" >> told
            rm small/text
        done
        ls small > left
        # The configuration fits, the first checkpoint does not.
        fill 380
        "$CHARLOOM" $train --hidden 300 --out small/run 2> errors
        echo "$? $(tail -n 1 errors)" >> told
        rm small/filler
        "$CHARLOOM" $train --hidden 300 --resume --out small/run 2> again || exit 3
    "#;
    for run in ["one", "two"] {
        let args = format!("train names --steps 5 --eval-every 5 --hidden 8 --out {run}");
        assert!(charloom(home.path(), &args).output().unwrap().status.success());
    }
    let output = in_mount_namespace(home.path(), script);
    let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}{}", read("again"));
    let expected = [
        ("small/run/config.toml", "make room there, or name another place, and give the command again"),
        ("small/both/config.toml", "make room there"),
        ("small/mix/config.toml", "make room there"),
        ("standard output", "make room there"),
        ("standard output", "make room there"),
        ("small/page", "make room there"),
        ("small/run/best.safetensors", "the same command with --resume --out small/run begins anew"),
    ];
    let told = read("told");
    assert_eq!(told.lines().count(), expected.len(), "{told}");
    for (told, (place, way)) in told.lines().zip(expected) {
        let begin = format!("1 error: {place}: No space left on device (os error 28); ");
        assert!(told.starts_with(&begin) && told.contains(way), "{told}, not {begin}{way}");
    }
    assert_eq!(read("left"), "filler\n");
}

#[test]
fn a_run_folder_that_disappears_ends_the_run_in_one_line() {
    let home = folder();
    let long = TRAININGS[0].replace("--steps 4000", "--steps 4000000");
    let child = charloom(home.path(), &format!("{long} --out run"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let last = home.path().join("run/last.safetensors");
    let begun = Instant::now();
    while !last.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::rename(home.path().join("run"), home.path().join("gone")).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let error = said.lines().last().unwrap();
    assert!(error.starts_with("error: run/") && error.contains("No such file"), "{said}");
}
