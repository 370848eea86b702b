use super::*;
use crate::evaluation::evaluate;
use crate::train::{FitOptions, Unwatched, fit};

/// Two runs on words, trained for a moment.
fn runs(home: &Path, second: &str) -> Vec<PathBuf> {
    runs_of(home, ["[model]\nhidden = [16]\n[train]\nsteps = 300", second])
}

fn runs_of(home: &Path, tomls: [&str; 2]) -> Vec<PathBuf> {
    tomls
        .iter()
        .enumerate()
        .map(|(i, toml)| {
            let mut config = Config::from_toml(toml, "run.toml".as_ref()).unwrap();
            config.data.path.get_or_insert(charloom_testkit::fixture_path("data/words.txt"));
            let data = crate::load_data(&mut config).unwrap();
            let path = home.join(format!("run-{i}"));
            let mut folder = RunFolder::create(&path, false).unwrap();
            let stop = std::sync::atomic::AtomicBool::new(false);
            fit(&config, &data, &mut folder, FitOptions::default(), &stop, &mut Unwatched).unwrap();
            path
        })
        .collect()
}

const NGRAM: &str = "[model]\nkind = 'ngram'\norder = 3";

#[test]
fn a_mixture_is_saved_and_read_and_mixed_again() {
    let home = tempfile::tempdir().unwrap();
    let runs = runs(home.path(), NGRAM);
    let mut mixed = mix(&runs, &Weights::Fitted, None, &mut |_| Ok(())).unwrap();
    let loss = mixed.evaluation.unwrap().loss;
    assert!(mixed.members.iter().all(|member| loss < member.evaluation.unwrap().loss), "{loss}");
    let out = home.path().join("mixture");
    mixed.save(&mut RunFolder::create(&out, false).unwrap()).unwrap();
    let file = files::model_file(&out).unwrap();
    let checkpoint = Checkpoint::read(&file).unwrap();
    let model = models::open(&checkpoint, &file).unwrap();
    assert_eq!(evaluate(&*model, &mixed.data.splits.val).unwrap().unwrap().loss, loss);
    // A configuration that was written is read back.
    assert_eq!(Config::read(&out.join("config.toml")).unwrap(), checkpoint.config);
    let weights = Weights::Given(vec![0.25, 0.75]);
    let again = mix(&[out, runs[1].clone()], &weights, None, &mut |_| Ok(())).unwrap();
    let bytes = again.checkpoint.to_bytes().unwrap();
    let read = Checkpoint::from_bytes(&bytes, Path::new("m")).unwrap();
    let model = models::open(&read, Path::new("m")).unwrap();
    assert_eq!(evaluate(&*model, &mixed.data.splits.val).unwrap(), again.evaluation);
    // The tensors must be those of the members.
    for (from, to, said) in [
        (
            "members.0.members.1.ngram.counts",
            "members.0.members.1.counts",
            "member 0: member 1: an n-gram model has",
        ),
        (
            "members.1.ngram.counts",
            "members.2.ngram.counts",
            "members.2.ngram.counts belongs to none of the 2",
        ),
        ("members.0.members.0.layers.0.weight", "members.0.members.0.x", "layers.0.weight is missing"),
    ] {
        let mut broken = read.clone();
        broken.tensors.iter_mut().find(|tensor| tensor.name == from).unwrap().name = to.to_owned();
        let error = models::open(&broken, Path::new("m")).err().expect("refused").to_string();
        assert!(error.contains(said), "{error}");
    }
}

fn refusal(second: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let error =
        mix(&runs(home.path(), second), &Weights::Equal, None, &mut |_| Ok(())).err().expect("refused");
    error.to_string().replace(&home.path().display().to_string(), "")
}

#[test]
fn runs_of_other_data_splits_or_characters_are_refused() {
    let said = refusal(&format!("[data]\nsplit_seed = 7\n{NGRAM}"));
    assert!(said.contains("/run-1: was trained with data.split_seed = 7, /run-0 with 42"), "{said}");
    let said = refusal(&format!("[data]\nmode = 'text'\n{NGRAM}"));
    assert!(said.contains("is a model of text, /run-0 of lines"), "{said}");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("other.txt");
    std::fs::write(&file, "emma\nanna\nzo\u{eb}\nava\nmia\nlea\nina\nleo\nkim\nela\n").unwrap();
    let said = refusal(&format!("[data]\npath = '{}'\n{NGRAM}", file.display()));
    assert!(said.contains("has \"\u{eb}\" more than /run-0") && said.contains("lacks \"bcdfg"), "{said}");
}

#[test]
fn runs_that_are_validated_on_one_file_may_have_learned_from_several() {
    let home = tempfile::tempdir().unwrap();
    let words = std::fs::read_to_string(charloom_testkit::fixture_path("data/words.txt")).unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let [more, val] = [file("more.txt", &format!("{words}emma\n")), file("val.txt", "emma\nanna\nava\n")];
    let other = file("other.txt", "emma\nanna\nlea\n");
    let words = charloom_testkit::fixture_path("data/words.txt").display().to_string();
    let counts = |path: &str, val: &str| format!("[data]\npath = '{path}'\nval = '{val}'\n{NGRAM}");
    let mixed = |tomls: [&str; 2]| {
        let home = tempfile::tempdir().unwrap();
        mix(&runs_of(home.path(), tomls), &Weights::Equal, None, &mut |_| Ok(()))
            .map(|mixed| mixed.evaluation.unwrap().examples)
    };
    assert_eq!(mixed([&counts(&words, &val), &counts(&more, &val)]).unwrap(), 14);
    let said = mixed([&counts(&words, &val), &counts(&words, &other)]).expect_err("refused").to_string();
    assert!(said.contains("was trained with data.val_sha256 = "), "{said}");
    let said = mixed([&counts(&words, &val), NGRAM]).expect_err("refused").to_string();
    assert!(said.contains("was trained with data.val_sha256 = unset"), "{said}");
}

#[test]
fn weights_are_one_for_each_and_sum_to_1() {
    let home = tempfile::tempdir().unwrap();
    let runs = runs(home.path(), NGRAM);
    for (weights, said) in [
        (vec![1.0], "has 1 numbers for 2 runs"),
        (vec![0.3, 0.3], "sum, 0.6"),
        (vec![-0.5, 1.5], "from 0 to 1"),
    ] {
        let error =
            mix(&runs, &Weights::Given(weights), None, &mut |_| Ok(())).err().expect("refused").to_string();
        assert!(error.contains(said), "{error}");
    }
    assert!(mix(&runs[..1], &Weights::Equal, None, &mut |_| Ok(())).is_err());
}
