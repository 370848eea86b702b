//! A whole training on a failing disk: each operation in turn fails, once or from then on, or the power is
//! cut after it. What is left can always be resumed to the same end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::data::Data;
use crate::train::{self, Trainer};

/// An operation that was asked of the disk.
#[derive(Clone, Debug)]
enum Operation {
    CreateFolder,
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    SetLen(PathBuf, u64),
    Sync(PathBuf),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncFolder(PathBuf),
}

/// The operating system's disk, which records its operations and fails at one of them, or from there on.
#[derive(Clone, Debug, Default)]
struct FaultyDisk {
    done: Arc<Mutex<Vec<Operation>>>,
    /// The operation that fails, counted from 0, and whether all after it do.
    fault: Option<(usize, bool)>,
}

impl FaultyDisk {
    fn ask(&self, operation: Operation) -> io::Result<()> {
        let mut done = self.done.lock().unwrap();
        let number = done.len();
        done.push(operation);
        match self.fault {
            Some((at, for_good)) if number == at || (for_good && number > at) => {
                Err(io::Error::other("the test's fault"))
            }
            _ => Ok(()),
        }
    }
}

impl Disk for FaultyDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::CreateFolder)?;
        RealDisk.create_folder(path)
    }

    fn open_append(&self, path: &Path) -> io::Result<File> {
        self.ask(Operation::Create(path.into()))?;
        RealDisk.open_append(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        self.ask(Operation::Create(path.into()))?;
        RealDisk.create_new(path)
    }

    fn write(&self, path: &Path, file: &File, bytes: &[u8]) -> io::Result<()> {
        let asked = self.ask(Operation::Write(path.into(), bytes.to_vec()));
        // A disk that gets full has written a part.
        let taken = if asked.is_ok() { bytes.len() } else { bytes.len() / 2 };
        RealDisk.write(path, file, &bytes[..taken])?;
        asked
    }

    fn set_len(&self, path: &Path, file: &File, length: u64) -> io::Result<()> {
        self.ask(Operation::SetLen(path.into(), length))?;
        RealDisk.set_len(path, file, length)
    }

    fn sync(&self, path: &Path, _file: &File) -> io::Result<()> {
        self.ask(Operation::Sync(path.into()))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        // The first save has no old file to link; that is not counted as an operation.
        if !from.exists() {
            return RealDisk.link(from, to);
        }
        self.ask(Operation::Link(from.into(), to.into()))?;
        RealDisk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Operation::Rename(from.into(), to.into()))?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::Remove(path.into()))?;
        RealDisk.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::SyncFolder(path.into()))
    }
}

/// A file's bytes as written and as synced.
type Contents = (Vec<u8>, Vec<u8>);

/// A simulated file system: what was written to it, and what of that would survive a power cut.
#[derive(Clone, Default)]
struct Platter {
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the last sync of the folder, in order.
    unsynced: Vec<BTreeMap<PathBuf, usize>>,
}

