//! A training step takes no memory.

use std::sync::atomic::AtomicBool;

use allocation_counter::measure;
use charloom::Config;
use charloom::data::Data;
use charloom::threads::Pool;
use charloom::train::{FitOptions, Threads, Trainer, Training, Unwatched};

/// Every model, optimizer and way to make a batch.
const MODELS: [&str; 12] = [
    "",
    "[model]\nnorm = 'batch'\nhidden = [20, 20]\n[train]\noptimizer = 'adamw'\nclip = 0.5",
    "[model]\nnorm = 'layer'\nembed = 0\nactivation = 'gelu'\n[train]\nmomentum = 0.9\nweight_decay = 0.1",
    "[model]\ndropout = 0.5\nactivation = 'relu'\n[train]\nschedule = 'cosine'\nwarmup = 0.1",
    "[model]\nkind = 'linear'\nbias = true\n[train]\nbatch = 'full'",
    "[model]\nkind = 'wavenet'\ncontext = 4\nhidden = 8\n[train]\naccumulate = 2",
    "[model]\nkind = 'gru'\nhidden = 8\nlayers = 2\ndropout = 0.2\nrecurrent_dropout = 0.1\n[train]\nbatch = 4",
    "[model]\nkind = 'lstm'\nhidden = 8\nembed = 0\ncontext = 97\n[train]\nbatch = 8\nfeed = 'streams'\nclip = 1.0",
    "[model]\nkind = 'transformer'\nlayers = 2\nembed = 8\ntie = true\ncontext = 6\n[train]\noptimizer = 'adamw'\nclip = 1",
    "[model]\nkind = 'bow'",
    "[model]\nkind = 'rnn'\nhidden = 8\ncontext = 20\n[train]\nbatch = 5\nfeed = 'random'",
    "[model]\nkind = 'transformer'\nlayers = 1\nembed = 8\ncontext = 16\n[train]\nbatch = 3\nfeed = 'random'",
];

#[test]
fn a_step_takes_no_memory() {
    for (model, threads) in MODELS.map(|model| (model, 1)).into_iter().chain([(MODELS[0], 2)]) {
        let mut config = Config::from_toml(model, "test".as_ref()).unwrap();
        let data = if model.contains("feed") { "data/harbour.txt" } else { "data/words.txt" };
        config.data.path = Some(charloom_testkit::fixture_path(data));
        let data = Data::load(&config.data, None).unwrap();
        // Of two threads this counts one, which does what the other does.
        let threads = Threads::Pool(Pool::new(threads));
        let mut trainer = Trainer::new(&config, &data).unwrap().with_threads(threads);
        // The first step works out the backward pass.
        let mut losses = [trainer.step().unwrap(); 50];
        let taken =
            measure(|| losses.iter_mut().for_each(|loss| *loss = trainer.step().unwrap())).count_total;
        assert_eq!(taken, 0, "{model}");
        assert!(losses[49] != losses[0]);
        if ["'rnn'", "'gru'", "'lstm'"].iter().any(|kind| model.contains(kind)) {
            continue;
        }
        // Neither does one between two looks of a training with diagnostics.
        trainer.diagnose().unwrap();
        trainer.step().unwrap();
        let mut looks = 0;
        let step = |_| {
            trainer.step().unwrap();
            looks += trainer.take_records().len();
        };
        assert_eq!((measure(|| (52..100).for_each(step)).count_total, looks), (0, 0), "{model}, diagnostics");
    }
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1u8]))).count_total, 1, "allocations are counted");
}

#[test]
fn a_vocabulary_of_100_000_is_too_large_before_anything_is_made_for_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("many");
    let many = ('\u{3400}'..).filter(|c| !c.is_whitespace()).take(100_000);
    std::fs::write(&path, many.map(|c| format!("{c}\n")).collect::<String>()).unwrap();
    let mut config = Config::from_toml("[model]\nkind = 'linear'", "test".as_ref()).unwrap();
    config.data.path = Some(path);
    let mut said = String::new();
    let taken = measure(|| said = charloom::load_data(&mut config).unwrap_err().to_string());
    assert!(said.contains("100001 characters make 30000600003 parameters; the limit is"), "{said}");
    // The words themselves, their tokens and their order.
    assert!(taken.bytes_max < 30_000_000, "{} bytes", taken.bytes_max);
}

