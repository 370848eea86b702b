//! A model of one's own: a cell with a hidden state, and a mixture of it with an n-gram. Nothing else is touched.

use charloom::config::{Config, ModelConfig};
use charloom::data::Data;
use charloom::evaluation::{compare, evaluate, score};
use charloom::files::RunFolder;
use charloom::models::{LanguageModel, Reach, Reader, State, count, open, register};
use charloom::sample::{SampleOptions, Sampler};
use charloom::train::{FitOptions, Unwatched, fit};
use charloom::{Checkpoint, load_data};

// Its toy is the examples' own.
#[path = "../../../examples/15_own_model.rs"]
#[expect(dead_code, reason = "what it does as a program")]
mod example;

static TOY: example::Toy = example::Toy;

fn ready() -> (Config, Data) {
    // Another test of this file may have been first.
    drop(register(&TOY));
    let toml = "[model]\nkind = 'toy'\nwidth = 24\n[train]\nsteps = 300\nlr = 0.5\nbatch = 16\nlr_drops = []";
    let mut config = Config::from_toml(toml, "toy.toml".as_ref()).unwrap();
    config.data.path = Some(charloom_testkit::fixture_path("data/words.txt"));
    let data = load_data(&mut config).unwrap();
    (config, data)
}

/// Both models' probabilities, weighed alike.
struct Mixture<'m>([&'m dyn LanguageModel; 2]);

impl LanguageModel for Mixture<'_> {
    fn vocab_size(&self) -> usize {
        self.0[0].vocab_size()
    }

    fn reach(&self) -> Reach {
        Reach::Unbounded
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(Both(self.0.map(LanguageModel::reader)))
    }
}

struct Both<'m>([Box<dyn Reader + 'm>; 2]);

impl Reader for Both<'_> {
    fn start(&mut self, n: usize, first: u32) -> State {
        State { rows: n, members: self.0.iter_mut().map(|m| m.start(n, first)).collect(), ..State::default() }
    }

    fn read(&mut self, state: &mut State, tokens: &[u32]) {
        self.0.iter_mut().zip(&mut state.members).for_each(|(m, state)| m.read(state, tokens));
    }

    fn log_probs(&mut self, state: &State, out: &mut [f32]) {
        let mut other = vec![0.0; out.len()];
        self.0[0].log_probs(&state.members[0], out);
        self.0[1].log_probs(&state.members[1], &mut other);
        out.iter_mut().zip(other).for_each(|(p, q)| *p = (0.5 * p.exp() + 0.5 * q.exp()).ln());
    }
}

fn samples(model: &dyn LanguageModel, data: &Data, seed: u64) -> Vec<String> {
    let options = SampleOptions { n: 20, seed, ..SampleOptions::default() };
    Sampler::new(model, &data.vocab, options, None).unwrap().map(|sample| sample.unwrap().text).collect()
}

#[test]
fn a_model_with_a_state_does_what_models_do_and_so_does_a_mixture_of_it() {
    let (config, data) = ready();
    let home = tempfile::tempdir().unwrap();
    let runs = ["toy", "ngram"].map(|name| home.path().join(name));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut folder = RunFolder::create(&runs[0], false).unwrap();
    fit(&config, &data, &mut folder, FitOptions::default(), &stop, &mut Unwatched).unwrap();
    drop(folder);
    let file = runs[0].join("best.safetensors");
    let toy = open(&Checkpoint::read(&file).unwrap(), &file).unwrap();
    let loss = |model: &dyn LanguageModel| evaluate(model, &data.splits.val).unwrap().unwrap().loss;
    let ignorance = (data.vocab.len() as f64).ln();
    assert!(loss(&*toy) < ignorance - 0.5, "{} of {ignorance}", loss(&*toy));

    let mut counting = config.clone();
    counting.model = ModelConfig::of("ngram").with("order", 3);
    let mut folder = RunFolder::create(&runs[1], false).unwrap();
    fit(&counting, &data, &mut folder, FitOptions::default(), &stop, &mut Unwatched).unwrap();
    let (ngram, _) = count(&counting, &data).unwrap();
    let mixture = Mixture([&*toy, &*ngram]);
    assert!(loss(&mixture) < loss(&*toy).max(loss(&*ngram)));
    for model in [&*toy, &mixture] {
        // What is sampled is scored alike, and each distribution sums to 1.
        let words = samples(model, &data, 7);
        assert_eq!(words, samples(model, &data, 7));
        for scored in score(model, &data.vocab, &words) {
            assert!(scored.unwrap().log_prob < 0.0);
        }
        let mut reader = model.reader();
        let mut state = reader.start(2, 0);
        reader.read(&mut state, &[1, 2]);
        let mut out = vec![0.0; 2 * data.vocab.len()];
        reader.log_probs(&state.select(&[1, 0]), &mut out);
        assert!((out.iter().map(|p| f64::from(*p).exp()).sum::<f64>() - 2.0).abs() < 1e-5);
    }
    let compared = compare(&runs, "val", None).unwrap();
    assert_eq!(compared.runs.len(), 2);
    assert!((compared.runs[0].evaluation.loss - loss(&*toy)).abs() < 1e-12);
}

#[test]
fn its_gradients_are_right_and_a_trie_gives_each_words_own_loss() {
    let (config, data) = ready();
    let report = charloom::gradcheck::gradcheck(&config, &data, &Default::default()).unwrap();
    assert!(report.passed, "{report:#?}");
    // The loss of all training words at once is that of the words read one by one.
    let mut full = config;
    full.train.batch = charloom::config::Batch::Full;
    let mut trainer = charloom::train::Trainer::new(&full, &data).unwrap();
    let read = evaluate(trainer.model(), &data.splits.train).unwrap().unwrap();
    let step = f64::from(trainer.step().unwrap());
    assert!((step - read.loss).abs() < 1e-4, "{step}, {}", read.loss);
}

#[test]
fn four_threads_sample_from_one_model() {
    let (config, data) = ready();
    let trainer = charloom::train::Trainer::new(&config, &data).unwrap();
    let model = trainer.into_model();
    let alone: Vec<Vec<String>> = (0..4).map(|seed| samples(&model, &data, seed)).collect();
    let together: Vec<Vec<String>> = std::thread::scope(|scope| {
        let sample = |seed| {
            scope.spawn({
                let (model, data) = (&model, &data);
                move || samples(model, data, seed)
            })
        };
        let threads: Vec<_> = (0..4).map(sample).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
}