impl Platter {
    fn apply(&mut self, operation: &Operation) {
        let names = self.names.clone();
        match operation {
            Operation::CreateFolder => {}
            Operation::Create(path) => {
                if !self.names.contains_key(path) {
                    self.names.insert(path.clone(), self.files.len());
                    self.files.push(Default::default());
                }
            }
            Operation::Write(path, bytes) => self.files[self.names[path]].0.extend(bytes),
            Operation::SetLen(path, length) => self.files[self.names[path]].0.resize(*length as usize, 0),
            Operation::Sync(path) => {
                let file = &mut self.files[self.names[path]];
                file.1.clone_from(&file.0);
            }
            Operation::Link(from, to) => {
                self.names.insert(to.clone(), self.names[from]);
            }
            Operation::Rename(from, to) => {
                let file = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), file);
            }
            Operation::Remove(path) => {
                self.names.remove(path);
            }
            // A sync of the folder above does not count: it holds no file.
            Operation::SyncFolder(path) if self.names.keys().any(|name| name.starts_with(path)) => {
                self.synced_names.clone_from(&self.names);
                self.unsynced.clear();
            }
            Operation::SyncFolder(_) => {}
        }
        if names != self.names {
            self.unsynced.push(self.names.clone());
        }
    }

    /// Every state of the folder that a power cut may leave: any number of the unsynced changes of names are
    /// done, in order, and of the unsynced bytes none, half, all, or zeros in their place.
    fn after_a_cut(&self) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
        let bytes: [fn(&Contents) -> Vec<u8>; 4] = [
            |(_, synced)| synced.clone(),
            |(written, _)| written.clone(),
            |(written, synced)| match written.strip_prefix(&synced[..]) {
                Some(rest) => [&synced[..], &rest[..rest.len() / 2]].concat(),
                None => written.clone(),
            },
            |(written, synced)| {
                let mut bytes = synced.clone();
                bytes.resize(written.len().max(synced.len()), 0);
                bytes
            },
        ];
        let names = std::iter::once(&self.synced_names).chain(&self.unsynced);
        names
            .flat_map(|names| {
                bytes.map(|of| {
                    names.iter().map(|(name, &file)| (name.clone(), of(&self.files[file]))).collect()
                })
            })
            .collect()
    }
}

/// A small training: an evaluation, and with it a save, every second step.
fn config() -> Config {
    let text =
        "[model]\nhidden = [3]\nembed = 2\n[train]\nsteps = 5\neval_every = 2\nlog_every = 1\nmomentum = 0.9";
    let mut config = Config::from_toml(text, "test".as_ref()).unwrap();
    config.data.path = Some(charloom_testkit::fixture_path("data/words.txt"));
    config
}

fn begin(disk: Box<dyn Disk>, path: &Path, data: &Data) -> Result<()> {
    let mut run = RunFolder::create_on(disk, path, false)?;
    run.write_config(&config())?;
    let mut trainer = Trainer::new(&config(), data)?;
    trainer.diagnose()?;
    train::run(&mut trainer, &mut run, &AtomicBool::new(false), &mut train::Unwatched)?;
    run.write_samples("emma\n")
}

/// Resumes the training to its end; returns the step that it began with.
fn go_on(disk: Box<dyn Disk>, path: &Path, data: &Data) -> Result<u64> {
    let (mut run, checkpoint) = RunFolder::resume_on(disk, path)?;
    assert_eq!(run.warning(), None);
    let mut trainer = Trainer::resume(&checkpoint, data, path)?;
    trainer.diagnose()?;
    train::run(&mut trainer, &mut run, &AtomicBool::new(false), &mut train::Unwatched)?;
    run.write_samples("emma\n")?;
    Ok(checkpoint.step)
}

fn contents(path: &Path) -> Vec<Vec<u8>> {
    [BEST, LAST, METRICS, SAMPLES, DIAGNOSTICS].map(|name| fs::read(path.join(name)).unwrap()).to_vec()
}

fn has_temporaries(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| {
        entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(TEMPORARY))
    })
}

/// Checks that the run in `path` can be resumed to the same end or, if nothing was saved yet, started anew.
fn recovers(path: &Path, data: &Data, whole: &[Vec<u8>], must_be_there: bool) {
    if path.join(BEST).is_file() {
        Checkpoint::read(&path.join(BEST)).unwrap();
    }
    if must_be_there || path.join(LAST).exists() {
        go_on(Box::new(RealDisk), path, data).unwrap();
        assert!(contents(path) == whole, "another end");
    } else {
        assert!(RunFolder::resume(path).unwrap_err().to_string().contains("no run to resume"));
        RunFolder::create(path, true).unwrap();
    }
}