/// The most memory that a training has at one time, in bytes of its file, with everything that belongs to one.
fn memory(text: &str, toml: &str, train: fn(&Config, &Data)) -> f64 {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("large");
    std::fs::write(&path, text).unwrap();
    let mut config = Config::from_toml(toml, "test".as_ref()).unwrap();
    config.data.path = Some(path);
    let taken = measure(|| {
        let data = charloom::load_data(&mut config).unwrap();
        train(&config, &data);
    });
    taken.bytes_max as f64 / text.len() as f64
}

/// The data's card, steps, an evaluation, what ignorance would give, which words are new.
fn steps(config: &Config, data: &Data) {
    std::hint::black_box(data.card(3));
    let mut trainer = Trainer::new(config, data).unwrap().with_threads(Threads::Pool(Pool::new(1)));
    for _ in 0..20 {
        trainer.step().unwrap();
    }
    let sample = data.splits.train.sample(trainer.config().train.eval_size.unwrap());
    for split in [&sample, &data.splits.val] {
        charloom::evaluation::evaluate(trainer.model(), split).unwrap();
        charloom::evaluation::baselines(&data.splits.train, split, data.vocab.len()).unwrap();
    }
    std::hint::black_box(charloom::sample::KnownWords::of(&data.splits));
}

/// The card and the training of a model that counts.
fn counting(config: &Config, data: &Data) {
    std::hint::black_box(data.card(2));
    let mut training = Training::new(config, data, FitOptions::default()).unwrap();
    training.run(None, &AtomicBool::new(false), &mut Unwatched).unwrap();
}

/// Letters without a pattern, the same each time.
fn letters() -> impl FnMut() -> char {
    let mut x = 1u32;
    move || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + ((x >> 16) % 26) as u8)
    }
}

fn large_text() -> String {
    let mut letter = letters();
    (0..2 << 20).map(|_| letter()).collect()
}

fn large_list(lines: usize) -> String {
    let mut letter = letters();
    (0..8 * lines).map(|i| if i % 8 == 7 { '\n' } else { letter() }).collect()
}

const LINEAR: &str = "[model]\nkind = 'linear'\ncontext = 2\n[train]\nsteps = 20\n";
const COUNTS: &str = "[model]\nkind = 'ngram'\norder = 3\n";
const AS_TEXT: &str = "[data]\nmode = 'text'\n";

// The most is while the text is made into tokens; then come tokens, 8 bytes a word, scores of what is judged. What the
// program takes itself comes on top: of a file of 7 MB twice the file. One test each, for as many processors.

#[track_caller]
fn at_most(most: f64, times: f64) {
    assert!(times < most, "{times:.2} times the file");
}

#[test]
fn a_large_text_takes_four_times_its_bytes() {
    at_most(4.0, memory(&large_text(), &format!("{LINEAR}{AS_TEXT}"), steps));
}

#[test]
fn a_large_list_takes_four_times_its_bytes() {
    at_most(4.0, memory(&large_list(500_000), LINEAR, steps));
}

#[test]
fn a_large_list_takes_less_where_words_are_read_from_their_beginning() {
    let lines = large_list(500_000);
    for model in ["kind = 'gru'\nhidden = 2\nembed = 0", "kind = 'bow'\nembed = 2"] {
        at_most(3.5, memory(&lines, &format!("[model]\n{model}\n[train]\nsteps = 20\n"), steps));
    }
}

#[test]
fn counting_a_large_text_takes_four_times_its_bytes() {
    at_most(4.0, memory(&large_text(), &format!("{COUNTS}{AS_TEXT}"), counting));
}

#[test]
fn counting_a_large_list_takes_four_times_its_bytes() {
    at_most(4.0, memory(&large_list(250_000), COUNTS, counting));
}

#[test]
fn counting_contexts_that_differ_takes_twenty_times_their_bytes() {
    // Of random words most n-grams of 5 are different: 3 bytes of each are kept, and 18 of each context.
    at_most(20.0, memory(&large_list(100_000), "[model]\nkind = 'ngram'\norder = 5\n", counting));
}
