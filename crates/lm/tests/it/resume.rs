//! A training that was interrupted, anywhere, ends as one that was not: the same bytes in every file.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use charloom::data::Data;
use charloom::data::Vocab;
use charloom::files::NamedTensor;
use charloom::files::{Metric, RunFolder, Timing};
use charloom::train::{End, Event, Trainer, run};
use charloom::{Checkpoint, Config};

const STEPS: u64 = 7;

/// One of each family, and of everything that has a state.
const MODELS: [&str; 17] = [
    "[model]\nkind = 'linear'\n[train]\nmomentum = 0.9",
    "[model]\nkind = 'linear'\ncontext = 1\n[train]\nbatch = 'full'\nlr = 10",
    "[model]\nhidden = [12]\ninit = 'unit-normal'",
    "[model]\nhidden = [9, 8]\nnorm = 'batch'\ninit = 'torch'\n[train]\nclip = 0.1\nmomentum = 0.5\npatience = 3",
    "[model]\nhidden = [12]\ndropout = 0.3\nactivation = 'gelu'\n[train]\noptimizer = 'adamw'\nschedule = 'cosine'",
    "[model]\nembed = 0\nnorm = 'layer'\nhidden = [5]\nactivation = 'relu'\ninit = 'unit-columns'",
    "[model]\nkind = 'wavenet'\ncontext = 4\nembed = 3\nhidden = 6\n[train]\nema = 0.9",
    "[model]\nhidden = [9, 8]\n[train]\noptimizer = 'muon'\nlr = 0.01\nweight_decay = 0.1\nema = 0.5",
    "[model]\nhidden = [6]\ndropout = 0.2\n[train]\nmomentum = 0.9\nnesterov = true\naccumulate = 3\nclip_value = 0.01",
    "[model]\nhidden = [6]\n[train]\noptimizer = 'rmsprop'\nlr = 0.01\nweight_decay = 0.1\ndecay_on = 'matrices'",
    "[model]\nhidden = [12]\n[train]\nschedule = 'cosine'\nlr_min = 0.01\nwarmup_steps = 2",
    "[model]\nkind = 'gru'\nhidden = 8\nlayers = 2\ndropout = 0.2\nrecurrent_dropout = 0.1\n[train]\nbatch = 4",
    "[model]\nkind = 'lstm'\nhidden = 8\nembed = 0\ncontext = 97\n[train]\nbatch = 8\nfeed = 'streams'\nclip = 1.0",
    "[model]\nkind = 'transformer'\nlayers = 2\nheads = 2\nembed = 8\ndropout = 0.2\nattention_dropout = 0.1\n[train]\noptimizer = 'adamw'",
    "[model]\nkind = 'bow'\nembed = 6\nhidden = 5\ncontext = 4",
    "[model]\nkind = 'rnn'\nhidden = 8\nembed = 4\ncontext = 20\ndropout = 0.1\n[train]\nbatch = 5\nfeed = 'random'",
    "[model]\nkind = 'transformer'\nlayers = 1\nheads = 2\nembed = 8\ncontext = 16\npositions = 'rotary'\n\
     embed_dropout = 0.1\n[train]\nbatch = 3\nfeed = 'random'\naccumulate = 2\nema = 0.9",
];

fn config(model: &str) -> Config {
    let mut config = Config::from_toml(model, "test".as_ref()).unwrap();
    let data = if model.contains("feed") { "data/harbour.txt" } else { "data/words.txt" };
    config.data.path = Some(charloom_testkit::fixture_path(data));
    config.train.steps = STEPS;
    config.train.eval_every = Some(3);
    config.train.log_every = Some(1);
    config
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    ["metrics.jsonl", "best.safetensors", "last.safetensors"]
        .map(|name| (name.to_owned(), fs::read(folder.join(name)).unwrap()))
        .to_vec()
}

