use charloom_nn::Optimizer;
use charloom_testkit::{assert_close, fixture_path, gradcheck, shared_data};

use super::*;
use crate::models::LanguageModel;
use crate::presets;

fn config(model: &str) -> Config {
    let mut config = Config::from_toml(model, "test".as_ref()).unwrap();
    config.data.path = Some(fixture_path("data/words.txt"));
    config
}

/// A net in `E`, its step's graph with a minibatch in it, its generator.
fn prepared<E: Element>(config: &Config, merge: bool) -> (Network<E>, StepGraph, Batches) {
    let data = Data::load(&config.data, None).unwrap();
    let mut generator = TorchGenerator::new(5);
    let network = Network::<E>::new(config, data.vocab.len(), &mut generator).unwrap();
    let train = Examples::new(&data.splits.train, config.model.context).unwrap();
    let (mut batches, graph) = record(&network, train, config.train.batch, merge).unwrap();
    network.tape().set_training(true);
    batches.draw(&mut generator);
    batches.write(network.tape(), &graph);
    network.tape().replay(graph.graph);
    network.tape().backward(graph.loss);
    (network, graph, batches)
}

const MODELS: [&str; 6] = [
    "[model]\nkind = 'linear'\ncontext = 2\nbias = true",
    "[model]\nkind = 'linear'\ncontext = 1\n[train]\nbatch = 'full'",
    "[model]\nhidden = [12]\ninit = 'torch'",
    "[model]\nhidden = [9, 8]\nnorm = 'batch'\nbias = true",
    "[model]\nhidden = [7]\nnorm = 'layer'\nactivation = 'gelu'\nembed = 0\ncontext = 2",
    "[model]\nhidden = [7]\nactivation = 'relu'\nembed = 3\ninit = 'unit-columns'",
];

#[test]
fn merged_rows_give_the_same_loss_and_gradients() {
    for model in MODELS {
        let config = config(model);
        let [merged, apart] = [true, false].map(|merge| {
            let (network, graph, batches) = prepared::<f64>(&config, merge);
            assert_eq!(graph.rows.is_some(), merge, "{model}");
            let tape = network.tape();
            let gradients = tape.with_parameters(|_, grads| grads.to_vec());
            let buffers: Vec<f64> = tape
                .entries()
                .iter()
                .filter(|entry| entry.name.contains("running"))
                .flat_map(|entry| tape.read_entry(entry))
                .collect();
            (tape.var(graph.loss).item(), gradients, buffers, batches.rows())
        });
        assert!(merged.3 < apart.3, "nothing was merged in {model}");
        assert_close(&[merged.0], &[apart.0], 1e-12, 0.0);
        assert_close(&merged.1, &apart.1, 1e-9, 1e-12);
        assert_close(&merged.2, &apart.2, 1e-9, 1e-12);
    }
}

#[test]
fn whole_models_have_right_gradients() {
    for model in MODELS {
        let mut config = config(model);
        // A sum over few examples, whose rounding does not drown the differences.
        config.train.batch = Batch::Size(24);
        let (network, graph, _) = prepared::<f64>(&config, true);
        let tape = network.tape();
        let (point, gradient) = tape.with_parameters(|params, grads| (params.to_vec(), grads.to_vec()));
        let f = |p: &[f64]| {
            tape.with_parameters(|params, _| params.copy_from_slice(p));
            tape.replay(graph.graph);
            tape.var(graph.loss).item()
        };
        gradcheck(f, &point, &gradient).assert_below(1e-6);
    }
}

#[test]
fn a_row_is_the_same_whatever_its_company() {
    for model in MODELS {
        let config = config(model);
        let (mut network, _, batches) = prepared::<f32>(&config, true);
        let (length, vocab) = (network.context(), network.vocab_size());
        let examples = batches.examples();
        let contexts: Vec<u32> = (0..700).flat_map(|i| examples.context(i)).collect();
        let mut together = vec![0.0; 700 * vocab];
        network.log_probs(&contexts, &mut together);
        for i in (0..700).step_by(13) {
            let mut alone = vec![0.0; vocab];
            network.log_probs(&contexts[i * length..][..length], &mut alone);
            assert_eq!(alone, together[i * vocab..][..vocab], "row {i} of {model}");
            let sum: f32 = alone.iter().map(|p| p.exp()).sum();
            assert_close(&[sum], &[1.0], 1e-5, 0.0);
        }
    }
}

#[test]
fn names_and_shapes_are_torchs() {
    let config = config("[model]\nhidden = [9, 8]\nnorm = 'batch'\ndropout = 0.5\nembed = 4\ncontext = 2");
    let network = Network::<f32>::new(&config, 27, &mut TorchGenerator::new(1)).unwrap();
    let named: Vec<(String, Vec<usize>)> =
        network.tensors().into_iter().map(|tensor| (tensor.name, tensor.shape)).collect();
    let expected: [(&str, &[usize]); 13] = [
        ("embedding.weight", &[27, 4]),
        ("layers.0.weight", &[9, 8]),
        ("layers.1.weight", &[9]),
        ("layers.1.bias", &[9]),
        ("layers.1.running_mean", &[9]),
        ("layers.1.running_var", &[9]),
        ("layers.4.weight", &[8, 9]),
        ("layers.5.weight", &[8]),
        ("layers.5.bias", &[8]),
        ("layers.5.running_mean", &[8]),
        ("layers.5.running_var", &[8]),
        ("layers.8.weight", &[27, 8]),
        ("layers.8.bias", &[27]),
    ];
    assert_eq!(named, expected.map(|(name, shape)| (name.to_owned(), shape.to_vec())));
}

