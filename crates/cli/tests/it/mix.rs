//! `charloom mix`: mixtures as runs, and what is refused.

use std::fs;

use serde_json::Value;

use crate::command::{charloom, done, json, refused, trained};

#[test]
fn a_mixture_is_a_run_like_any_other() {
    let folder = trained();
    let folder = folder.path();
    done(folder, &["train", "names.txt", "--model", "ngram", "--order", "1", "--out", "b"]);
    let mixed = json(folder, &["mix", "a", "b", "--out", "m", "--json"]);
    let members = mixed["members"].as_array().unwrap();
    let weight = |member: &Value| member["weight"].as_f64().unwrap();
    assert!((members.iter().map(weight).sum::<f64>() - 1.0).abs() < 1e-9, "{mixed}");
    assert!(members.iter().all(|member| member["loss"].as_f64() >= mixed["loss"].as_f64()), "{mixed}");
    assert_eq!(json(folder, &["eval", "m", "--json"])["loss"], mixed["loss"]);
    assert!(fs::read_to_string(folder.join("m/samples.txt")).unwrap().lines().count() == 20);
    assert_eq!(done(folder, &["sample", "m", "-n", "3"]).lines().count(), 3);
    assert_eq!(json(folder, &["info", "m", "--json"])["model"], "mixture");
    assert_eq!(json(folder, &["compare", "a", "m", "--json"])["runs"][1]["loss"], mixed["loss"]);
    let table = done(folder, &["mix", "m", "b", "--out", "mm", "--weights", ".25,.75"]);
    assert!(table.contains("m (mixture)  0.2500") && table.contains("\nmixture "), "{table}");
    let info = done(folder, &["info", "mm"]);
    let listed: Vec<&str> = info.lines().filter(|line| line.contains("(ngram) ")).collect();
    assert_eq!(listed.iter().map(|line| &line[..3]).collect::<Vec<_>>(), ["0.0", "0.1", "1 ("], "{info}");
    assert!(info.lines().count() < 30 && !info.contains("[train]") && !info.contains("order ="), "{info}");
    assert_eq!(json(folder, &["info", "mm", "--json"])["members"][3]["weight"], 0.75);
    let compared = done(folder, &["compare", "a", "mm"]);
    assert!(compared.contains("\nmembers of mm ") && compared.lines().count() < 20, "{compared}");
    assert!(!compared.contains("model.members") && !compared.contains("model.order"), "{compared}");
    refused(folder, &["mix", "a", "b", "--out", "m"], 1, "m: exists; ");
    let product = json(folder, &["mix", "a", "b", "--product", "--out", "p", "--json"]);
    assert!(product["loss"].as_f64() < mixed["loss"].as_f64(), "{product} and {mixed}");
    assert_eq!(json(folder, &["eval", "p", "--json"])["loss"], product["loss"]);
    assert_eq!(done(folder, &["sample", "p", "-n", "3"]).lines().count(), 3);
    done(folder, &["train", "names.txt", "--hidden", "8", "--steps", "20", "--out", "net"]);
    let compared = done(folder, &["compare", "net", "b"]);
    assert!(compared.contains("\ntrain.steps ") && !compared.contains("200000"), "{compared}");
    let adapting = json(folder, &["mix", "a", "net", "--product", "--adapt", ".05", "--out", "l", "--json"]);
    assert_eq!(json(folder, &["eval", "l", "--adapt", ".05", "--json"])["loss"], adapting["loss"]);
    assert_ne!(json(folder, &["eval", "l", "--json"])["loss"], adapting["loss"]);
    let none_learns = ["mix", "a", "b", "--product", "--adapt", ".05", "--out", "q"];
    refused(folder, &none_learns, 2, "--adapt: nothing in these models learns");
    refused(folder, &["mix", "a", "net", "--adapt", ".05", "--out", "q"], 2, "--product");
    let both = ["mix", "a", "b", "--out", "q", "--product", "--weights", ".5,.5"];
    refused(folder, &both, 2, "'--product' cannot be used with '--weights <W,...>'");
    refused(folder, &["mix", "a", "b", "--out", "q", "--weights", "1,1"], 2, "--weights 1,1: each must");
    refused(
        folder,
        &["mix", "a", "b", "--out", "a", "--force"],
        2,
        "a lies in --out, which the mixture would replace",
    );
    refused(folder, &["mix", "a", "--out", "q"], 2, "two runs or more are needed to mix");
    done(folder, &["train", "--resume", "--out", "m"]);
    refused(folder, &["train", "--model", "mixture"], 2, "--model mixture is made of runs by charloom mix");
    refused(folder, &["inspect", "m"], 2, "is no neural network");
    let not_trained = "a model of kind \"mixture\" is made of runs and is not trained; name the run or";
    let config = ["names.txt", "--config", "m/config.toml"];
    for command in ["train", "gradcheck", "bench", "lr-find"] {
        refused(folder, &[&[command], &config[..]].concat(), 2, not_trained);
    }
    refused(folder, &[&["train"], &config[..], &["--steps", "5"]].concat(), 2, not_trained);
    refused(folder, &["train", "names.txt", "--init-from", "m"], 1, "a mixture has no weights of its own");
    done(folder, &["train", "names.txt", "--model", "ngram", "--split-seed", "7", "--out", "c"]);
    refused(
        folder,
        &["mix", "a", "c", "--out", "q"],
        1,
        "c: was trained with data.split_seed = 7, a with 42",
    );
    assert!(!folder.join("q").exists());
}

