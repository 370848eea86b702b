use std::path::Path;

use super::*;
use crate::config::{Batch, ModelConfig};
use crate::data::Data;
use crate::train::{Fit, Trainer, Unwatched, fit};
use crate::{Config, files::RunFolder, load_data};

/// A configuration on words or on them as a text, its data, and a teacher that looks at `order - 1` characters.
fn class(home: &Path, settings: &str, order: usize) -> (Config, Data) {
    let mut config = Config::from_toml(settings, "run.toml".as_ref()).unwrap();
    config.data.path = Some(charloom_testkit::fixture_path("data/words.txt"));
    let path = home.join(format!("teacher-{order}"));
    let mut of_teacher = config.clone();
    of_teacher.model = ModelConfig::of("ngram").with("order", order);
    let data = load_data(&mut of_teacher).unwrap();
    let mut folder = RunFolder::create(&path, true).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    fit(&of_teacher, &data, &mut folder, Fit::default(), &stop, &mut Unwatched).unwrap();
    config.train.teacher = Some(TeacherConfig { path, sha256: None, weight: 0.25 });
    let data = load_data(&mut config).unwrap();
    (config, data)
}

/// -log softmax(logits), of a model after some tokens.
fn log_probs(model: &dyn LanguageModel, first: u32, before: &[u32]) -> Vec<f64> {
    let mut reader = model.reader();
    let mut state = reader.start(1, first);
    before.iter().for_each(|&token| reader.read(&mut state, &[token]));
    let mut out = vec![0.0; model.vocab_size()];
    reader.log_probs(&state, &mut out);
    out.into_iter().map(f64::from).collect()
}

#[test]
fn the_loss_is_in_part_that_under_the_teachers_distributions() {
    let home = tempfile::tempdir().unwrap();
    for (mode, order) in [("lines", 3), ("lines", 6), ("text", 5)] {
        let toml =
            format!("[data]\nmode = '{mode}'\n[model]\nhidden = [8]\ncontext = 2\n[train]\nbatch = 'full'");
        let (config, data) = class(home.path(), &toml, order);
        let mut trainer = Trainer::new(&config, &data).unwrap();
        let file = files::model_file(&config.train.teacher.as_ref().unwrap().path).unwrap();
        let teacher = models::open(&Checkpoint::read(&file).unwrap(), &file).unwrap();
        let pupil = trainer.model();
        let tokens = data.splits.train.tokens();
        let (mut total, mut judged) = (0.0, 0);
        let mut add = |first, before: &[u32], target: u32| {
            let [own, taught] = [pupil as &dyn LanguageModel, &*teacher].map(|m| log_probs(m, first, before));
            let soft: f64 = own.iter().zip(&taught).map(|(p, q)| -q.exp() * p).sum();
            total += 0.75 * -own[target as usize] + 0.25 * soft;
            judged += 1;
        };
        match data.splits.train.boundary() {
            Some(boundary) => {
                for word in tokens.split_inclusive(|&token| token == boundary) {
                    (0..word.len()).for_each(|at| add(boundary, &word[..at], word[at]));
                }
            }
            None => (2..tokens.len()).for_each(|at| add(tokens[0], &tokens[1..at], tokens[at])),
        }
        let loss = f64::from(trainer.step().unwrap());
        let expected = total / f64::from(judged);
        assert!((loss - expected).abs() < 1e-5 * expected, "{mode} {order}: {loss}, not {expected}");
    }
}

#[test]
fn a_training_with_a_teacher_resumes_to_the_same_bits_and_only_with_the_same_teacher() {
    let home = tempfile::tempdir().unwrap();
    let (config, data) = class(home.path(), "[model]\nhidden = [64]\n[train]\nsteps = 40", 4);
    let teacher = config.train.teacher.clone().unwrap();
    assert_eq!(teacher.sha256.as_ref().map(String::len), Some(64));
    let mut whole = Trainer::new(&config, &data).unwrap();
    for _ in 0..20 {
        whole.step().unwrap();
    }
    let half = whole.checkpoint().unwrap();
    assert_eq!(half.config.train.teacher, config.train.teacher);
    let mut resumed = Trainer::resume(&half, &data, "half".as_ref()).unwrap();
    let losses = |trainer: &mut Trainer| (0..20).map(|_| trainer.step().unwrap()).collect::<Vec<_>>();
    assert_eq!(losses(&mut whole), losses(&mut resumed));
    assert_eq!(whole.checkpoint().unwrap(), resumed.checkpoint().unwrap());
    let mut alone = config.clone();
    alone.train.teacher = None;
    let mut alone = Trainer::new(&alone, &data).unwrap();
    assert_ne!(alone.step().unwrap(), Trainer::new(&config, &data).unwrap().step().unwrap());
    // Another file in its place.
    let (_, _) = class(home.path(), "[data]\nsplit_seed = 7", 4);
    let refused = Trainer::resume(&half, &data, "half".as_ref()).err().expect("refused").to_string();
    assert!(refused.contains("is another file than the teacher"), "{refused}");
    let mut again = config;
    assert!(load_data(&mut again).unwrap_err().to_string().contains("is another file"));
}

#[test]
fn what_cannot_teach_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (mut config, data) = class(home.path(), "[model]\nhidden = [8]", 3);
    let refused =
        |config: &Config, data: &Data| Trainer::new(config, data).err().expect("refused").to_string();
    let mut other = config.clone();
    other.data.path = None;
    (other.data.sha256, other.train.batch) = (None, Batch::Size(4));
    let names = load_data(&mut other).unwrap();
    if names.vocab != data.vocab {
        assert!(refused(&other, &names).contains("knows other characters"));
    }
    config.train.teacher.as_mut().unwrap().weight = 1.5;
    assert!(config.validate().unwrap_err().to_string().starts_with("``teacher_weight`` 1.5"));
    config.train.teacher = Some(TeacherConfig { path: home.path().join("none"), sha256: None, weight: 0.5 });
    assert!(load_data(&mut config).is_err());
}
