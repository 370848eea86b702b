//! Any number of threads, and any change of it when a run is resumed, gives the same bits.

use charloom::data::Data;
use charloom::evaluation::evaluate;
use charloom::threads::Pool;
use charloom::train::{Threads, Trainer};
use charloom::{Checkpoint, Config};

const STEPS: u64 = 4;
const THREADS: [usize; 5] = [1, 2, 3, 8, 16];

/// What a thread is given at least: the smallest product here has 256 x 81 x 27 multiplications.
const LEAST: usize = 50_000;
const MODELS: [&str; 13] = [
    "[model]\nkind = 'linear'\n[train]\nmomentum = 0.9\nclip = 0.5",
    "[model]\nhidden = [200]\nembed = 10\ninit = 'unit-normal'",
    "[model]\nhidden = [100, 100]\nembed = 10\nnorm = 'batch'\n[train]\nweight_decay = 0.1",
    "[model]\nhidden = [128]\nnorm = 'layer'\nactivation = 'gelu'\n[train]\noptimizer = 'adamw'\nlr = 0.001",
    "[model]\nhidden = [150]\ndropout = 0.2\nactivation = 'relu'\ninit = 'torch'",
    "[model]\nembed = 0\nhidden = [99]\ncontext = 8",
    "[model]\nembed = 0\nhidden = [100]\nactivation = 'gelu'\n[train]\nmomentum = 0.9",
    "[model]\nhidden = [128, 64, 90]\nactivation = 'relu'\ninit = 'torch'\n[train]\noptimizer = 'adamw'\nlr = 0.001",
    "[model]\nkind = 'wavenet'\ncontext = 4\nembed = 24\nhidden = 64\n[train]\nema = 0.9\naccumulate = 2",
    "[model]\nhidden = [128]\n[train]\noptimizer = 'muon'\nlr = 0.01\nema = 0.5",
    "[model]\nkind = 'transformer'\nlayers = 2\nembed = 64\ndropout = 0.1\nattention_dropout = 0.1\n[train]\noptimizer = 'adamw'",
    "[model]\nkind = 'bow'\nembed = 64",
    "[model]\nkind = 'gru'\nembed = 32\nhidden = 72\nlayers = 2\ndropout = 0.1\nrecurrent_dropout = 0.1\n[train]\nclip = 1.0",
];
/// Those that a running text feeds, and how many pieces of it at once.
const ON_TEXT: [(&str, usize); 3] = [
    ("[model]\nkind = 'lstm'\nembed = 0\nhidden = 72\ncontext = 20\n[train]\nfeed = 'streams'", 24),
    ("[model]\nkind = 'rnn'\nembed = 32\nhidden = 96\ncontext = 20\n[train]\nfeed = 'random'\nema = 0.9", 64),
    (
        "[model]\nkind = 'transformer'\nlayers = 1\nembed = 64\ncontext = 24\npositions = 'rotary'\n[train]\nfeed = 'random'",
        24,
    ),
];

fn pool(threads: usize) -> Threads {
    Threads::Pool(Pool::with_least_work(threads, LEAST))
}

fn bytes(trainer: &mut Trainer) -> Vec<u8> {
    trainer.checkpoint().unwrap().to_bytes().unwrap()
}

#[test]
fn any_number_of_threads_gives_the_same_bits_and_so_does_resuming_at_every_step() {
    for (model, batch) in MODELS
        .iter()
        .map(|&model| (model, 256))
        .chain([(MODELS[1], 2048), (MODELS[1], 32), (MODELS[7], 7)])
        .chain(ON_TEXT)
    {
        let mut config = Config::from_toml(model, "test".as_ref()).unwrap();
        let file = if model.contains("feed") { "data/harbour.txt" } else { "data/words.txt" };
        config.data.path = Some(charloom_testkit::fixture_path(file));
        config.train.batch = charloom::config::Batch::Size(batch);
        config.train.steps = STEPS;
        let data = Data::load(&config.data, None).unwrap();
        let mut expected: Option<(Vec<Vec<u8>>, u64)> = None;
        for threads in THREADS {
            let mut trainer = Trainer::new(&config, &data).unwrap().with_threads(pool(threads));
            let mut states = vec![bytes(&mut trainer)];
            for _ in 0..STEPS {
                trainer.step().unwrap();
                states.push(bytes(&mut trainer));
            }
            let evaluated = Pool::with_least_work(threads, LEAST)
                .enter(false, || evaluate(trainer.model(), &data.splits.train));
            let loss = evaluated.unwrap().unwrap().loss;
            assert!(loss.is_finite());
            let (states_before, loss_before) = expected.get_or_insert((states.clone(), loss.to_bits()));
            assert!(states == *states_before, "{threads} threads differ: {model}");
            assert_eq!(loss.to_bits(), *loss_before, "{threads} threads evaluate differently: {model}");
        }
        let (states, _) = expected.unwrap();
        assert_ne!(states[0], states[1]);
        for (k, state) in states.iter().enumerate() {
            let checkpoint = Checkpoint::from_bytes(state, "state".as_ref()).unwrap();
            let trainer = Trainer::resume(&checkpoint, &data, "state".as_ref()).unwrap();
            let mut trainer = trainer.with_threads(pool(THREADS[(k + 2) % THREADS.len()]));
            while trainer.steps_done() < STEPS {
                trainer.step().unwrap();
            }
            assert!(bytes(&mut trainer) == states[STEPS as usize], "resumed at step {k}: {model}");
        }
    }
}
