use charloom_tensor::{Grads, Pass};
use charloom_testkit::{assert_close, fixture_path, gradcheck, shared_data};

use super::*;
use crate::config::Batch;
use crate::models::LanguageModel;
use crate::presets;

fn config(model: &str) -> Config {
    let mut config = Config::from_toml(model, "test".as_ref()).unwrap();
    config.data.path = Some(fixture_path("data/words.txt"));
    config
}

/// A model, its loss in `E` on a batch, and its gradients.
struct Prepared<E: Precision> {
    model: Neural,
    params: Params<E>,
    step: StepRecording<E>,
    feed: Box<dyn Feed>,
    grads: Grads<E>,
}

impl<E: Precision> Prepared<E> {
    fn new(config: &Config, merge: bool) -> Self {
        let data = Data::load(&config.data, None).unwrap();
        let mut generator = TorchGenerator::new(5);
        let model = Neural::new(config, data.vocab.len(), &mut generator).unwrap();
        let params = model.params.cast::<E>();
        let feed = model.net.feed(&data.splits.train, &config.train, merge).unwrap();
        let (mut feed, mut step) =
            match step::record(&params, &model.net, &*feed, config.train.batch).unwrap() {
                Some(step) => (feed, step),
                None => super::feed(&model, &params, &data.splits.train, &config.train).unwrap(),
            };
        feed.draw(&mut generator);
        step.fill(&*feed);
        let grads = Grads::zeros(&params);
        let mut prepared = Self { model, params, step, feed, grads };
        prepared.loss();
        prepared
    }

    fn loss(&mut self) -> E {
        let pass = Pass { rows: self.feed.rows(), counts: self.feed.counts(), ..Pass::training() };
        self.step.recording.forward(&self.params, &pass);
        self.step.recording.backward(&self.params, &mut self.grads, self.step.loss, &pass);
        self.step.recording.item(self.step.loss)
    }

    fn is_merged(&self) -> bool {
        self.feed.merges()
    }
}

const MODELS: [&str; 7] = [
    "[model]\nkind = 'linear'\ncontext = 2\nbias = true",
    "[model]\nkind = 'linear'\ncontext = 1\n[train]\nbatch = 'full'",
    "[model]\nhidden = [12]\ninit = 'torch'",
    "[model]\nhidden = [9, 8]\nnorm = 'batch'\nbias = true",
    "[model]\nhidden = [7]\nnorm = 'layer'\nactivation = 'gelu'\nembed = 0\ncontext = 2",
    "[model]\nhidden = [7]\nactivation = 'relu'\nembed = 3\ninit = 'unit-columns'",
    "[model]\nkind = 'wavenet'\ncontext = 4\nembed = 3\nhidden = [6]",
];

#[test]
fn merged_rows_give_the_same_loss_and_gradients() {
    for model in MODELS {
        let config = config(model);
        let [merged, apart] = [true, false].map(|merge| {
            let mut prepared = Prepared::<f64>::new(&config, merge);
            assert_eq!(prepared.is_merged(), merge, "{model}");
            let loss = prepared.loss();
            prepared.step.recording.store_buffers(&mut prepared.params);
            assert_eq!(prepared.feed.counts().iter().any(|&count| count > 1), merge, "{model}");
            (loss, prepared.grads.values().to_vec(), prepared.params.buffers().to_vec())
        });
        assert_close(&[merged.0], &[apart.0], 1e-12, 0.0);
        assert_close(&merged.1, &apart.1, 1e-9, 1e-12);
        assert_close(&merged.2, &apart.2, 1e-9, 1e-12);
    }
}

#[test]
fn whole_models_have_right_gradients() {
    for model in MODELS {
        let mut config = config(model);
        // With few examples the loss has little rounding error beside the differences.
        config.train.batch = Batch::Size(24);
        let mut prepared = Prepared::<f64>::new(&config, true);
        let (point, gradient) = (prepared.params.values().to_vec(), prepared.grads.values().to_vec());
        let f = |p: &[f64]| {
            prepared.params.values_mut().copy_from_slice(p);
            prepared.loss()
        };
        gradcheck(f, &point, &gradient).assert_below(1e-6);
    }
}