#[test]
fn presets_have_the_notebooks_parameters() {
    let mut known = 0;
    for preset in presets::all() {
        let config = Config::layered(Some(preset.toml), None).unwrap();
        if config.model.kind == crate::config::ModelKind::Ngram {
            continue;
        }
        let network = Network::<f32>::new(&config, 27, &mut TorchGenerator::new(1)).unwrap();
        let count = network.tape().parameter_count();
        assert_eq!(Some(count as u64), config.model.parameters(27), "{}", preset.name);
        let notebooks = [("deep-batchnorm", 224_097), ("manual-backprop", 12_297), ("bengio-printed", 1733)];
        if let Some((_, expected)) = notebooks.iter().find(|(name, _)| *name == preset.name) {
            assert_eq!(count, *expected, "{}", preset.name);
            known += 1;
        }
    }
    assert_eq!(known, 3);
}

#[test]
fn names_have_the_contracts_examples() {
    let Some(path) = shared_data("names.txt") else { return };
    let mut config = config("");
    config.data.path = Some(path);
    let data = Data::load(&config.data, None).unwrap();
    let trainer = Trainer::new(&config, &data).unwrap();
    assert_eq!(trainer.batches.examples().len(), 182_625);
    assert_eq!(trainer.val.len(), 22_655);
    assert_eq!(Examples::new(&data.splits.test, 3).unwrap().len(), 22_866);
}

#[test]
fn dropout_is_not_merged_and_does_nothing_in_evaluation() {
    let config = config("[model]\nhidden = [8]\ndropout = 0.5");
    let (mut network, graph, batches) = prepared::<f32>(&config, true);
    assert!(graph.rows.is_none());
    let mut plain = Config::clone(&config);
    plain.model.dropout = 0.0;
    let mut generator = TorchGenerator::new(5);
    let mut same = Network::<f32>::new(&plain, network.vocab_size(), &mut generator).unwrap();
    let context: Vec<u32> = batches.examples().context(3).collect();
    let (mut with, mut without) = (vec![0.0; network.vocab_size()], vec![0.0; network.vocab_size()]);
    network.log_probs(&context, &mut with);
    same.log_probs(&context, &mut without);
    assert_eq!(with, without);
}

#[test]
fn a_full_batch_too_large_is_refused_before_it_is_allocated() {
    let mut config = config("[model]\nhidden = [65536]\nembed = 2\n[train]\nbatch = 'full'");
    config.data.shuffle = crate::data::Shuffle::None;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "ab\n".repeat(10_000)).unwrap();
    config.data.path = Some(file.path().to_path_buf());
    let data = Data::load(&config.data, None).unwrap();
    // Three different contexts are no burden, but with dropout each of 24,000 examples has its own row.
    assert!(Trainer::new(&config, &data).is_ok());
    config.model.dropout = 0.1;
    let refused = Trainer::new(&config, &data).err().expect("refused").to_string();
    assert!(refused.starts_with("--batch full: 24000 rows of up to 65536 numbers"), "{refused}");
}

#[test]
fn an_optimizer_is_what_the_configuration_says() {
    let config = config("[train]\noptimizer = 'adamw'");
    let data = Data::load(&config.data, None).unwrap();
    assert!(matches!(Trainer::new(&config, &data).unwrap().optimizer, Optimizer::AdamW(_)));
}

#[test]
fn two_threads_halve_what_can_be_halved() {
    let train = |model: &str| {
        let config = config(model);
        let data = Data::load(&config.data, None).unwrap();
        let mut trainer = Trainer::new(&config, &data).unwrap();
        trainer.step().unwrap();
        trainer
    };
    kernels::set_threads(2);
    for model in
        ["[model]\nhidden = [200]", "[model]\nhidden = [128, 64]\nnorm = 'batch'\n[train]\nbatch = 64"]
    {
        let mut trainer = train(model);
        assert!(trainer.in_halves, "{model}");
        let before = trainer.network().tensors();
        assert!(!trainer.in_halves, "whoever looks sees the whole");
        trainer.step().unwrap();
        assert!(trainer.in_halves);
        assert_ne!(trainer.network().tensors(), before);
    }
    for model in [
        "[model]\nhidden = [201]",
        "[model]\nhidden = [200, 20]",
        "[model]\nhidden = [200]\nnorm = 'layer'",
        "[model]\nhidden = [200]\ndropout = 0.1",
        "[model]\nhidden = [200]\n[train]\nclip = 1.0",
        "[model]\nhidden = [200]\n[train]\nbatch = 2",
        "[model]\nkind = 'linear'\n[train]\nbatch = 1024",
    ] {
        assert!(!train(model).in_halves, "{model}");
    }
    kernels::set_threads(1);
}
