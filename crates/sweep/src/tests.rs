use serde_json::{Value, json};

use super::prune::{goes_on, rungs};
use super::sampler::propose;
use super::spec::{Pruning, Sampler, Spec};
use super::trial::{CurvePoint, Run};
use super::trials::{State, Trial};
use super::{Address, Settings, Space, Study, WorkOptions, best, figures, importance, page, sorted, work};
use charloom::Config;
use charloom::data::Mode;
use charloom_plot::{Figure, Lines};

fn spec(sampler: Sampler, settings: Value) -> Spec {
    let settings = serde_json::from_value(settings).unwrap();
    Spec { sampler, settings, ..Spec::default() }
}

fn space(spec: &Spec) -> Space {
    spec.validate(&Config::default(), Mode::Lines).unwrap()
}

fn grid(settings: Value) -> Vec<Settings> {
    let spec = spec(Sampler::Grid, settings);
    let space = space(&spec);
    (0..).map_while(|number| propose(&spec, &space, number, &[]).unwrap()).collect()
}

fn trial(number: u64, settings: Value, state: State, loss: Option<f64>) -> Trial {
    let Value::Object(settings) = settings else { panic!("not a table") };
    Trial {
        number,
        state,
        settings,
        loss,
        deviation: None,
        steps: 0,
        seconds: None,
        attempts: 1,
        error: None,
        seeds: Vec::new(),
        curve: Vec::new(),
    }
}

#[test]
fn a_grid_is_every_combination_once() {
    let all = grid(
        json!({"embed": [2, 6], "context": {"low": 2, "high": 4}, "lr": {"low": 0.1, "high": 10, "log": true, "points": 3}}),
    );
    assert_eq!(all.len(), 2 * 3 * 3);
    assert!(all.iter().enumerate().all(|(i, one)| !all[..i].contains(one)));
    let rates: Vec<f64> = all[..3].iter().map(|one| one["lr"].as_f64().unwrap()).collect();
    assert!((rates[1] - 1.0).abs() < 1e-12 && rates[0] == 0.1 && rates[2] == 10.0, "{rates:?}");
}

#[test]
fn a_setting_without_a_value_of_its_own_can_vary() {
    let all =
        grid(json!({"model": ["transformer"], "stride": [1, 32], "feed": ["words"], "eval_every": [5]}));
    let config = super::space::apply(&Config::default(), &all[1], Mode::Lines).unwrap();
    assert_eq!(config.model.get("stride").as_deref(), Some("32"));
    assert_eq!(config.train.feed, Some(charloom::config::Feed::Words));
}

#[test]
fn a_value_must_be_valid_in_some_combination() {
    let all = grid(json!({"model": ["transformer"], "heads": [3, 6], "embed": [12, 24]}));
    assert_eq!(all.len(), 4);
    let refused = |settings| {
        let spec = spec(Sampler::Grid, settings);
        spec.validate(&Config::default(), Mode::Lines).unwrap_err().to_string()
    };
    let said = refused(json!({"model": ["transformer"], "heads": [3, 5], "embed": [12, 24]}));
    assert!(said.contains("setting heads = 5: ``heads`` 5 does not divide ``embed`` 12"), "{said}");
    assert!(refused(json!({"lr": [-1, 0.1], "embed": [2, 6]})).contains("setting lr = -1"));
}

#[test]
fn the_weight_of_a_teacher_can_vary_if_there_is_one() {
    let mut base = Config::default();
    let spec = spec(Sampler::Grid, json!({"teacher_weight": [0.2, 0.8]}));
    let said = spec.validate(&base, Mode::Lines).unwrap_err().to_string();
    assert!(said.contains("there is no ``teacher``"), "{said}");
    let teacher = r#"train.teacher = { path = "run", weight = 0.5 }"#;
    base.train.teacher = Config::from_toml(teacher, "run.toml".as_ref()).unwrap().train.teacher;
    let space = spec.validate(&base, Mode::Lines).unwrap();
    let one = propose(&spec, &space, 1, &[]).unwrap().unwrap();
    let config = super::space::apply(&base, &one, Mode::Lines).unwrap();
    assert_eq!(config.train.teacher.map(|teacher| teacher.weight), Some(0.8));
}