#[test]
fn a_row_is_the_same_whatever_its_company() {
    for model in MODELS {
        let config = config(model);
        let data = Data::load(&config.data, None).unwrap();
        let model_of = Prepared::<f32>::new(&config, true).model;
        let vocab = model_of.vocab_size();
        let mut reader = model_of.reader();
        let tokens = data.splits.train.tokens().slice(0..700).to_vec();
        let mut together = vec![0.0; 700 * vocab];
        let mut state = reader.start(700, 0);
        reader.read(&mut state, &tokens);
        reader.log_probs(&state, &mut together);
        for i in (0..700).step_by(13) {
            let mut alone = vec![0.0; vocab];
            reader.log_probs(&state.select(&[i]), &mut alone);
            assert_eq!(alone, together[i * vocab..][..vocab], "row {i} of {model}");
            let sum: f32 = alone.iter().map(|p| p.exp()).sum();
            assert_close(&[sum], &[1.0], 1e-5, 0.0);
        }
    }
}

#[test]
fn names_and_shapes_are_torchs() {
    let config = config("[model]\nhidden = [9, 8]\nnorm = 'batch'\ndropout = 0.5\nembed = 4\ncontext = 2");
    let model = Neural::new(&config, 27, &mut TorchGenerator::new(1)).unwrap();
    let named: Vec<(String, Vec<usize>)> =
        model.tensors().into_iter().map(|tensor| (tensor.name, tensor.shape)).collect();
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
        if config.model.kind == "ngram" {
            continue;
        }
        let model = Neural::new(&config, 27, &mut TorchGenerator::new(1)).unwrap();
        let count = model.params.parameter_count();
        assert_eq!(Some(count as u64), crate::models::parameters(&config, 27).unwrap(), "{}", preset.name);
        let notebooks = [
            ("deep-batchnorm", 224_097),
            ("manual-backprop", 12_297),
            ("bengio-printed", 1733),
            ("wavenet", 76_579),
        ];
        if let Some((_, expected)) = notebooks.iter().find(|(name, _)| *name == preset.name) {
            assert_eq!(count, *expected, "{}", preset.name);
            known += 1;
        }
    }
    assert_eq!(known, 4);
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn names_have_the_contracts_examples() {
    let path = shared_data("names.txt");
    let mut config = config("");
    config.data.path = Some(path);
    let data = Data::load(&config.data, None).unwrap();
    let trainer = Trainer::new(&config, &data).unwrap();
    assert_eq!(trainer.examples(), 182_625);
    assert_eq!(trainer.val.examples(3).unwrap().len(), 22_655);
    assert_eq!(data.splits.test.examples(3).unwrap().len(), 22_866);
}

#[test]
fn dropout_is_not_merged_and_does_nothing_in_evaluation() {
    let config = config("[model]\nhidden = [8]\ndropout = 0.5");
    let prepared = Prepared::<f32>::new(&config, true);
    assert!(!prepared.is_merged());
    let mut plain = Config::clone(&config);
    plain.model.set("dropout", 0.0);
    let same = Neural::new(&plain, prepared.model.vocab_size(), &mut TorchGenerator::new(5)).unwrap();
    let [with, without] = [&prepared.model, &same].map(|model| {
        let mut reader = model.reader();
        let mut state = reader.start(1, 0);
        reader.read(&mut state, &[3]);
        let mut log_probs = vec![0.0; model.vocab_size()];
        reader.log_probs(&state, &mut log_probs);
        log_probs
    });
    assert_eq!(with, without);
}

#[test]
fn a_batch_of_text_too_large_says_which_context_is_not() {
    let toml = "[model]\nkind = 'transformer'\ncontext = 9000\n[data]\nmode = 'text'";
    let mut config = config(toml);
    let corpus =
        crate::data::Corpus::from_bytes("here", "ab ".repeat(5000).as_bytes(), &config.data).unwrap();
    let data = Data::of(corpus, &config.data, None).unwrap();
    crate::resolve_config(&mut config, &data).unwrap();
    let refused = Trainer::new(&config, &data).err().expect("refused").to_string();
    let (_, most) = refused.split_once("choose a ``context`` of at most ").expect(&refused);
    let most: usize = most.split(' ').next().unwrap().parse().unwrap();
    let widest = models::shapes_and_net(&config, data.vocab.len()).unwrap().unwrap().1.widest();
    assert_eq!(most, (1 << 30) / widest / 32, "{refused}");
}

