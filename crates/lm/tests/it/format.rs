//! Model files of format 1, which wrote the settings of every kind of model, are still read.

use charloom::data::Data;
use charloom::evaluation::evaluate;
use charloom::models::open;
use charloom::train::Trainer;
use charloom::{Checkpoint, models};
use charloom_testkit::fixture_path;

#[test]
fn files_of_format_1_give_the_losses_that_they_gave() {
    for (name, setting, loss) in [
        ("mlp", "hidden", 2.982_115_934_972_889),
        ("linear", "context", 3.238_439_385_205_099),
        ("ngram", "order", 2.297_253_892_438_052_3),
    ] {
        let path = fixture_path(&format!("format-1/{name}.safetensors"));
        let checkpoint = Checkpoint::read(&path).unwrap();
        assert_eq!(checkpoint.config.model.kind, name);
        assert!(checkpoint.config.model.get(setting).is_some());
        models::check(&checkpoint.config.model).unwrap();
        let model = open(&checkpoint, &path).unwrap();
        let mut config = checkpoint.config.data.clone();
        config.path = Some(fixture_path("data/words.txt"));
        let data = Data::load(&config, Some(checkpoint.vocab.clone())).unwrap();
        let found = evaluate(&*model, &data.splits.val).unwrap().unwrap().loss;
        assert!((found - loss).abs() < 1e-7, "{name}: {found} instead of {loss}");
    }
}

#[test]
fn a_training_of_format_1_goes_on_and_is_saved_in_format_2() {
    let path = fixture_path("format-1/mlp-last.safetensors");
    let checkpoint = Checkpoint::read(&path).unwrap();
    let mut config = checkpoint.config.data.clone();
    config.path = Some(fixture_path("data/words.txt"));
    let data = Data::load(&config, Some(checkpoint.vocab.clone())).unwrap();
    let mut trainer = Trainer::resume(&checkpoint, &data, &path).unwrap();
    assert_eq!(trainer.steps_done(), 200);
    assert!(trainer.step().unwrap().is_finite());
    let bytes = trainer.checkpoint().unwrap().to_bytes().unwrap();
    assert!(bytes.windows(12).any(|part| part == b"\"format\":\"2\""));
    assert_eq!(Checkpoint::from_bytes(&bytes, &path).unwrap().step, 201);
}
