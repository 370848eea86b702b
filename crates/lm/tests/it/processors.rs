//! Training and sampling give the same bits on any processor: these hashes hold for every instruction set, on 64-bit ARM too.
//!
//! `CHARLOOM_ISA=avx2` and `portable` ask for less than this machine has; `.ci/run` runs this with each.

use charloom::data::Data;
use charloom::evaluation::evaluate;
use charloom::sample::{SampleOptions, Sampler};
use charloom::train::Trainer;
use charloom::{Config, presets};
use charloom_tensor::kernels::Isa;
use sha2::{Digest, Sha256};

/// The name, the configuration, and the hash of weights and state after some steps, of the losses and of samples.
const TRAININGS: [(&str, &str, &str); 9] = [
    ("default", "", "581680ddb3b75e36e0dd535bbf2453b051359e591428de52a9e32db1eb6b5e40"),
    ("deep BatchNorm", "deep-batchnorm", "c067f11832ff0482f7151fb9017b9ed85f0cad1752a41d3ec81e29f20b0c5099"),
    (
        "AdamW, LayerNorm, dropout",
        "[model]\nhidden = [96, 80]\nactivation = 'gelu'\nnorm = 'layer'\ndropout = 0.2\n\
         [train]\noptimizer = 'adamw'\nlr = 0.003\nweight_decay = 0.01\nschedule = 'cosine'\nclip = 0.5",
        "a6e6ae83e71de4fdf9d6a7db8262bcfc83c49bb15ab8b18ea5906fb5e33d07db",
    ),
    (
        "gru",
        "[model]\nkind = 'gru'\nembed = 20\nhidden = 40\nlayers = 2\nrecurrent_dropout = 0.1\n[train]\nlr = 0.5\nbatch = 24",
        "bec6c983c527e2c0d0e4fe5769b886303ee5a1c1557eaf127defe61e95481a37",
    ),
    (
        "lstm on streams",
        "[model]\nkind = 'lstm'\nembed = 0\nhidden = 36\ncontext = 20\n\
         [train]\noptimizer = 'adamw'\nlr = 0.01\nfeed = 'streams'\nclip = 1.0\nbatch = 8",
        "3b50ff24100c597a640ad7d1ff3228e716f77c9bc2efb825831aa6498711b778",
    ),
    (
        "transformer",
        "[model]\nkind = 'transformer'\nlayers = 2\nembed = 40\ndropout = 0.1\nattention_dropout = 0.1\n\
         [train]\noptimizer = 'adamw'\nlr = 0.003\nbatch = 16",
        "fb911468bfabc29ae45eef1bd59ea33d1256cf0fb3f1cd0a318e32aa2331b791",
    ),
    (
        "rotary, in windows that slide",
        "[model]\nkind = 'transformer'\nlayers = 2\nembed = 40\ncontext = 6\npositions = 'rotary'\nnorm = 'rms'\n\
         activation = 'gelu-tanh'\nbias = false\ntie = true\n[train]\nlr = 0.1\nbatch = 16",
        "8595d922abe465a66bca37ff3853f3f2d9a2326a84ef8819db156ca769312777",
    ),
    (
        "bow",
        "[model]\nkind = 'bow'\nembed = 20\nhidden = 24\n[train]\nlr = 0.1",
        "df50f53ebb32b8fa8c3b7762dece433476e9e34862b815c52e0c43cc4e84e5c7",
    ),
    (
        "wavenet",
        "[model]\nkind = 'wavenet'\nembed = 10\nhidden = 24\n[train]\nema = 0.9",
        "9b7659bb627ea28d5864fd4e7b2dab4b1b28faabdee570380ee2b7048633582e",
    ),
];

fn hash(toml: &str) -> String {
    let mut config = match presets::get(toml) {
        Ok(preset) => Config::layered(Some(preset.toml), None).unwrap(),
        Err(_) => Config::from_toml(toml, "test".as_ref()).unwrap(),
    };
    let text = if toml.contains("streams") { "data/harbour.txt" } else { "data/words.txt" };
    config.data.path = Some(charloom_testkit::fixture_path(text));
    config.train.steps = 12;
    let data = charloom::load_data(&mut config).unwrap();
    let mut trainer = Trainer::new(&config, &data).unwrap();
    let mut digest = Sha256::new();
    for _ in 0..12 {
        digest.update(trainer.step().unwrap().to_bits().to_le_bytes());
    }
    let checkpoint = trainer.checkpoint().unwrap();
    checkpoint.tensors.iter().chain(&checkpoint.state).for_each(|tensor| digest.update(tensor.to_npy()));
    digest.update(evaluate(trainer.model(), &data.splits.val).unwrap().unwrap().loss.to_bits().to_le_bytes());
    digest.update(samples(&mut trainer, &data));
    charloom::data::hex(&digest.finalize())
}

fn samples(trainer: &mut Trainer, data: &Data) -> String {
    let options = SampleOptions { n: 20, temperature: 0.9, max_length: 20, ..SampleOptions::default() };
    let sampler = Sampler::new(trainer.model(), &data.vocab, options, None).unwrap();
    sampler.map(|sample| sample.unwrap().text + "\n").collect()
}

#[test]
fn any_processor_gives_the_same_bits() {
    let found = TRAININGS.map(|(name, toml, _)| (name, hash(toml)));
    let expected = TRAININGS.map(|(name, _, hash)| (name, hash.to_owned()));
    assert_eq!(found, expected, "on {:?}", Isa::detect());
}
