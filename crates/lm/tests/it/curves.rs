//! Loss curves of PyTorch, by the same seeds (`fixtures/curves.json`).

use std::collections::BTreeMap;

use charloom::data::Data;
use charloom::data::Examples;
use charloom::evaluation::evaluate;
use charloom::models::LanguageModel;
use charloom::train::Trainer;
use charloom::{Config, config};
use charloom_testkit::{assert_close, fixture, workspace_root};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Curves {
    curves: Vec<Curve>,
}

#[derive(Deserialize)]
struct Curve {
    name: String,
    flags: BTreeMap<String, Value>,
    examples: [usize; 3],
    losses: Vec<f32>,
    train: f64,
    val: f64,
}

/// The flags of `charloom train` as a configuration.
fn config(flags: &BTreeMap<String, Value>) -> Config {
    let mut toml = BTreeMap::<&str, String>::new();
    for (flag, value) in flags {
        let text = value.as_str().unwrap_or_default();
        let (section, value) = match flag.as_str() {
            "data" => ("data", Value::from(workspace_root().join(text).to_str())),
            "split" => ("data", charloom::data::parse_split(text).unwrap().to_vec().into()),
            "mode" | "split-seed" => ("data", value.clone()),
            "hidden" => ("model", config::parse_hidden(text).unwrap().into()),
            "lr-drops" => {
                let drops = config::parse_lr_drops(text).unwrap();
                ("train", drops.into_iter().map(|(at, by)| vec![at, by]).collect())
            }
            "model" | "context" | "embed" | "layers" | "activation" | "norm" | "bias" | "init" | "gain"
            | "output-scale" => ("model", value.clone()),
            _ => ("train", value.clone()),
        };
        let key = match flag.as_str() {
            "data" => "path".to_owned(),
            "model" => "kind".to_owned(),
            other => other.replace('-', "_"),
        };
        // A JSON number, string or list is the same in TOML.
        *toml.entry(section).or_default() += &format!("{key} = {value}\n");
    }
    let text: String = toml.iter().map(|(section, lines)| format!("[{section}]\n{lines}")).collect();
    Config::from_toml(&text, "curves.json".as_ref()).unwrap()
}

#[test]
fn every_family_learns_as_in_torch() {
    let curves = fixture::<Curves>("curves.json").curves;
    for curve in &curves {
        println!("{}", curve.name);
        let config = config(&curve.flags);
        let data = Data::load(&config.data, None).unwrap();
        let context = charloom::models::context(&config.model).unwrap();
        let [train, val, test] = [&data.splits.train, &data.splits.val, &data.splits.test]
            .map(|split| Examples::new(split, context).unwrap());
        assert_eq!([train.len(), val.len(), test.len()], curve.examples);

        let mut trainer = Trainer::new(&config, &data).unwrap();
        let losses: Vec<f32> = (0..config.train.steps).map(|_| trainer.step().unwrap()).collect();
        let every = config.train.log_every.unwrap() as usize;
        let seen: Vec<f32> = losses.iter().step_by(every).copied().collect();
        assert_eq!((seen.len(), every), (21, 10));
        assert_close(&seen, &curve.losses, 1e-3, 0.0);

        let model = trainer.model();
        // Of a text the notebooks judge only what has a full context; of words that is everything.
        let after = [(&data.splits.train, &train), (&data.splits.val, &val)].map(|(split, examples)| {
            let scores = model.score_split(split, &mut |_| Ok(())).unwrap();
            let scored = &scores[scores.len() - examples.len()..];
            if split.boundary().is_some() {
                let loss = evaluate(model, split).unwrap().unwrap().loss;
                assert_close(&[-mean(scored)], &[loss], 1e-6, 0.0);
            }
            -mean(scored)
        });
        assert_close(&after, &[curve.train, curve.val], 1e-3, 0.0);
    }
    assert!(curves.len() >= 18);
}

#[derive(Deserialize)]
struct Recurrent {
    steps: Vec<usize>,
    curves: Vec<RecurrentCurve>,
}

#[derive(Deserialize)]
struct RecurrentCurve {
    name: String,
    flags: BTreeMap<String, Value>,
    losses: Vec<f32>,
    val: f64,
}

#[derive(Deserialize)]
struct Decoders {
    curves: Vec<DecoderCurve>,
}

#[derive(Deserialize)]
struct DecoderCurve {
    name: String,
    data: String,
    toml: String,
    losses: Vec<f32>,
    val: f64,
}

#[test]
fn every_recurrent_net_learns_as_in_torch() {
    let Recurrent { steps, curves } = fixture("recurrent.json");
    for curve in &curves {
        println!("{}", curve.name);
        let config = config(&curve.flags);
        let data = Data::load(&config.data, None).unwrap();
        let mut trainer = Trainer::new(&config, &data).unwrap();
        let losses: Vec<f32> = (0..config.train.steps).map(|_| trainer.step().unwrap()).collect();
        let seen: Vec<f32> = steps.iter().map(|&step| losses[step]).collect();
        assert_close(&seen, &curve.losses, 1e-3, 0.0);
        let val = evaluate(trainer.model(), &data.splits.val).unwrap().unwrap().loss;
        assert_close(&[val], &[curve.val], 1e-3, 0.0);
    }
    assert_eq!((curves.len(), steps.len()), (24, 6));
}

/// `fixtures/decoders.json`
#[test]
fn models_that_look_back_learn_as_in_torch() {
    let curves = fixture::<Decoders>("decoders.json").curves;
    for curve in &curves {
        println!("{}", curve.name);
        let mut config = Config::from_toml(&curve.toml, "decoders.json".as_ref()).unwrap();
        config.data.path = Some(workspace_root().join("fixtures/data").join(&curve.data));
        let data = Data::load(&config.data, None).unwrap();
        let mut trainer = Trainer::new(&config, &data).unwrap();
        let losses: Vec<f32> = (0..config.train.steps).map(|_| trainer.step().unwrap()).collect();
        let seen = [0, 1, 10, 50, 100, 150].map(|step| losses[step]);
        assert_close(&seen, &curve.losses, 1e-3, 0.0);
        let val = evaluate(trainer.model(), &data.splits.val).unwrap().unwrap();
        assert_close(&[val.loss], &[curve.val], 1e-3, 0.0);
    }
    assert_eq!(curves.len(), 9);
}

fn mean(scores: &[f32]) -> f64 {
    scores.iter().map(|&score| f64::from(score)).sum::<f64>() / scores.len() as f64
}
