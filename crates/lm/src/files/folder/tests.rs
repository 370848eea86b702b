use super::*;
use crate::disk::open_regular;
use crate::files::checkpoint::tests::example;
use crate::files::model_file;

fn metric(step: u64) -> Metric {
    Metric { step, split: "batch".to_owned(), loss: 3.31, lr: Some(0.1) }
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_resumes_where_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs/a");
    let mut run = RunFolder::create(&path, false).unwrap();
    let mut checkpoint = example();
    run.write_config(&checkpoint.config).unwrap();
    run.log(&metric(0)).unwrap();
    run.save_last(&mut checkpoint).unwrap();
    run.save_best(&checkpoint).unwrap();
    run.write_samples("emma\n").unwrap();
    let saved = fs::read(path.join(METRICS)).unwrap();
    assert_eq!(saved, b"{\"step\":0,\"split\":\"batch\",\"loss\":3.31,\"lr\":0.1}\n");
    run.log(&metric(1)).unwrap();
    drop(run);
    assert_eq!(names(&path), [BEST, CONFIG, LAST, METRICS, SAMPLES]);
    assert_eq!(Config::read(&path.join(CONFIG)).unwrap(), checkpoint.config);
    assert_eq!(model_file(&path).unwrap(), path.join(BEST));

    let (mut run, back) = RunFolder::resume(&path).unwrap();
    assert_eq!(back, checkpoint);
    assert_eq!(fs::read(path.join(METRICS)).unwrap(), saved);
    run.log(&metric(2)).unwrap();
    assert!(fs::read(path.join(METRICS)).unwrap().starts_with(&saved));
    drop(run);

    fs::write(path.join(METRICS), "").unwrap();
    assert!(RunFolder::resume(&path).unwrap_err().to_string().contains("shorter"));
}

#[test]
fn a_run_is_not_overwritten_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let run = RunFolder::create(&path, false).unwrap();
    run.save_best(&example()).unwrap();
    fs::write(path.join("notes.txt"), "mine").unwrap();
    assert!(RunFolder::create(&path, true).unwrap_err().to_string().contains("another charloom"));
    assert!(path.join(BEST).exists());
    drop(run);
    assert!(RunFolder::create(&path, false).unwrap_err().to_string().contains("``force``"));
    fs::write(path.join(".charloom-x1"), "half").unwrap();
    let forced = RunFolder::create(&path, true).unwrap();
    assert_eq!(names(&path), [METRICS, "notes.txt"]);
    let next = RunFolder::create_next(folder.path(), "a").unwrap();
    assert_eq!(next.path(), folder.path().join("a-2"));
    drop(forced);
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        RunFolder::resume(&folder.path().join("none")).unwrap_err().to_string().contains("no run to resume")
    );
    assert!(model_file(folder.path()).unwrap_err().to_string().contains("no run folder"));
    fs::write(folder.path().join(CONFIG), "train.seeds = 2\n").unwrap();
    fs::create_dir(folder.path().join("seed-1")).unwrap();
    let unfinished = model_file(folder.path()).unwrap_err().to_string();
    let hint = format!("charloom train --resume --out {} goes on", folder.path().display());
    assert!(unfinished.contains(&hint), "{unfinished}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(model_file(&file).unwrap(), file);
    assert!(RunFolder::create(&file, true).is_err());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&file, folder.path().join(METRICS)).unwrap();
        let refused = RunFolder::create(folder.path(), true).unwrap_err().to_string();
        assert!(refused.contains("metrics.jsonl: not a regular file"), "{refused}");
    }
    assert!(RunFolder::create(&file.join("below"), false).is_err());
}

#[test]
fn a_damaged_last_checkpoint_falls_back_to_the_one_before_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let (last, previous) = (path.join(LAST), path.join(PREVIOUS));
    let mut run = RunFolder::create(&path, false).unwrap();
    for step in [3, 6] {
        run.log(&metric(step)).unwrap();
        run.save_last(&mut Checkpoint { step, ..example() }).unwrap();
    }
    drop(run);
    let whole = fs::read(&last).unwrap();
    let (run, checkpoint) = RunFolder::resume(&path).unwrap();
    assert_eq!((checkpoint.step, run.warning()), (6, None));
    drop(run);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for damaged in [Some(&flipped[..]), Some(&whole[..whole.len() - 1]), Some(b""), None] {
        match damaged {
            Some(bytes) => fs::write(&last, bytes).unwrap(),
            None => fs::remove_file(&last).unwrap(),
        }
        let (run, checkpoint) = RunFolder::resume(&path).unwrap();
        assert_eq!((checkpoint.step, checkpoint.metrics_bytes), (3, 48));
        let said = run.warning().expect("a warning");
        assert!(
            said.contains("last.safetensors: ") && said.contains("previous.safetensors, step 3"),
            "{said}"
        );
        assert!(!said.contains('\n'), "{said}");
    }
    fs::write(&last, &flipped).unwrap();
    fs::write(&previous, "").unwrap();
    let refused = RunFolder::resume(&path).unwrap_err().to_string();
    assert!(refused.contains("last.safetensors: cut off or changed"), "{refused}");
}

#[test]
fn more_lines_than_a_run_has_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(&folder.path().join("a"), false).unwrap();
    assert!(RunFolder::records(run.path()).unwrap().is_empty());
    let path = run.path().join(METRICS);
    fs::write(&path, b"{\"step\":0,\"split\":\"batch\",\"loss\":3.31,\"lr\":0.1}\n".repeat(3)).unwrap();
    assert_eq!(read_lines::<Metric>(&path, 3).unwrap(), [metric(0), metric(0), metric(0)]);
    let refused = read_lines::<Metric>(&path, 2).unwrap_err().to_string();
    assert!(refused.contains("more than 2 lines"), "{refused}");
}

#[test]
fn folders_are_not_read_as_files() {
    let folder = tempfile::tempdir().unwrap();
    assert!(open_regular(folder.path()).unwrap_err().to_string().contains("a folder"));
    #[cfg(unix)]
    assert!(open_regular(Path::new("/dev/null")).unwrap_err().to_string().contains("not a regular file"));
}

#[test]
fn a_timing_is_told_in_words_and_a_broken_one_is_none() {
    for (seconds, steps, words) in [
        (0.0, 0, "0.0 s"),
        (4.25, 34, "4.2 s, 8.00 steps/s"),
        (20.0, 10_000, "20 s, 500 steps/s"),
        (600.0, 600_000, "10 min, 1000 steps/s"),
        (7530.0, 753_000, "2 h 5 min, 100 steps/s"),
    ] {
        assert_eq!(Timing { seconds, steps }.to_string(), words);
    }
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(&folder.path().join("run"), false).unwrap();
    assert_eq!(Timing::read(run.path()), None);
    let timing = Timing { seconds: 1.5, steps: 3 };
    run.write_timing(&timing).unwrap();
    assert_eq!(Timing::read(run.path()), Some(timing));
    for broken in ["", "{}", "{\"seconds\":-1,\"steps\":0}", "{\"seconds\":1e999,\"steps\":0}", "\u{0}"] {
        fs::write(run.path().join(TIMING), broken).unwrap();
        assert_eq!(Timing::read(run.path()), None, "{broken:?}");
    }
}
