use std::path::Path;

use super::*;
use crate::config::{Batch, ModelConfig};
use crate::data::Data;
use crate::feed::{Feed, Shape};
use crate::train::{FitOptions, Trainer, Unwatched, fit};
use crate::{Config, files::RunFolder, load_data};

/// A configuration on words, or on them as one text, its data, and an n-gram teacher of this order.
fn config_with_teacher(home: &Path, settings: &str, order: usize) -> (Config, Data) {
    let mut config = Config::from_toml(settings, "run.toml".as_ref()).unwrap();
    config.data.path = Some(charloom_testkit::fixture_path("data/words.txt"));
    let path = home.join(format!("teacher-{order}"));
    let mut of_teacher = config.clone();
    of_teacher.model = ModelConfig::of("ngram").with("order", order);
    of_teacher.train.feed = None;
    let data = load_data(&mut of_teacher).unwrap();
    let mut folder = RunFolder::create(&path, true).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    fit(&of_teacher, &data, &mut folder, FitOptions::default(), &stop, &mut Unwatched).unwrap();
    config.train.teacher = Some(TeacherConfig { path, sha256: None, weight: 0.25, temperature: 1.0 });
    let data = load_data(&mut config).unwrap();
    (config, data)
}

/// A model's log-probabilities of the next token, after `first` and `before`.
fn log_probs(model: &dyn LanguageModel, first: u32, before: &[u32]) -> Vec<f64> {
    let mut reader = model.reader();
    let mut state = reader.start(1, first);
    before.iter().for_each(|&token| reader.read(&mut state, &[token]));
    let mut out = vec![0.0; model.vocab_size()];
    reader.log_probs(&state, &mut out);
    out.into_iter().map(f64::from).collect()
}

/// Where in the text each block of a batch begins, and the length of all.
fn blocks(feed: &dyn Feed, text: &[u32]) -> (Vec<usize>, usize) {
    let (blocks, length, by_place) = match feed.shape() {
        Shape::Blocks { sequences, length } => (sequences, length, false),
        Shape::Streams { streams, length, .. } => (streams, length, true),
        other => panic!("{other:?}"),
    };
    let at = |b: usize, t: usize| feed.input(0)[if by_place { t * blocks + b } else { b * length + t }];
    let of = |b: usize| -> usize {
        let tokens: Vec<u32> = (0..length).map(|t| at(b, t)).collect();
        let mut found = text.windows(length).enumerate().filter(|(_, window)| *window == tokens);
        let (offset, _) = found.next().expect("a block of the text");
        assert!(found.next().is_none(), "it is there once");
        offset
    };
    ((0..blocks).map(of).collect(), length)
}

#[test]
fn the_loss_is_in_part_that_under_the_teachers_distributions() {
    let home = tempfile::tempdir().unwrap();
    let transformer = "kind = 'transformer'\nlayers = 1\nheads = 2\nembed = 8\ninit_std = 0.3";
    for (mode, model, train, order, temperature) in [
        ("lines", "hidden = [8]\ncontext = 2", "batch = 'full'", 3, 1.0),
        ("lines", "hidden = [8]\ncontext = 2", "batch = 'full'", 6, 2.5),
        ("text", "hidden = [8]\ncontext = 2", "batch = 'full'", 5, 1.0),
        ("lines", "kind = 'gru'\nhidden = 8", "batch = 'full'", 4, 1.5),
        ("lines", transformer, "batch = 'full'", 4, 1.0),
        // A context below the words' length, so that windows slide.
        ("lines", &format!("{transformer}\ncontext = 3"), "batch = 'full'", 5, 0.5),
        ("lines", "kind = 'bow'\nembed = 8\nhidden = 8", "batch = 'full'", 3, 1.0),
        ("text", &format!("{transformer}\ncontext = 20"), "batch = 3", 4, 1.0),
        ("text", "kind = 'bow'\nembed = 8\nhidden = 8\ncontext = 20", "batch = 3", 4, 1.5),
        ("text", "kind = 'lstm'\nhidden = 8\ncontext = 20", "batch = 3", 4, 1.0),
        ("text", "kind = 'rnn'\nhidden = 8\ncontext = 20", "batch = 3\nfeed = 'random'", 4, 2.0),
    ] {
        let toml = format!("[data]\nmode = '{mode}'\n[model]\n{model}\n[train]\n{train}");
        let (mut config, data) = config_with_teacher(home.path(), &toml, order);
        config.train.teacher.as_mut().unwrap().temperature = temperature;
        let mut trainer = Trainer::new(&config, &data).unwrap();
        let file = files::model_file(&config.train.teacher.as_ref().unwrap().path).unwrap();
        let teacher = models::open(&Checkpoint::read(&file).unwrap(), &file).unwrap();
        let untrained = Trainer::new(&config, &data).unwrap().into_model();
        let loss = f64::from(trainer.step().unwrap());
        let (mut total, mut scored) = (0.0, 0);
        // `read` is what the student and the teacher have read before the target; the student may have begun
        // later.
        let mut add = |read: [&[u32]; 2], target: u32| {
            let [own, taught] = [(&untrained as &dyn LanguageModel, read[0]), (&*teacher, read[1])]
                .map(|(model, read)| log_probs(model, read[0], &read[1..]));
            let evened: Vec<f64> = taught.iter().map(|q| (q / temperature).exp()).collect();
            let sum: f64 = evened.iter().sum();
            let soft: f64 = own.iter().zip(&evened).map(|(p, q)| -q / sum * p).sum();
            total += 0.75 * -own[target as usize] + 0.25 * soft;
            scored += 1;
        };
        let text = data.splits.train.tokens().to_vec();
        match (data.splits.train.boundary(), &untrained.net) {
            (Some(boundary), _) => {
                for word in text.split_inclusive(|&token| token == boundary) {
                    let word = [&[boundary], word].concat();
                    (1..word.len()).for_each(|at| add([&word[..at]; 2], word[at]));
                }
            }
            (None, models::Net::Window(_)) => (2..text.len()).for_each(|at| add([&text[..at]; 2], text[at])),
            (None, _) => {
                let (offsets, length) = blocks(&*trainer.feed, &text);
                for from in offsets {
                    (from + 1..=from + length).for_each(|at| add([&text[from..at], &text[..at]], text[at]));
                }
            }
        }
        let expected = total / f64::from(scored);
        assert!((loss - expected).abs() < 1e-5 * expected, "{toml}: {loss}, not {expected}");
    }
}