#[test]
fn a_kind_that_says_itself_how_many_layers_it_has_has_one_width() {
    let all = grid(json!({"model": ["gru"], "layers": [1, 2], "hidden": [8, 16]}));
    assert_eq!(all.len(), 4);
    let config = super::space::apply(&Config::default(), &all[3], Mode::Lines).unwrap();
    let of = |key| config.model.get(key);
    assert_eq!((of("layers").as_deref(), of("hidden").as_deref()), (Some("2"), Some("16")));
}

#[test]
fn layers_come_before_their_widths_and_only_theirs() {
    let all = grid(json!({"layers": [0, 2], "hidden": [8, 16]}));
    let shown: Vec<String> = all.iter().map(|one| Value::Object(one.clone()).to_string()).collect();
    assert_eq!(
        shown,
        [
            r#"{"layers":0}"#,
            r#"{"layers":2,"hidden.1":8,"hidden.2":8}"#,
            r#"{"layers":2,"hidden.1":8,"hidden.2":16}"#,
            r#"{"layers":2,"hidden.1":16,"hidden.2":8}"#,
            r#"{"layers":2,"hidden.1":16,"hidden.2":16}"#,
        ]
    );
    let config = super::space::apply(&Config::default(), &all[2], Mode::Lines).unwrap();
    assert_eq!(config.model.get("hidden").as_deref(), Some("[8, 16]"));
}

#[test]
fn a_condition_holds_for_every_sampler() {
    let settings = json!({
        "optimizer": ["sgd", "adamw"],
        "beta1": {"low": 0.8, "high": 0.99, "when": {"optimizer": "adamw"}},
        "lr": {"low": 0.001, "high": 1, "log": true},
    });
    for sampler in [Sampler::Random, Sampler::Tpe] {
        let spec = spec(sampler, settings.clone());
        let space = space(&spec);
        let mut finished = Vec::new();
        for number in 0..40 {
            let one = propose(&spec, &space, number, &finished).unwrap().unwrap();
            assert_eq!(one.contains_key("beta1"), one["optimizer"] == "adamw", "{one:?}");
            let rate = one["lr"].as_f64().unwrap();
            assert!((0.001..=1.0).contains(&rate));
            assert!(one.get("beta1").is_none_or(|b| (0.8..=0.99).contains(&b.as_f64().unwrap())));
            finished.push((one, rate));
        }
        let adamw = finished.iter().filter(|(one, _)| one["optimizer"] == "adamw").count();
        assert!((1..40).contains(&adamw), "{adamw} of 40");
    }
}

#[test]
fn whole_numbers_reach_both_ends_evenly() {
    let spec = spec(Sampler::Random, json!({"embed": {"low": 2, "high": 5}}));
    let space = space(&spec);
    let mut counts = [0; 4];
    for number in 0..4000 {
        let one = propose(&spec, &space, number, &[]).unwrap().unwrap();
        counts[one["embed"].as_u64().unwrap() as usize - 2] += 1;
    }
    // Five standard deviations of a count: 5 sqrt(4000 / 4 * 3 / 4).
    assert!(counts.iter().all(|&n: &i32| (n - 1000).abs() < 137), "{counts:?}");
}

#[test]
fn what_is_proposed_depends_on_number_and_seed_alone() {
    let spec = spec(Sampler::Random, json!({"lr": {"low": 0.001, "high": 1}}));
    let space = space(&spec);
    let other = Spec { sampler_seed: 2, ..spec.clone() };
    let first = propose(&spec, &space, 7, &[]).unwrap();
    assert_eq!(first, propose(&spec, &space, 7, &[]).unwrap());
    assert_ne!(first, propose(&spec, &space, 8, &[]).unwrap());
    assert_ne!(first, propose(&other, &space, 7, &[]).unwrap());
}