#[test]
fn a_full_batch_too_large_is_refused_before_it_is_allocated() {
    let mut config = config("[model]\nhidden = [65536]\nembed = 2\n[train]\nbatch = 'full'");
    config.data.shuffle = crate::data::Shuffle::None;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "ab\n".repeat(10_000)).unwrap();
    config.data.path = Some(file.path().to_path_buf());
    let data = Data::load(&config.data, None).unwrap();
    // Merged, there are three distinct contexts; with dropout each of 24,000 examples has its own row.
    assert!(Trainer::new(&config, &data).is_ok());
    config.model.set("dropout", 0.1);
    let refused = Trainer::new(&config, &data).err().expect("refused").to_string();
    let said = "``batch`` full: 24000 rows of up to 65536 numbers are too many, 16384 the most; choose";
    assert!(refused.starts_with(said), "{refused}");
}

#[test]
fn an_optimizer_is_what_the_configuration_says() {
    for (optimizer, tensors) in [("adamw", 2), ("sgd", 0)] {
        let config = config(&format!("[model]\nkind = 'linear'\n[train]\noptimizer = '{optimizer}'"));
        let data = Data::load(&config.data, None).unwrap();
        let trainer = Trainer::new(&config, &data).unwrap();
        assert_eq!(trainer.optimizer.state(&trainer.model.params).len(), tensors);
    }
}

#[test]
fn two_threads_halve_what_can_be_halved() {
    let train = |model: &str| {
        let config = config(model);
        let data = Data::load(&config.data, None).unwrap();
        let mut trainer = Trainer::new(&config, &data).unwrap().with_threads(Threads::Pool(Pool::new(2)));
        trainer.step().unwrap();
        trainer
    };
    for model in
        ["[model]\nhidden = [200]", "[model]\nhidden = [128, 64]\nnorm = 'batch'\n[train]\nbatch = 64"]
    {
        let mut trainer = train(model);
        assert!(trainer.stepper.is_sharded(), "{model}");
        let before = trainer.model().tensors();
        assert!(!trainer.stepper.is_sharded(), "the whole model is there when it is asked for");
        trainer.step().unwrap();
        assert!(trainer.stepper.is_sharded());
        assert_ne!(trainer.model().tensors(), before);
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
        assert!(!train(model).stepper.is_sharded(), "{model}");
    }
}

#[test]
fn nothing_of_an_update_is_kept_if_the_loss_of_one_of_its_batches_is_not_finite() {
    let mut config = config("[model]\nhidden = [8]\nnorm = 'batch'\n[train]\nbatch = 2");
    let data = Data::load(&config.data, None).unwrap();
    let tokens = data.splits.train.tokens();
    let often = |token: u32| tokens.iter().filter(|&t| t == token).count();
    let rarest = (0..data.vocab.len() as u32).min_by_key(|&token| often(token)).unwrap();
    let mut step = |accumulate| {
        config.train.accumulate = accumulate;
        let mut trainer = Trainer::new(&config, &data).unwrap();
        let embedding =
            trainer.model.params.trained().find(|e| e.name == "embedding.weight").unwrap().clone();
        let mut table = embedding.read(trainer.model.params.values());
        let width = embedding.shape.dims()[1];
        table[rarest as usize * width..][..width].fill(f32::NAN);
        embedding.write(&table, trainer.model.params.values_mut());
        let bits = |trainer: &Trainer| {
            let params = &trainer.model.params;
            params.values().iter().chain(params.buffers()).map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        let before = bits(&trainer);
        (trainer.step().is_ok(), bits(&trainer) == before)
    };
    assert_eq!(step(1), (true, false), "the first batch is without the rarest character");
    assert_eq!(step(1000), (false, true));
}

#[test]
fn a_small_file_that_claims_a_large_model_is_refused_before_it_is_allocated() {
    let config = config("[model]\nhidden = [9000, 9000]");
    let vocab = Vocab::new(crate::data::Mode::Lines, "abc".chars());
    let checkpoint =
        crate::Checkpoint { config, vocab, step: 0, metrics_bytes: 0, tensors: vec![], state: vec![] };
    let said = crate::models::open(&checkpoint, "small".as_ref()).err().expect("refused").to_string();
    assert!(said.contains("layers.2.weight is missing"), "{said}");
}