/// Runs until `stop_at` updates are made, or the end.
fn go(trainer: &mut Trainer, folder: &mut RunFolder, stop_at: u64) -> End {
    let stop = AtomicBool::new(stop_at == 0);
    let mut observe = |_: &mut Trainer, event: &Event| {
        // The event of step k comes before the flag is looked at for step k + 1.
        if matches!(event, Event::Step { step, .. } if step + 1 == stop_at) {
            stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    };
    run(trainer, folder, &stop, &mut observe).unwrap().end
}

#[test]
fn resumed_at_every_step_equals_undisturbed() {
    for model in MODELS {
        println!("{model}");
        let config = config(model);
        let data = Data::load(&config.data, None).unwrap();
        let home = tempfile::tempdir().unwrap();
        let whole = home.path().join("whole");
        let mut folder = RunFolder::create(&whole, false).unwrap();
        let end = go(&mut Trainer::new(&config, &data).unwrap(), &mut folder, STEPS + 1);
        assert_eq!(end, End::Finished);
        let whole = files(&whole);

        for k in 0..=STEPS {
            let path = home.path().join(format!("stopped-{k}"));
            let mut folder = RunFolder::create(&path, false).unwrap();
            let end = go(&mut Trainer::new(&config, &data).unwrap(), &mut folder, k);
            assert_eq!(end, End::Stopped, "at {k}");
            drop(folder);
            let (mut folder, checkpoint) = RunFolder::resume(&path).unwrap();
            assert_eq!(checkpoint.step, k);
            // Stopped before the evaluation of step k, it leaves that to the resumed run.
            let is_owed = k % 3 == 0 || k == STEPS;
            assert_eq!(checkpoint.state("evaluation.owed").is_some(), is_owed, "at {k}");
            assert_eq!(
                Metric::read_all(&path).unwrap().iter().filter(|m| m.split == "val" && m.step == k).count(),
                0
            );
            let mut trainer = Trainer::resume(&checkpoint, &data, &path).unwrap();
            assert_eq!(trainer.steps_done(), k);
            assert_eq!(go(&mut trainer, &mut folder, STEPS + 1), End::Finished);
            for ((name, bytes), (_, expected)) in files(&path).iter().zip(&whole) {
                assert!(bytes == expected, "{name} differs when stopped at step {k} of {model}");
            }
        }
    }
}

#[test]
fn the_time_of_all_sittings_is_added_up_without_the_time_of_who_watches() {
    let config = config(MODELS[0]);
    let data = Data::load(&config.data, None).unwrap();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let mut folder = RunFolder::create(&path, false).unwrap();
    let begun = Instant::now();
    go(&mut Trainer::new(&config, &data).unwrap(), &mut folder, 4);
    drop(folder);
    let first = Timing::read(&path).unwrap();
    assert_eq!(first.steps, 4);
    let (mut folder, checkpoint) = RunFolder::resume(&path).unwrap();
    let mut trainer = Trainer::resume(&checkpoint, &data, &path).unwrap();
    let mut watched = Duration::ZERO;
    run(&mut trainer, &mut folder, &AtomicBool::new(false), &mut |_: &mut Trainer, _: &Event| {
        let since = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        watched += since.elapsed();
        Ok(())
    })
    .unwrap();
    let whole = Timing::read(&path).unwrap();
    assert_eq!(whole.steps, STEPS);
    assert!(watched > Duration::from_millis(50));
    // Each is rounded once.
    let most = (begun.elapsed() - watched).as_secs_f64() + 2e-6;
    assert!(first.seconds > 0.0 && (first.seconds..most).contains(&whole.seconds), "{whole:?}, {most}");
}

#[test]
fn a_diverging_run_keeps_its_last_good_state() {
    // Found by the evaluation, and between two.
    for (eval_every, found) in [(3, "not a number"), (1000, "the loss is ")] {
        let mut config = config(MODELS[2]);
        config.model.set("output_scale", 1000.0);
        config.train.weight_decay = 1000.0;
        (config.train.lr, config.train.steps, config.train.eval_every) = (1e4, 10_000, Some(eval_every));
        let data = Data::load(&config.data, None).unwrap();
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run");
        let mut folder = RunFolder::create(&path, false).unwrap();
        let mut trainer = Trainer::new(&config, &data).unwrap();
        let error = run(&mut trainer, &mut folder, &AtomicBool::new(false), &mut charloom::train::Unwatched)
            .unwrap_err()
            .to_string();
        let place = path.to_str().unwrap();
        for words in [found, "step ", "``lr`` lower than 10000", place] {
            assert!(error.contains(words) && !error.contains('\n'), "{error}");
        }
        let last = Checkpoint::read(&path.join("last.safetensors")).unwrap();
        assert!(last.step < trainer.steps_done());
        charloom::models::Neural::from_checkpoint(&last, &path).unwrap();
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let config = config(MODELS[0]);
    let data = Data::load(&config.data, None).unwrap();
    let mut trainer = Trainer::new(&config, &data).unwrap();
    let whole = trainer.checkpoint().unwrap();
    let refusal = |checkpoint: &Checkpoint| {
        let refused = Trainer::resume(checkpoint, &data, "last".as_ref());
        refused.err().expect("refused").to_string()
    };
    assert!(refusal(&trainer.weights().unwrap()).contains("the state has no generator.words"));
    for (i, tensor) in whole.state.iter().enumerate() {
        let mut without = whole.clone();
        without.state.remove(i);
        let name = tensor.name.as_str();
        let mut other = whole.clone();
        other.state[i] = NamedTensor::u8(name, &[2], vec![1, 2]);
        for checkpoint in [without, other] {
            let said = refusal(&checkpoint);
            assert!(said.contains(name) && said.contains("last.safetensors"), "{name}: {said}");
        }
    }
    let mut broken = whole.clone();
    broken.tensors[0].shape.reverse();
    broken.tensors[0].shape.push(1);
    assert!(refusal(&broken).contains("layers.0.weight is"));
    let strange = Checkpoint { vocab: Vocab::new(data.vocab.mode(), "xyz".chars()), ..whole.clone() };
    assert!(refusal(&strange).contains("other characters"));
    assert!(Trainer::resume(&whole, &data, "last".as_ref()).is_ok());
}

#[test]
fn patience_ends_a_run_that_gets_no_better() {
    let mut config = config(MODELS[2]);
    (config.train.lr, config.train.patience, config.train.steps) = (0.0, 2, 100);
    let data = Data::load(&config.data, None).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut folder = RunFolder::create(&home.path().join("run"), false).unwrap();
    let mut trainer = Trainer::new(&config, &data).unwrap();
    let outcome =
        run(&mut trainer, &mut folder, &AtomicBool::new(false), &mut charloom::train::Unwatched).unwrap();
    assert_eq!((outcome.end, outcome.step), (End::OutOfPatience, 6));
    assert_eq!(outcome.best.map(|(_, step)| step), Some(0));
}

#[test]
fn a_training_of_long_steps_is_saved_after_ten_seconds_too() {
    let mut config = config(MODELS[0]);
    (config.train.steps, config.train.eval_every, config.train.log_every) = (5, Some(100), Some(1));
    let data = Data::load(&config.data, None).unwrap();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let mut folder = RunFolder::create(&path, false).unwrap();
    let mut trainer = Trainer::new(&config, &data).unwrap();
    let mut saved = Vec::new();
    let mut watch = |_: &mut Trainer, event: &Event| {
        if let Event::Step { step, .. } = event {
            saved.push(Checkpoint::read(&path.join("last.safetensors")).unwrap().step);
            if *step == 2 {
                std::thread::sleep(Duration::from_millis(10_100));
            }
        }
        Ok(())
    };
    run(&mut trainer, &mut folder, &AtomicBool::new(false), &mut watch).unwrap();
    assert_eq!(saved, [0, 0, 0, 3, 3]);
}

#[test]
fn parameters_that_are_not_finite_are_not_saved() {
    let config = config("[model]\nkind = 'linear'\n[train]\nlr = 1e30\nweight_decay = 1000");
    let data = Data::load(&config.data, None).unwrap();
    let mut trainer = Trainer::new(&config, &data).unwrap();
    trainer.step().unwrap();
    trainer.checkpoint().unwrap();
    trainer.step().unwrap();
    let said = trainer.checkpoint().unwrap_err().to_string();
    assert!(said.contains("not all numbers in layers.0.weight are finite"), "{said}");
}
