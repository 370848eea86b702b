//! A training that begins with another's weights: what it takes over, what it says, what it refuses.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use charloom::data::Data;
use charloom::files::RunFolder;
use charloom::models::Neural;
use charloom::train::{FitOptions, Trainer, Unwatched, fit, run};
use charloom::{Checkpoint, Config};
use charloom_tensor::rng::TorchGenerator;

const MODELS: [&str; 3] = [
    "[model]\nembed = 3\nhidden = [8]\nnorm = 'batch'",
    "[model]\nembed = 0\nhidden = [5]\ncontext = 2",
    "[model]\nkind = 'wavenet'\ncontext = 4\nembed = 3\nhidden = 6",
];

fn config(model: &str, data: &Path) -> Config {
    let mut config = Config::from_toml(model, "test".as_ref()).unwrap();
    config.data.path = Some(data.to_path_buf());
    (config.train.steps, config.train.eval_every) = (4, Some(2));
    config
}

/// A file of words, and a run on it.
fn trained(home: &Path, model: &str, words: &str) -> (Data, Checkpoint) {
    let file = home.join("old.txt");
    fs::write(&file, words.repeat(4)).unwrap();
    let config = config(model, &file);
    let data = Data::load(&config.data, None).unwrap();
    drop(fs::remove_dir_all(home.join("old")));
    let mut folder = RunFolder::create(&home.join("old"), false).unwrap();
    let stop = AtomicBool::new(false);
    fit(&config, &data, &mut folder, FitOptions::default(), &stop, &mut Unwatched).unwrap();
    (data, Checkpoint::read(&home.join("old/best.safetensors")).unwrap())
}

fn warm(home: &Path, model: &str, words: &str) -> (Config, Data) {
    let file = home.join("new.txt");
    fs::write(&file, words.repeat(4)).unwrap();
    let mut config = config(model, &file);
    config.train.init_from = Some(home.join("old"));
    let data = Data::load(&config.data, None).unwrap();
    (config, data)
}

#[test]
fn the_same_characters_have_the_same_weights() {
    let home = tempfile::tempdir().unwrap();
    for model in MODELS {
        let (_, old) = trained(home.path(), model, "ab\nba\nabc\ncab\nbca\n");
        let (config, data) = warm(home.path(), model, "cb\nbc\nbac\n");
        let mut trainer = Trainer::new(&config, &data).unwrap();
        assert_eq!(trainer.new_characters(), []);
        assert_eq!(trainer.model().tensors(), old.tensors, "{model}");
    }
}

#[test]
fn new_characters_keep_what_was_drawn_for_them() {
    let home = tempfile::tempdir().unwrap();
    for model in MODELS {
        let (_, old) = trained(home.path(), model, "ac\nca\nacd\n");
        // Tokens: the boundary, a, b, c, d, e; of which b and e are new.
        let (config, data) = warm(home.path(), model, "ab\nbe\nacd\n");
        let mut trainer = Trainer::new(&config, &data).unwrap();
        assert_eq!(trainer.new_characters(), ['b', 'e']);
        let drawn = Neural::new(&config, 6, &mut TorchGenerator::new(config.train.seed)).unwrap().tensors();
        let old_token = [Some(0), Some(1), None, Some(2), Some(3), None];
        for ((now, drawn), old) in trainer.model().tensors().iter().zip(&drawn).zip(&old.tensors) {
            let [data, fresh, before] = [now, drawn, old].map(|tensor| tensor.as_f32().unwrap());
            if now.shape == old.shape {
                assert_eq!(data, before, "{}", now.name);
                continue;
            }
            // The vocabulary is along the rows, or along the columns as one-hot vectors of two characters.
            let by_rows = now.shape[0] == 6;
            let columns = now.shape.get(1).copied().unwrap_or(1);
            let old_columns = if by_rows { columns } else { columns / 6 * 4 };
            assert!(by_rows || (columns, old_columns) == (12, 8), "{}", now.name);
            for (i, &x) in data.iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let place = match by_rows {
                    true => old_token[row].map(|token| token * columns + column),
                    false => old_token[column % 6].map(|token| row * old_columns + column / 6 * 4 + token),
                };
                assert_eq!(x, place.map_or(fresh[i], |place| before[place]), "{} {i}", now.name);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let home = tempfile::tempdir().unwrap();
    let words = "ab\nba\nabc\n";
    let refused = |model: &str| {
        let (config, data) = warm(home.path(), model, words);
        Trainer::new(&config, &data).err().expect("refused").to_string()
    };
    trained(home.path(), MODELS[0], words);
    let said = refused("[model]\nembed = 3\nhidden = [9]\nnorm = 'batch'");
    assert!(said.contains("layers.0.weight is [8, 9] there and [9, 9] here, layers.1.weight"), "{said}");
    let said = refused("[model]\nembed = 3\nhidden = [8]");
    assert!(
        said.contains("layers.0.bias is only here") && said.contains("layers.1.running_var is only there"),
        "{said}"
    );
    let (config, data) = warm(home.path(), "[model]\nkind = 'ngram'", words);
    let mut folder = RunFolder::create(&home.path().join("counted"), false).unwrap();
    let stop = AtomicBool::new(false);
    let counted = fit(&config, &data, &mut folder, FitOptions::default(), &stop, &mut Unwatched);
    assert!(counted.unwrap_err().to_string().contains("``init_from``"));
    trained(home.path(), "[model]\nkind = 'ngram'\norder = 2", words);
    assert!(refused(MODELS[0]).contains("has no weights of its own to begin with"));
    fs::remove_dir_all(home.path().join("old")).unwrap();
    assert!(refused(MODELS[0]).contains("old"));
}

#[test]
fn it_is_resumed_without_the_run_that_it_began_from() {
    let home = tempfile::tempdir().unwrap();
    let model = "[model]\nembed = 3\nhidden = [8]\n[train]\nema = 0.5\noptimizer = 'adamw'";
    trained(home.path(), model, "ab\nba\nabc\n");
    let (config, data) = warm(home.path(), model, "ab\nbe\nabc\n");
    let stop = AtomicBool::new(false);
    let mut whole = RunFolder::create(&home.path().join("whole"), false).unwrap();
    run(&mut Trainer::new(&config, &data).unwrap(), &mut whole, &stop, &mut Unwatched).unwrap();
    let mut half = RunFolder::create(&home.path().join("half"), false).unwrap();
    run(&mut Trainer::new(&config, &data).unwrap(), &mut half, &AtomicBool::new(true), &mut Unwatched)
        .unwrap();
    drop(half);
    fs::remove_dir_all(home.path().join("old")).unwrap();
    let path = home.path().join("half");
    let (mut half, checkpoint) = RunFolder::resume(&path).unwrap();
    run(&mut Trainer::resume(&checkpoint, &data, &path).unwrap(), &mut half, &stop, &mut Unwatched).unwrap();
    for file in ["last.safetensors", "best.safetensors", "metrics.jsonl"] {
        assert!(
            fs::read(path.join(file)).unwrap() == fs::read(home.path().join("whole").join(file)).unwrap(),
            "{file}"
        );
    }
}
