use charloom_testkit::{assert_close, fixture_path, shared_data};

use super::*;
use crate::train::Trainer;

fn prepared(settings: &str, data: &str) -> (Config, Data) {
    let mut config = Config::from_toml(settings, "test".as_ref()).unwrap();
    config.data.path = Some(fixture_path(data));
    let data = crate::load_data(&mut config).unwrap();
    (config, data)
}

fn seen(settings: &str) -> Inspection {
    let (config, data) = prepared(settings, "data/words.txt");
    Inspection::untrained(&config, &data, 512).unwrap()
}

fn kinds(seen: &Inspection) -> Vec<&'static str> {
    seen.findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn moments_are_torchs() {
    // torch.tensor([1., 2., ..., 11.]).std() == 3.3166..., sqrt of 11.
    let numbers: Vec<f32> = (1..=11u8).map(f32::from).collect();
    let record = Record::new(0, "x", RecordKind::Activation, "Linear", &numbers);
    assert_close(&[record.mean, record.std], &[6.0, 11f64.sqrt()], 1e-12, 0.0);
    let Histogram { min, max, counts } = &record.histogram;
    assert_eq!((*min, *max, counts.iter().sum::<u64>(), counts[0], counts[39]), (1.0, 11.0, 11, 1, 1));
    let same = Record::new(0, "x", RecordKind::Activation, "Linear", &[0.1; 1000]);
    assert_eq!((same.std, same.histogram.counts[0]), (0.0, 1000));
}

#[test]
fn an_output_too_large_is_named() {
    let wide =
        "[model]\nembed = 0\nhidden = [128]\nactivation = 'gelu'\ncontext = 1\noutput_scale = 1.0\ninit = ";
    let found = seen(&format!("{wide}'unit-normal'"));
    assert_eq!(found.findings[0].kind, "first-loss");
    let message = &found.findings[0].message;
    assert!(message.contains("the output layer's scale is too large"), "{message}");
    assert!(message.contains("``output_scale`` 0.01 or ``init`` kaiming-normal"), "{message}");
    assert_eq!(kinds(&seen(&format!("{wide}'unit-columns'"))), Vec::<&str>::new());
}

#[test]
#[ignore = "reads tinyshakespeare.txt, which is no part of the repository, in ../shared/data"]
fn notebook_002_is_told_what_it_prints_by_hand() {
    let path = shared_data("tinyshakespeare.txt");
    for (preset, expected) in [("shakespeare-mlp", vec!["first-loss"]), ("shakespeare-columns", vec![])] {
        let preset = crate::presets::get(preset).unwrap();
        let mut config = Config::layered(Some(preset.toml), None).unwrap();
        config.data.path = Some(path.clone());
        let data = crate::load_data(&mut config).unwrap();
        let found = Inspection::untrained(&config, &data, 1024).unwrap();
        assert_eq!(kinds(&found), expected);
        if !expected.is_empty() {
            assert!(found.start.loss > 15.0 && found.findings[0].message.contains("where ln V is 4.17"));
        }
    }
}

#[test]
fn saturation_is_named() {
    let deep = "[model]\nhidden = [100, 100, 100, 100, 100]\ngain = ";
    let found = seen(&format!("{deep}3.0"));
    assert_eq!(kinds(&found), ["saturated"]);
    assert!(found.findings[0].message.contains("``gain`` of 5/3 instead of 3 or ``norm`` batch"));
    assert!(found.findings[0].layers.len() > 1);
    assert_eq!(kinds(&seen(&format!("{deep}1.6666666666666667"))), Vec::<&str>::new());
}

#[test]
fn dead_units_are_named() {
    let (config, data) = prepared("[model]\nhidden = [50]\nactivation = 'relu'", "data/words.txt");
    let mut model = drawn(&config, &data).unwrap();
    let of = |model: &Neural| Inspection::of(model, None, &config, &data, 512, Vec::new()).unwrap();
    assert_eq!(kinds(&of(&model)), Vec::<&str>::new());
    let bias = model.params.find("layers.0.bias").unwrap();
    model.params.write(bias, &[-10.0; 50]);
    let found = of(&model);
    assert_eq!(kinds(&found), ["dead"]);
    assert!(found.findings[0].message.contains("50 of the 50 units of layers.1 are dead"));
    let gradients: Vec<f64> = found
        .start
        .records
        .iter()
        .filter(|r| r.layer == "layers.0.weight")
        .filter_map(|r| r.gradient_ratio)
        .collect();
    assert_eq!(gradients, [0.0]);
}

#[test]
fn a_fading_signal_is_named() {
    let found = seen("[model]\nhidden = [50, 50, 50, 50, 50, 50]\ngain = 0.2");
    assert_eq!(kinds(&found), ["signal", "gradient"]);
    assert!(found.findings[0].message.contains("fades"));
}

#[test]
fn a_probes_gradients_are_the_losss() {
    let (config, data) = prepared("[model]\nhidden = [7]\nnorm = 'batch'\nembed = 3", "data/words.txt");
    let mut model = drawn(&config, &data).unwrap();
    let examples = data.splits.train.examples(3).unwrap();
    let mut probe = Probe::new(&model.params, model.stack().unwrap(), &examples, 64);
    let before = probe.measure(&model.params, 0);
    let weight = model.params.find("layers.3.weight").unwrap();
    // To first order a step of -`step` g changes the loss by -`step` |g|^2.
    let gradient = probe.grads.read(&model.params, weight);
    let step = 1e-2;
    let moved = model.params.read(weight).into_iter().zip(&gradient).map(|(w, g)| w - step * g);
    let moved: Vec<f32> = moved.collect();
    model.params.write(weight, &moved);
    let change = probe.measure(&model.params, 0).loss - before.loss;
    let expected = -f64::from(step) * gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
    assert_close(&[change], &[expected], 0.05, 0.0);
}

#[test]
fn a_model_without_layers_is_refused() {
    let (config, data) = prepared("[model]\nkind = 'ngram'", "data/words.txt");
    let error = Inspection::untrained(&config, &data, 512).unwrap_err();
    assert!(matches!(error, Error::Setting { .. }), "{error:?}");
}

#[test]
fn a_run_shows_start_and_end() {
    let (mut config, data) =
        prepared("[model]\nhidden = [30]\n[train]\nsteps = 300\nlr = 0.3", "data/words.txt");
    config.resolve(data.mode());
    let mut trainer = Trainer::new(&config, &data).unwrap();
    for _ in 0..300 {
        trainer.step().unwrap();
    }
    let checkpoint = trainer.weights().unwrap();
    let found = Inspection::trained(&checkpoint, &data, 512, Vec::new(), "run".as_ref()).unwrap();
    let untrained = Inspection::untrained(&config, &data, 512).unwrap();
    let end = found.end.unwrap();
    assert_eq!(found.start, untrained.start);
    assert!(end.loss < found.start.loss && end.step == 300);
    assert!(end.outputs().zip(found.start.outputs()).all(|(a, b)| a.layer == b.layer && a.std != b.std));
}