/// A loss that is a bowl in lr and hidden, with a penalty for other activations than gelu; embed has no
/// effect.
fn bowl(one: &Settings) -> f64 {
    let x = |name: &str| one[name].as_f64().unwrap();
    (x("lr").log10() + 1.3).powi(2)
        + ((x("hidden") - 150.0) / 100.0).powi(2)
        + if one["activation"] == "gelu" { 0.0 } else { 0.5 }
}

#[test]
fn tpe_beats_random_search_in_a_bowl() {
    let settings = json!({
        "lr": {"low": 0.0001, "high": 10, "log": true},
        "hidden": {"low": 10, "high": 400},
        "activation": ["tanh", "relu", "gelu"],
        "embed": [2, 6, 10],
    });
    let lowest = |sampler, sampler_seed| {
        let spec = Spec { sampler_seed, ..spec(sampler, settings.clone()) };
        let space = space(&spec);
        let mut finished = Vec::new();
        for number in 0..100 {
            let one = propose(&spec, &space, number, &finished).unwrap().unwrap();
            let loss = bowl(&one);
            finished.push((one, loss));
        }
        finished.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min)
    };
    let won = (0..20).filter(|&seed| lowest(Sampler::Tpe, seed) < lowest(Sampler::Random, seed)).count();
    assert!(won >= 16, "{won} of 20");
}

#[test]
fn rungs_are_evaluations_and_halving_keeps_the_best() {
    let asha = Spec { prune: Pruning::Asha, ..Spec::default() };
    assert_eq!(rungs(&asha, 0, 270, 10), [10, 30, 90]);
    assert_eq!(rungs(&asha, 5, 1000, 100), [100, 200, 400]);
    let hyperband = Spec { prune: Pruning::Hyperband, min_steps: Some(10), ..Spec::default() };
    let of: Vec<usize> = (0..5).map(|number| rungs(&hyperband, number, 270, 10).len()).collect();
    assert_eq!(of, [3, 2, 1, 0, 3]);
    assert!(rungs(&Spec::default(), 0, 270, 10).is_empty());

    assert!(goes_on(3.0, &[], 3), "the first one always");
    assert!(!goes_on(3.0, &[2.0], 3));
    assert!(goes_on(1.0, &[2.0], 3));
    let others: Vec<f64> = (0..8).map(f64::from).collect();
    let kept = (0..9).filter(|i| goes_on(f64::from(*i) - 0.5, &others, 3)).count();
    assert_eq!(kept, 3, "one in three of nine");
}

#[test]
fn importance_finds_what_matters() {
    let spec = spec(
        Sampler::Random,
        json!({
            "lr": {"low": 0.0001, "high": 10, "log": true},
            "hidden": {"low": 149, "high": 151},
            "activation": ["tanh", "gelu"],
            "embed": [2, 6, 10],
        }),
    );
    let space = space(&spec);
    let trials: Vec<Trial> = (0..200)
        .map(|number| {
            let one = propose(&spec, &space, number, &[]).unwrap().unwrap();
            let loss = 10.0 * f64::from(u8::from(one["activation"] == "tanh")) + bowl(&one);
            trial(number, Value::Object(one), State::Done, Some(loss))
        })
        .collect();
    let found = importance(&space, &trials);
    assert_eq!(found[0].name, "activation");
    let share = |name: &str| found.iter().find(|row| row.name == name).unwrap().share.unwrap();
    // Two groups that do not overlap explain three quarters of the ranks' variance.
    assert!((share("activation") - 0.75).abs() < 0.02, "{found:?}");
    assert!(share("embed") < 0.05 && share("hidden") < 0.05 && share("lr") > 0.1, "{found:?}");
    assert_eq!(importance(&space, &trials[..1])[0].share, None);
}

#[test]
fn the_best_is_of_those_trained_to_their_end() {
    let trials = [
        trial(0, json!({}), State::Done, Some(2.5)),
        trial(1, json!({}), State::Pruned, Some(2.1)),
        trial(2, json!({}), State::Failed, None),
        trial(3, json!({}), State::Done, Some(2.3)),
        trial(4, json!({}), State::Running, None),
    ];
    assert_eq!(sorted(&trials).iter().map(|trial| trial.number).collect::<Vec<_>>(), [3, 0, 1, 2, 4]);
    assert_eq!(best(&trials).unwrap().number, 3);
    assert!(best(&trials[1..3]).is_none());
}