#[test]
fn a_size_says_what_counts_and_their_mixture_reach_and_how_to_make_them() {
    let folder = tempfile::TempDir::new().unwrap();
    let folder = folder.path();
    let few: Vec<&str> = charloom::data::NAMES.lines().take(300).collect();
    fs::write(folder.join("names"), few.join("\n")).unwrap();
    let train = [
        "train", "names", "--size", "tiny", "--steps", "20", "--split", ".7,.3,0", "--dedupe", "--out", "net",
    ];
    let stderr = charloom(folder, &train).stderr;
    let stderr = String::from_utf8(stderr).unwrap();
    let stderr =
        stderr.lines().find(|line| line.starts_with("counts of n-grams reach ")).expect("it is told");
    let (losses, commands) = stderr.split_once(": ").unwrap();
    let [counts, mix] = commands.split("; ").collect::<Vec<_>>()[..] else { panic!("{commands}") };
    for command in [counts, mix] {
        let words: Vec<&str> = command.split(' ').skip(1).chain(["--json"]).collect();
        let made = json(folder, &words);
        assert!(losses.contains(&format!(" {:.4}", made["loss"].as_f64().unwrap())), "{stderr}: {made}");
    }
    let output = charloom(folder, &["train", "names", "--steps", "20", "--out", "own"]);
    assert!(!String::from_utf8(output.stderr).unwrap().contains("counts of n-grams"));
}

#[test]
fn a_mixture_of_models_that_read_words_is_not_trained_either() {
    let folder = trained();
    let folder = folder.path();
    let train = "train names.txt --model gru --hidden 4 --steps 2 --batch 4 --seeds 2 --out both";
    done(folder, &train.split(' ').collect::<Vec<_>>());
    done(folder, &["mix", "both/seed-1", "both/seed-2", "--out", "m"]);
    let not_trained = "a model of kind \"mixture\" is made of runs and is not trained; name the run or";
    let config = ["names.txt", "--config", "m/config.toml"];
    refused(folder, &[&["train"], &config[..]].concat(), 2, not_trained);
    done(folder, &["train", "--resume", "--out", "m"]);
    let such = "name the run of a member, such as both/seed-1";
    refused(folder, &["train", "names.txt", "--init-from", "both"], 1, such);
    // One of its trainings is what the others are.
    done(folder, &["lr-find", "names.txt", "--config", "both/config.toml", "--steps", "10"]);
    let sweep = "sweep names.txt --config both/config.toml --grid batch=2 --study s.db";
    done(folder, &sweep.split(' ').collect::<Vec<_>>());
    let of = |args: &str| {
        let args = format!("{args} --init-from both/seed-1 --json");
        json(folder, &args.split(' ').collect::<Vec<_>>())
    };
    of("sweep names.txt --grid batch=2 --steps 2 --study t.db");
    assert!(done(folder, &["sweep", "show", "t.db", "--best"]).contains("hidden = 4\n"));
    let parameters = &json(folder, &["info", "both/seed-1", "--json"])["parameters"];
    assert_eq!(&of("bench names.txt --seconds .01")["parameters"], parameters);
    of("lr-find names.txt --steps 10");
}

#[test]
fn an_ensemble_says_that_its_weights_are_not_fitted_and_how_they_are() {
    let folder = tempfile::TempDir::new().unwrap();
    let folder = folder.path();
    let train = "train --hidden 8 --steps 20 --seeds 2 --out both";
    let stderr = String::from_utf8(charloom(folder, &train.split(' ').collect::<Vec<_>>()).stderr).unwrap();
    let said = "all weigh the same; weights fitted to validation: charloom ";
    let command = stderr.lines().find_map(|line| line.strip_prefix(said)).expect("it is told");
    let mixed = json(folder, &command.split(' ').chain(["--json"]).collect::<Vec<_>>());
    assert_eq!((&mixed["run"], &mixed["members"][1]["run"]), (&"both-mix".into(), &"both/seed-2".into()));
    assert_ne!(mixed["members"][0]["weight"], 0.5);
}
