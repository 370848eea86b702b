//! Diagnostics change no number of a training, survive its interruptions, and say what they should.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use charloom::Config;
use charloom::data::Data;
use charloom::files::RunFolder;
use charloom::inspect::RecordKind;
use charloom::models::Neural;
use charloom::train::{Event, Trainer, run};
use charloom_tensor::Tape;
use charloom_testkit::assert_close;

fn config(settings: &str) -> Config {
    let mut config = Config::from_toml(settings, "test".as_ref()).unwrap();
    config.data.path = Some(charloom_testkit::fixture_path("data/words.txt"));
    config
}

/// Trains in a folder of that name until so many updates are made; lowers the learning rate at step 7.
fn go(trainer: &mut Trainer, folder: &mut RunFolder, diagnose: bool, stop_at: u64) {
    if diagnose {
        trainer.diagnose().unwrap();
    }
    let stop = AtomicBool::new(false);
    run(trainer, folder, &stop, &mut |trainer: &mut Trainer, event: &Event| {
        if let Event::Step { step, .. } = event {
            if *step == 7 {
                trainer.scale_lr(0.1);
            }
            stop.store(step + 1 == stop_at, Ordering::Relaxed);
        }
        Ok(())
    })
    .unwrap();
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

#[test]
fn diagnostics_and_a_lowered_rate_survive_interruptions_and_change_nothing() {
    let home = tempfile::tempdir().unwrap();
    for model in ["[model]\nhidden = [9]\nnorm = 'batch'", "[model]\nhidden = [9]\ndropout = 0.3"] {
        let config =
            config(&format!("{model}\n[train]\nsteps = 200\neval_every = 40\nlog_every = 1\nbatch = 2048"));
        let data = Data::load(&config.data, None).unwrap();
        let start = |name: &str, diagnose, stop_at| {
            let path = home.path().join(name);
            let mut folder = RunFolder::create(&path, true).unwrap();
            go(&mut Trainer::new(&config, &data).unwrap(), &mut folder, diagnose, stop_at);
            path
        };
        let (plain, whole, cut) =
            (start("plain", false, 999), start("whole", true, 999), start("cut", true, 77));
        let (mut folder, checkpoint) = RunFolder::resume(&cut).unwrap();
        go(&mut Trainer::resume(&checkpoint, &data, &cut).unwrap(), &mut folder, true, 999);
        for name in ["metrics.jsonl", "best.safetensors", "last.safetensors"] {
            assert!(read(&plain, name) == read(&whole, name), "{name} differs with diagnostics, {model}");
            assert!(read(&whole, name) == read(&cut, name), "{name} differs after a stop, {model}");
        }
        assert!(read(&whole, "diagnostics.jsonl") == read(&cut, "diagnostics.jsonl"), "{model}");
        assert!(!plain.join("diagnostics.jsonl").exists());
        let steps: BTreeSet<u64> =
            RunFolder::records(&cut).unwrap().iter().map(|record| record.step).collect();
        assert!(steps.len() > 1 && steps.iter().any(|&step| step > 77), "{steps:?}");
        let rates: Vec<f64> = String::from_utf8(read(&cut, "metrics.jsonl"))
            .unwrap()
            .lines()
            .filter_map(|line| serde_json::from_str::<charloom::files::Metric>(line).unwrap().lr)
            .collect();
        assert_close(&[rates[7] / 10.0], &[rates[8]], 1e-9, 0.0);
    }
}

/// A weight, and the gradient of the mean loss of all examples there.
fn weight_and_gradient(model: &Neural, data: &Data, name: &str) -> (Vec<f32>, Vec<f32>) {
    let stack = model.stack().unwrap();
    let examples = data.splits.train.examples(stack.context).unwrap();
    let contexts: Vec<u32> = (0..examples.len()).flat_map(|i| examples.context(i)).collect();
    let targets: Vec<u32> = (0..examples.len()).map(|i| examples.target(i)).collect();
    let tape = Tape::with(&model.params);
    let contexts = tape.indices(&[targets.len(), stack.context], &contexts);
    let targets = tape.indices(&[targets.len()], &targets);
    stack.logits(&tape, contexts).cross_entropy(targets).backward();
    let id = model.params.find(name).unwrap();
    (model.params.read(id), tape.param(id).grad())
}

#[test]
fn an_update_ratio_is_the_learning_rate_times_the_gradients() {
    let config = config(
        "[model]\nhidden = [12]\n[train]\nsteps = 30\nbatch = 'full'\nlr = 0.25\nschedule = 'constant'",
    );
    let data = Data::load(&config.data, None).unwrap();
    let mut trainer = Trainer::new(&config, &data).unwrap();
    trainer.diagnose().unwrap();
    let (weight, gradient) = weight_and_gradient(trainer.model(), &data, "layers.2.weight");
    trainer.step().unwrap();
    let deviation = |numbers: &[f32]| {
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / numbers.len() as f64;
        let sum: f64 = numbers.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
        (sum / (numbers.len() - 1) as f64).sqrt()
    };
    let expected = (0.25 * deviation(&gradient) / deviation(&weight)).log10();
    let records = trainer.take_records();
    let record = records.iter().find(|record| record.layer == "layers.2.weight").unwrap();
    assert_eq!((record.kind, record.step), (RecordKind::Weight, 0));
    assert_close(&[record.update_ratio.unwrap()], &[expected], 1e-4, 0.0);
    assert!(trainer.take_records().is_empty());
}

#[test]
fn records_come_back_from_their_file_and_others_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let config = config("[model]\nhidden = [5]\n[train]\nsteps = 3");
    let data = Data::load(&config.data, None).unwrap();
    let mut trainer = Trainer::new(&config, &data).unwrap();
    trainer.diagnose().unwrap();
    trainer.step().unwrap();
    let records = trainer.take_records();
    let folder = RunFolder::create(&home.path().join("run"), false).unwrap();
    folder.log_records(&records).unwrap();
    assert_eq!(RunFolder::records(folder.path()).unwrap(), records);

    let path = folder.path().join("diagnostics.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 5]).unwrap();
    assert_eq!(RunFolder::records(folder.path()).unwrap().len(), records.len() - 1);
    fs::write(&path, format!("{{}}\n{text}")).unwrap();
    let refused = RunFolder::records(folder.path()).unwrap_err().to_string();
    assert!(refused.ends_with("line 1 is none that charloom wrote"), "{refused}");
    fs::write(&path, "x".repeat(1 << 20)).unwrap();
    assert!(RunFolder::records(folder.path()).is_err());
}