#[test]
fn pictures_show_each_finished_trial() {
    let spec = spec(
        Sampler::Grid,
        json!({"optimizer": ["sgd", "adamw"], "beta1": {"choices": [0.8, 0.9], "when": {"optimizer": "adamw"}}}),
    );
    let space = space(&spec);
    let trials = [
        trial(0, json!({"optimizer": "sgd"}), State::Done, Some(2.5)),
        trial(1, json!({"optimizer": "adamw", "beta1": 0.8}), State::Done, Some(2.1)),
        trial(2, json!({"optimizer": "adamw", "beta1": 0.9}), State::Pruned, Some(2.3)),
    ];
    let lines = |wanted: &str| -> Lines {
        let found = figures(&space, &trials).into_iter().find(|(name, _)| name == wanted);
        let Some((_, Figure::Lines(lines))) = found else { panic!("no curves {wanted}") };
        lines
    };
    let finite = |points: &[(f64, f64)]| {
        points.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect::<Vec<_>>()
    };
    assert_eq!(lines("progress").series[0].points, [(0.0, 2.5), (1.0, 2.1)]);
    assert_eq!(finite(&lines("optimizer").series[0].points), [(0.0, 2.5), (1.0, 2.1)]);
    assert_eq!(finite(&lines("optimizer").series[1].points), [(1.0, 2.3)]);
    assert_eq!(lines("optimizer").x_names, ["sgd", "adamw"]);
    assert_eq!(finite(&lines("beta1").series[0].points), [(0.8, 2.1)]);
    assert!(lines("beta1").x_names.is_empty());
    // The best tenth is trial 1; trial 0 has no beta1, so its line has a gap there.
    let parallel = lines("parallel");
    assert_eq!(parallel.x_names, ["optimizer", "beta1", "loss"]);
    assert_eq!(finite(&parallel.series[1].points).len(), 3);
    assert_eq!(finite(&parallel.series[0].points), [(0.0, 0.0), (2.0, 1.0)]);
    assert!(figures(&space, &trials[2..]).is_empty());
}

#[test]
fn a_study_of_counts_in_a_file_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::File(folder.path().join("new/study.db"));
    let spec =
        Spec { seeds: 2, ..spec(Sampler::Grid, json!({"model": ["ngram"], "order": [2, 3], "k": [1.0]})) };
    let mut resolved = Config::default();
    let data = charloom::load_data(&mut resolved).unwrap();
    let base = Config { data: resolved.data, ..Config::default() };
    let mut study = Study::create(&address, &spec, &base).unwrap();
    assert!(Study::create(&address, &spec, &base).is_err());
    let stop = std::sync::atomic::AtomicBool::new(false);
    work(&address, &data, WorkOptions { threads: 2 }, &stop, &|_| {}).unwrap();
    let trials = study.trials().unwrap();
    assert_eq!(trials.len(), 2);
    let best = best(&trials).unwrap();
    assert_eq!((best.settings["order"].as_u64(), best.deviation), (Some(3), Some(0.0)));
    let page = page(&mut study).unwrap();
    // The best so far, parallel coordinates, and the loss against the order, the only setting that varies.
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains("order = 3") && page.contains("2 trials by grid"));
}

#[test]
fn a_trial_that_is_stopped_in_its_first_evaluation_has_not_failed() {
    let spec = spec(Sampler::Grid, json!({"model": ["mlp"]}));
    let mut config = Config::from_toml("[train]\nsteps = 2", "here".as_ref()).unwrap();
    let data = charloom::load_data(&mut config).unwrap();
    let (stop, report) = (std::sync::atomic::AtomicBool::new(true), &mut |_: &[CurvePoint]| Ok(None));
    let run = Run { spec: &spec, number: 0, config, data: &data, stop: &stop, report };
    assert!(run.run().unwrap().is_none());
}
