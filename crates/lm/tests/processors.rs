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

/// The name, the configuration, and the hash of the checkpoint after some steps, of the losses and of samples.
const TRAININGS: [(&str, &str, &str); 3] = [
    ("default", "", "41368f1fa5b7613e53366d879d781c9501c85fee6b6df8ffb24c49a56f1a373d"),
    ("deep BatchNorm", "deep-batchnorm", "d4a8bfae2a498e2c2c3e9d4ef266da4e21e3e878d9154d2012fcdcc37f65476f"),
    (
        "AdamW, LayerNorm, dropout",
        "[model]\nhidden = [96, 80]\nactivation = 'gelu'\nnorm = 'layer'\ndropout = 0.2\n\
         [train]\noptimizer = 'adamw'\nlr = 0.003\nweight_decay = 0.01\nschedule = 'cosine'\nclip = 0.5",
        "65f525b23237de4ae3c27e48ce928474db917be7b280ed77c63dd633a9c3360b",
    ),
];

fn hash(toml: &str) -> String {
    let mut config = match presets::get(toml) {
        Ok(preset) => Config::layered(Some(preset.toml), None).unwrap(),
        Err(_) => Config::from_toml(toml, "test".as_ref()).unwrap(),
    };
    config.data.path = Some(charloom_testkit::fixture_path("data/words.txt"));
    config.train.steps = 12;
    let data = charloom::load_data(&mut config).unwrap();
    // What is hashed names no path.
    config.data.path = None;
    config.data.sha256 = None;
    let mut trainer = Trainer::new(&config, &data).unwrap();
    let mut digest = Sha256::new();
    for _ in 0..12 {
        digest.update(trainer.step().unwrap().to_bits().to_le_bytes());
    }
    digest.update(trainer.checkpoint().unwrap().to_bytes().unwrap());
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
