//! Makes the files of a case: examples, initial parameters, the first batches.

use std::fs;
use std::path::{Path, PathBuf};

use charloom::config::{Batch, Config, Schedule};
use charloom::data::Data;
use charloom::models::Neural;
use charloom_nn::Layer;
use charloom_tensor::rng::{StreamRng, TorchGenerator};
use protocol::{Case, write_u32};

use crate::cases::{Definition, Source};

/// The number of steps on which the peers are checked.
const CHECKS: u64 = 10;

type Failure = Box<dyn std::error::Error>;

/// Writes a case's files into `folder`. `data` is where names.txt and tinyshakespeare.txt are.
pub fn prepare(definition: &Definition, data: &Path, folder: &Path) -> Result<Case, Failure> {
    let mut config = Config::from_toml(&definition.config, Path::new(&definition.name))?;
    // The peers have no learning rate schedules.
    config.train.schedule = Schedule::Constant;
    config.data.path = Some(match definition.source {
        Source::Names => existing(data, "names")?,
        Source::Shakespeare => existing(data, "tinyshakespeare")?,
        Source::Synthetic(vocab) => {
            let path = folder.join(format!("synthetic-{vocab}.txt"));
            fs::write(&path, synthetic(vocab))?;
            path
        }
    });
    let data = Data::load(&config.data, None)?;
    config.resolve(data.mode());
    let mut generator = TorchGenerator::new(config.train.seed);
    let model = Neural::new(&config, data.vocab.len(), &mut generator)?;
    let net = Net::of(&model)?;
    let examples = data.splits.train.examples(net.context)?;
    let tensors = model.tensors();
    let batch = match config.train.batch {
        Batch::Size(b) => b,
        Batch::Full => 0,
    };
    let mut batches = vec![0; CHECKS as usize * batch];
    for batch in batches.chunks_mut(batch.max(1)) {
        generator.randint_into(examples.len() as u32, batch);
    }

    let path = |what: &str| folder.join(format!("{}.{what}", definition.name));
    let all = 0..examples.len();
    write_u32(&path("contexts"), all.clone().flat_map(|i| examples.context(i)))?;
    write_u32(&path("targets"), all.map(|i| examples.target(i)))?;
    let numbers = tensors.iter().flat_map(|t| t.as_f32().expect("parameters are f32"));
    write_u32(&path("weights"), numbers.map(|x| x.to_bits()))?;
    write_u32(&path("batches"), batches)?;
    let train = &config.train;
    Ok(Case {
        name: definition.name.clone(),
        contexts: path("contexts"),
        targets: path("targets"),
        examples: examples.len(),
        context: net.context,
        vocab: data.vocab.len(),
        embed: net.embed,
        hidden: net.hidden,
        activation: net.activation.to_owned(),
        norm: net.norm.to_owned(),
        dropout: net.dropout,
        hidden_bias: net.hidden_bias,
        output_bias: net.output_bias,
        batch,
        optimizer: train.optimizer.to_string(),
        lr: train.lr,
        weight_decay: train.weight_decay,
        weights: path("weights"),
        tensors: tensors.iter().map(|t| (t.name.clone(), t.shape.clone())).collect(),
        batches: path("batches"),
        checks: CHECKS,
        config: config.to_toml(),
    })
}

/// A model's layers as the peers get them; see [`Case`].
struct Net {
    context: usize,
    embed: usize,
    hidden: Vec<usize>,
    activation: &'static str,
    norm: &'static str,
    dropout: f64,
    hidden_bias: bool,
    output_bias: bool,
}

impl Net {
    /// The layers of this model; an error if the peers do not have them.
    fn of(model: &Neural) -> Result<Self, Failure> {
        let stack = model.stack()?;
        let (mut linears, mut activation, mut norm, mut dropout) = (Vec::new(), "tanh", "none", 0.0);
        for layer in &stack.layers.layers {
            match layer {
                Layer::Linear(linear) => linears.push(linear),
                Layer::BatchNorm1d(_) => norm = "batch",
                Layer::LayerNorm(_) => norm = "layer",
                Layer::Tanh(_) => activation = "tanh",
                Layer::Relu(_) => activation = "relu",
                Layer::Gelu(_) => activation = "gelu",
                Layer::Dropout(layer) => dropout = layer.p,
                other => return Err(format!("the peers have no {}", other.name()).into()),
            }
        }
        let (output, hidden) = linears.split_last().ok_or("a model without a linear layer")?;
        let dims = |id| model.params.entry(id).shape;
        Ok(Self {
            context: stack.context,
            embed: stack.embedding.map_or(0, |embedding| dims(embedding.weight).last()),
            hidden: hidden.iter().map(|linear| dims(linear.weight).dims()[0]).collect(),
            activation,
            norm,
            dropout,
            hidden_bias: hidden.iter().all(|linear| linear.bias.is_some()),
            output_bias: output.bias.is_some(),
        })
    }
}

fn existing(data: &Path, name: &str) -> Result<PathBuf, Failure> {
    let path = data.join(format!("{name}.txt"));
    if path.exists() {
        return Ok(path.canonicalize()?);
    }
    let set = charloom::data::Dataset::get(name)?;
    charloom::data::Cache::of_user()?
        .find(&set)
        .ok_or_else(|| format!("{}: no such file; 'charloom data get {name}' gets it", path.display()).into())
}

/// Words of 3 to 8 characters, with frequencies that fall as in real text: character n^u for a uniform u.
fn synthetic(vocab: usize) -> String {
    let characters: Vec<char> =
        (0..vocab as u32 - 1).map(|i| char::from_u32(0x4E00 + i).expect("a CJK ideograph")).collect();
    let mut random = StreamRng::new(1, vocab as u64);
    // Each character once, so that the vocabulary has the given size.
    let mut text: String =
        characters.chunks(8).map(|word| word.iter().chain(&['\n']).collect::<String>()).collect();
    for _ in 0..20_000 {
        for _ in 0..3 + random.next_u64() % 6 {
            let i = (characters.len() as f64).powf(random.uniform_f64()) - 1.0;
            text.push(characters[i as usize]);
        }
        text.push('\n');
    }
    text
}
