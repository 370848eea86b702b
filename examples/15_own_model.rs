//! A model of one's own: a recurrent cell that the library has never heard of. All else works with it.
//!
//!     cargo run --release -p charloom --example 15_own_model

use charloom::config::{Setting, Settings};
use charloom::models::{Kind, Learning, Net, NeuralKind, Reach, RecurrentCell, register};
use charloom::prelude::*;
use charloom_nn::{Embedding, Init, Linear, Scope};
use charloom_tensor::{Element, Indices, Tape, Var};

/// The kind of model that this program brings.
pub struct Toy;

charloom::settings! {
    /// What a configuration says of it.
    ToySettings {
        /// H, how many numbers its state has
        width: usize = 16, "from 1 to 1024", |width| (1..=1024).contains(width);
    }
}

/// h' = tanh(E[x] + W h), logits = V h'
struct Layers {
    width: usize,
    embedding: Embedding,
    hidden: Linear,
    output: Linear,
}

impl RecurrentCell for Layers {
    fn state_width(&self) -> usize {
        self.width
    }

    fn step<'t, E: Element>(
        &self,
        tape: &'t Tape<'t, E>,
        tokens: Indices,
        state: Var<'t, E>,
    ) -> [Var<'t, E>; 2] {
        let next = (self.embedding.forward(tape, tokens) + self.hidden.forward(state)).tanh();
        [next, self.output.forward(next)]
    }
}

impl Kind for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn settings(&self) -> &'static [Setting] {
        ToySettings::SETTINGS
    }

    fn fill(&self, model: &mut ModelConfig) -> Result<Reach> {
        let settings: ToySettings = model.read()?;
        model.write(&settings).map(|()| Reach::Unbounded)
    }

    fn learning(&self) -> Learning<'_> {
        Learning::ByGradients(self)
    }
}

impl NeuralKind for Toy {
    fn init(&self, _: &ModelConfig) -> Result<Init> {
        Ok(Init::Torch)
    }

    fn net(&self, model: &ModelConfig, vocab: usize, _: u64, scope: &mut Scope<'_>) -> Result<Net> {
        let ToySettings { width } = model.read()?;
        Ok(Net::cell(Layers {
            width,
            embedding: Embedding::new(&mut scope.at("embedding"), vocab, width),
            hidden: Linear::new(&mut scope.at("hidden"), width, width, true),
            output: Linear::new(&mut scope.at("output"), width, vocab, true),
        }))
    }
}

fn main() -> Result<()> {
    register(&Toy)?;
    let model = ModelConfig::of("toy").with("width", 64);
    let mut config = Config { model, ..Config::default() };
    config.train.steps = 2000;
    config.train.lr = 0.5;
    let data = load_data(&mut config)?;
    let mut trainer = Trainer::new(&config, &data)?;
    for step in 0..config.train.steps {
        let loss = trainer.step()?;
        if step % 400 == 0 {
            println!("step {step:5}  loss {loss:.4}");
        }
    }
    for sample in Sampler::new(trainer.model(), &data.vocab, SampleOptions::default(), None)? {
        println!("{}", sample?.text);
    }
    Ok(())
}