#[test]
fn any_failing_operation_leaves_a_run_that_goes_on() {
    let data = Data::load(&config().data, None).unwrap();
    let home = tempfile::tempdir().unwrap();
    begin(Box::new(RealDisk), &home.path().join("whole"), &data).unwrap();
    let whole = contents(&home.path().join("whole"));
    for for_good in [false, true] {
        for number in 0.. {
            let path = home.path().join(format!("{number}-{for_good}")).join("run");
            let disk = FaultyDisk { fault: Some((number, for_good)), ..FaultyDisk::default() };
            let outcome = begin(Box::new(disk.clone()), &path, &data);
            assert!(!has_temporaries(&path), "{number}");
            if disk.done.lock().unwrap().len() <= number {
                outcome.unwrap();
                assert!(number > 50, "only {number} operations");
                break;
            }
            let said = outcome.expect_err("a failing disk is told").to_string();
            assert!(said.contains("the test's fault") && said.contains("run"), "{said}");
            assert!(!said.contains('\n'), "{said}");
            recovers(&path, &data, &whole, false);
        }
    }
}

#[test]
fn a_failing_operation_while_resuming_leaves_a_run_that_goes_on() {
    let data = Data::load(&config().data, None).unwrap();
    let home = tempfile::tempdir().unwrap();
    begin(Box::new(RealDisk), &home.path().join("whole"), &data).unwrap();
    let whole = contents(&home.path().join("whole"));
    let cut = home.path().join("cut");
    let mut run = RunFolder::create(&cut, false).unwrap();
    let (mut trainer, stop) = (Trainer::new(&config(), &data).unwrap(), AtomicBool::new(false));
    trainer.diagnose().unwrap();
    train::run(&mut trainer, &mut run, &stop, &mut |_: &mut Trainer, event: &train::Event| {
        stop.store(matches!(event, train::Event::Step { step: 2, .. }), Ordering::Relaxed);
        Ok(())
    })
    .unwrap();
    drop(run);
    for number in 0.. {
        let path = home.path().join(number.to_string());
        fs::create_dir(&path).unwrap();
        for entry in fs::read_dir(&cut).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), path.join(entry.file_name())).unwrap();
        }
        let disk = FaultyDisk { fault: Some((number, false)), ..FaultyDisk::default() };
        let outcome = go_on(Box::new(disk.clone()), &path, &data);
        if disk.done.lock().unwrap().len() <= number {
            assert_eq!(outcome.unwrap(), 3);
            assert!(number > 20, "only {number} operations");
            break;
        }
        outcome.unwrap_err();
        recovers(&path, &data, &whole, true);
    }
}

#[test]
fn a_power_cut_after_any_operation_leaves_the_previous_checkpoint_or_the_new_one() {
    let data = Data::load(&config().data, None).unwrap();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let disk = FaultyDisk::default();
    begin(Box::new(disk.clone()), &path, &data).unwrap();
    let whole = contents(&path);
    let (last, done) = (path.join(LAST), disk.done.lock().unwrap().clone());
    let mut platter = Platter::default();
    let (mut ways, mut seen) = (0, BTreeSet::new());
    for operation in &done {
        platter.apply(operation);
        let saved = platter.synced_names.get(&last).map(|&file| &platter.files[file].1);
        let step = |bytes: &[u8]| Checkpoint::from_bytes(bytes, &last).unwrap().step;
        let saved = saved.map(|bytes| step(bytes));
        let mut left = platter.after_a_cut();
        left.sort();
        left.dedup();
        for files in left {
            if let Some(saved) = saved {
                assert!(step(&files[&last]) >= saved, "went back behind what was saved");
            }
            ways += 1;
            // A cut one operation earlier may have left the same.
            if !seen.insert((files.clone(), saved.is_some())) {
                continue;
            }
            fs::remove_dir_all(&path).unwrap();
            fs::create_dir(&path).unwrap();
            for (name, bytes) in &files {
                fs::write(name, bytes).unwrap();
            }
            recovers(&path, &data, &whole, saved.is_some());
        }
    }
    assert!(platter.unsynced.is_empty(), "names are not synced at the end");
    for (name, expected) in [BEST, LAST, METRICS, SAMPLES, DIAGNOSTICS].into_iter().zip(&whole) {
        let file = platter.synced_names[&path.join(name)];
        assert!(platter.files[file].1 == *expected, "{name} is not synced at the end");
    }
    println!("{ways} ways to lose power in {} operations, {} of them different", done.len(), seen.len());
    assert!(ways > done.len());
}
