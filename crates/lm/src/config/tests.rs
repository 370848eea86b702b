use std::path::Path;

use super::*;
use crate::data;

fn from(text: &str) -> crate::Result<Config> {
    Config::from_toml(text, Path::new("c.toml"))
}

fn refusal(change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config::default();
    change(&mut config);
    let checked = config.validate().and_then(|()| crate::models::check_sizes(&config, 2));
    let error = checked.expect_err("refused");
    assert!(matches!(error, crate::Error::Setting { .. } | crate::Error::Usage { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn default_is_the_best_row_of_the_tuning_table() {
    let config = Config::default();
    config.validate().unwrap();
    // 27 * 6 + (18 * 200 + 200) + (200 * 27 + 27)
    assert_eq!(crate::models::parameters(&config, 27).unwrap(), Some(9389));
}

#[test]
fn round_trip_is_exact_and_explicit() {
    let mut config = Config::default();
    config.train.batch = Batch::Full;
    config.train.lr = 0.1 + 0.2;
    config.train.lr_drops = vec![(0.75, 0.1), (0.9, 1.0 / 3.0)];
    config.data.path = Some("a b.txt".into());
    config.resolve(Mode::Lines);
    crate::models::fill(&mut config.model).unwrap();
    let text = config.to_toml();
    for key in ["gain", "log_every", "mode", "split"] {
        assert!(text.contains(&format!("\n{key} = ")), "{key} is not in {text}");
    }
    assert_eq!(from(&text).unwrap(), config);
}

#[test]
fn layers_lie_over_each_other() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[train]\nlr = 3.0\n[model]\nembed = 0\n").unwrap();
    let preset = "[train]\nlr = 1.0\nsteps = 7\n";
    let config = Config::layered(Some(preset), Some(file.path())).unwrap();
    assert_eq!(
        (
            config.train.lr,
            config.train.steps,
            config.model.get("embed").as_deref(),
            config.model.get("context")
        ),
        (3.0, 7, Some("0"), None)
    );
    assert_eq!(Config::layered(None, Some(file.path())).unwrap().train.lr, 3.0);
}

#[test]
fn a_file_too_large_for_a_configuration_is_not_read() {
    let large = "#".repeat(2 << 20);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &large).unwrap();
    for error in [from(&large), Config::read(file.path())] {
        let said = error.expect_err("refused").to_string();
        assert!(said.contains("more than 1048576 bytes") && !said.contains('\n'), "{said}");
    }
}

#[test]
fn bad_files_are_explained_in_one_line() {
    for (text, said) in [
        ("[modell]\n", "line 1: unknown key \"modell\": did you mean \"model\"?"),
        ("[train]\nlr = 0.1\nlr = 0.2", "line 3: duplicate key"),
        ("[train]\nlr = \"fast\"", "line 2: invalid type: string \"fast\", expected f64"),
        ("[train]\nsteps = -1", "line 2: invalid value: integer `-1`, expected u64"),
        (
            "[train]\nbatch = \"some\"",
            "line 2: invalid value: string \"some\", expected a whole number or \"full\"",
        ),
        ("[train]\noptimizer = \"adamv\"", "line 2: unknown word \"adamv\": did you mean \"adamw\"?"),
        ("[train", "line 1: "),
    ] {
        let error = from(text).expect_err(text).to_string();
        assert!(error.contains(said), "{error:?} does not say {said:?}");
        assert!(!error.contains('\n'), "{error:?}");
    }
    let deep = format!("[train]\nlr = {}", "[".repeat(100_000));
    assert!(!from(&deep).expect_err("nested").to_string().contains('\n'));
    let deep = format!("[train]\nlr.{} = 1", vec!["a"; 50_000].join("."));
    assert!(from(&deep).is_err());
}

#[test]
fn values_out_of_range_name_key_value_and_limit() {
    assert_eq!(refusal(|c| c.train.lr = f64::NAN), "``lr`` NaN is out of range; it must be from 0 to 1e30");
    assert_eq!(
        refusal(|c| c.model.set("context", 0)),
        "``context`` 0 is out of range; it must be from 1 to 1024"
    );
    for (key, said) in [
        ("``lr``", refusal(|c| c.train.lr = f64::INFINITY)),
        ("``lr``", refusal(|c| c.train.lr = -0.1)),
        ("``dropout``", refusal(|c| c.model.set("dropout", 1.0))),
        ("``dropout``", refusal(|c| c.model.set("dropout", -0.1))),
        ("``dropout``", refusal(|c| c.model.set("dropout", f64::NAN))),
        ("``context``", refusal(|c| c.model.set("context", 1_000_000_000))),
        ("``batch``", refusal(|c| c.train.batch = Batch::Size(0))),
        (
            "``batch``",
            refusal(|c| {
                c.train.batch = Batch::Size(1);
                c.model.set("norm", "batch");
            }),
        ),
        ("``hidden``", refusal(|c| c.model.set("hidden", vec![200, 0]))),
        ("``hidden``", refusal(|c| c.model.set("hidden", vec![1; 65]))),
        ("``hidden``", refusal(|c| c.model.set("hidden", vec![65_536; 64]))),
        ("``embed``", refusal(|c| c.model.set("embed", usize::MAX))),
        ("``split``", refusal(|c| c.data.split = Some([0.8, 0.1, f64::NAN]))),
        ("``split``", refusal(|c| c.data.split = Some([0.8, 0.3, 0.1]))),
        ("``split``", refusal(|c| c.data.split = Some([0.0, 0.5, 0.5]))),
        ("``data.sha256``", refusal(|c| c.data.sha256 = Some("ab".to_owned()))),
        ("``data.sha256``", refusal(|c| c.data.sha256 = Some("x".repeat(64)))),
        ("``gain``", refusal(|c| c.model.set("gain", 0.0))),
        ("``output_scale``", refusal(|c| c.model.set("output_scale", 1001.0))),
        ("``lr_drops``", refusal(|c| c.train.lr_drops = vec![(1.5, 0.1)])),
        ("``lr_drops``", refusal(|c| c.train.lr_drops = vec![(0.5, -0.1)])),
        ("``lr_at``", refusal(|c| c.train.lr_at = vec![(5, -0.1)])),
        ("``lr_at``", refusal(|c| c.train.lr_at = vec![(5, 0.1), (4, 0.1)])),
        ("``eps``", refusal(|c| c.train.eps = 0.0)),
        (
            "``batch``",
            refusal(|c| {
                c.model.set("hidden", vec![65_536]);
                c.train.batch = Batch::Size(1 << 20)
            }),
        ),
        (
            "``order``",
            refusal(|c| {
                c.model = ModelConfig::of("ngram");
                c.model.set("order", 13)
            }),
        ),
        (
            "``k``",
            refusal(|c| {
                c.model = ModelConfig::of("ngram");
                c.model.set("k", 0.0)
            }),
        ),
        ("``seed``", refusal(|c| c.train.seed = u64::MAX)),
        ("``clip``", refusal(|c| c.train.clip = -1.0)),
        ("``eval_every``", refusal(|c| c.train.eval_every = Some(0))),
    ] {
        assert!(said.starts_with(key) || said.contains(&format!(" {key}")), "{said:?} does not name {key}");
    }
    assert!(crate::models::check_sizes(&Config::default(), usize::MAX).is_err());
    let mut config = Config::default();
    config.model.set("output_scale", 0.0);
    config.data.sha256 = Some("0".repeat(64));
    config.validate().unwrap();
}

#[test]
fn flags_parse() {
    assert_eq!(parse_hidden("200, 100").unwrap(), [200, 100]);
    assert!(parse_hidden("").unwrap().is_empty());
    assert!(parse_hidden("200,").unwrap_err().contains("\"\""));
    assert_eq!(parse_lr_drops("0.5:0.1,0.9:0.1").unwrap(), [(0.5, 0.1), (0.9, 0.1)]);
    assert!(parse_lr_drops("0.5").is_err());
    assert_eq!(parse_lr_at("100001:.001, 150001:.01").unwrap(), [(100_001, 0.001), (150_001, 0.01)]);
    assert!(parse_lr_at("0.5:0.1").unwrap_err().contains("step:rate"));
    assert_eq!(parse_freeze("embedding.weight, layers.0").unwrap(), ["embedding.weight", "layers.0"]);
    assert!(parse_freeze("").unwrap().is_empty() && parse_freeze("a,,b").is_err());
    assert_eq!(data::parse_split("0.8,0.1,0.1").unwrap(), [0.8, 0.1, 0.1]);
    assert!(data::parse_split("0.8,0.2").unwrap_err().contains("2 fractions"));
    assert_eq!("full".parse(), Ok(Batch::Full));
    assert_eq!("gelu".parse(), Ok(Activation::Gelu));
    assert!("glu".parse::<Activation>().unwrap_err().contains("tanh, relu, gelu"));
}

#[test]
fn a_kind_of_model_has_its_own_settings_and_no_others() {
    for (text, said) in [
        (
            "[model]\nkind = \"gru\"\nhidden = [8, 9]",
            "``hidden`` 8,9: a model of kind \"gru\" has one, not a list; ``layers`` says how many layers there are",
        ),
        ("[model]\nkind = \"gru\"\nhidden = \"wide\"", "``hidden``: invalid type: string \"wide\""),
        ("[model]\nhidden = [\"a\", \"b\"]", "``hidden``: invalid type: string \"a\""),
        ("[model]\nhiden = [1]", "has no setting \"hiden\"; did you mean \"hidden\"?"),
        (
            "[model]\nkind = \"ngram\"\nhidden = [9]",
            "kind \"ngram\" has no setting \"hidden\"; one of kind mlp, rnn, gru, lstm, wavenet, bow has",
        ),
        (
            "[model]\nkind = \"gru\"\nembed_norm = true",
            "``embed_norm``: a model of kind \"gru\" has no setting \"embed_norm\"; one of kind transformer has",
        ),
        ("[model]\nkind = \"ngram\"\ndepth = 2", "no setting \"depth\"; it has order, smoothing, k"),
        (
            "[model]\nkind = \"linear\"\ndropout = 0.1",
            "``dropout``: a model of kind \"linear\" has no setting",
        ),
        ("[model]\norder = 3", "``order``: a model of kind \"mlp\" has no setting"),
        ("[model]\nkind = \"ngrams\"", "``model`` \"ngrams\" is unknown; did you mean \"ngram\"?"),
        ("[model]\nactivation = \"tanj\"", "``activation``: unknown variant `tanj`"),
        ("[model]\ncontext = \"three\"", "``context``: invalid type"),
    ] {
        let error = crate::models::check(&from(text).unwrap().model).expect_err(text).to_string();
        assert!(error.contains(said) && !error.contains('\n'), "{error:?} does not say {said:?}");
    }
    // The settings of a preset's kind go with it.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[model]\nkind = \"ngram\"\norder = 2\n").unwrap();
    let config = Config::layered(Some("[model]\nhidden = [7]\n"), Some(file.path())).unwrap();
    assert_eq!(crate::models::context(&config.model).unwrap(), 1);
}