#[test]
fn a_teacher_gives_a_long_text_the_probabilities_of_an_evaluation() {
    let home = tempfile::tempdir().unwrap();
    // In windows of 20 characters that slide by 5; and by 6, beside a state that is carried.
    let transformer = "kind = 'transformer'\nlayers = 1\nheads = 2\nembed = 8\ninit_std = 0.5";
    let [fives, sixes] = ["context = 20", "context = 24"].map(|context| format!("{transformer}\n{context}"));
    let mut teachers = Vec::new();
    for model in ["kind = 'gru'\nhidden = 6", &fives, &sixes] {
        let toml = format!("[data]\nmode = 'text'\n[model]\n{model}\n[train]\nbatch = 4");
        let (config, data) = config_with_teacher(home.path(), &toml, 3);
        teachers.push((Trainer::new(&config, &data).unwrap().into_model(), config, data));
    }
    let (_, config, data) = &teachers[0];
    let (vocab, config) = (data.vocab.clone(), config.data.clone());
    let tokens: Vec<u32> = data.splits.train.tokens().iter().cycle().take(5000).collect();
    let text = vocab.decode(&tokens);
    let long = crate::data::Corpus::from_bytes("long", text.as_bytes(), &config).unwrap();
    let split = crate::data::Split::of(&long, &vocab).unwrap();
    let [gru, fives, sixes]: [Box<dyn LanguageModel>; 3] = teachers
        .into_iter()
        .map(|(model, ..)| Box::new(model) as _)
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .unwrap();
    let is_as_evaluated = |teacher: &dyn LanguageModel, what: &str| {
        let inputs = TeacherInputs::of_text(&split);
        assert_eq!(inputs.count, 4999);
        let table = soft_targets(teacher, &inputs, 1.0).unwrap();
        let scores = teacher.score_split(&split, &mut |_| Ok(())).unwrap();
        for (at, score) in scores.iter().enumerate() {
            let p = table[at * vocab.len() + split.tokens().at(at + 1) as usize];
            assert!((p.ln() - score).abs() < 1e-4, "{what} at {at}: {} and {score}", p.ln());
        }
    };
    is_as_evaluated(&*gru, "gru");
    is_as_evaluated(&*fives, "transformer");
    is_as_evaluated(&models::Mixture::new(vec![(0.5, gru), (0.3, fives), (0.2, sixes)]), "mixture");
}

#[test]
fn a_training_with_a_teacher_resumes_to_the_same_bits_and_only_with_the_same_teacher() {
    let home = tempfile::tempdir().unwrap();
    let (config, data) = config_with_teacher(home.path(), "[model]\nhidden = [64]\n[train]\nsteps = 40", 4);
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
    let (_, _) = config_with_teacher(home.path(), "[data]\nsplit_seed = 7", 4);
    let refused = Trainer::resume(&half, &data, "half".as_ref()).err().expect("refused").to_string();
    assert!(refused.contains("is another file than the teacher"), "{refused}");
    let mut again = config;
    assert!(load_data(&mut again).unwrap_err().to_string().contains("is another file"));
}

#[test]
fn what_cannot_teach_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (mut config, data) = config_with_teacher(home.path(), "[model]\nhidden = [8]", 3);
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
    config.train.teacher =
        Some(TeacherConfig { path: home.path().join("none"), sha256: None, weight: 0.5, temperature: 1.0 });
    assert!(load_data(&mut config).is_err());
}

#[test]
fn soft_targets_that_do_not_fit_into_memory_are_refused_before_the_teacher_is_read() {
    assert!(check_memory(5_000_000, 65, Some(2 << 30)).is_ok() && check_memory(usize::MAX, 65, None).is_ok());
    let said = check_memory(5_000_000, 65, Some(1 << 30)).unwrap_err().to_string();
    let count = "``teacher`` has 5000000 distributions of 65 characters to give";
    assert_eq!(
        said,
        format!("{count}, which take about 1258 MiB of memory, and 1024 MiB are free; use less text")
    );
}
