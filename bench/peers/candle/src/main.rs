//! candle, as a peer in the comparison.
#![forbid(unsafe_code)]

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::batch_norm::BatchNorm;
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW, SGD};
use candle_nn::{ModuleT, loss, ops};
use protocol::{Case, Layer, Outcome, Peer, Random, Task, Weight, read_u32};
use std::collections::HashMap;

enum Optimize {
    Sgd(SGD),
    AdamW(AdamW),
}

struct Candle {
    case: Case,
    params: HashMap<String, Var>,
    norms: HashMap<String, BatchNorm>,
    layers: Vec<Layer>,
    contexts: Vec<u32>,
    targets: Vec<u32>,
    /// The examples of the first steps.
    batches: Vec<u32>,
    optimize: Optimize,
    random: Random,
    /// All inputs and targets, in a case whose batch is all examples.
    full: Option<(Tensor, Tensor)>,
}

impl Peer for Candle {
    fn open(case: &Case) -> std::result::Result<Self, String> {
        Self::new(case).map_err(|e| e.to_string())
    }

    fn run(&mut self, task: Task, n: u64) -> std::result::Result<Outcome, String> {
        Outcome::of(|| self.value(task, n)).map_err(|e| e.to_string())
    }
}

impl Candle {
    fn new(case: &Case) -> Result<Self> {
        let (mut params, mut buffers) = (HashMap::new(), HashMap::new());
        let mut all = Vec::new();
        for Weight { name, shape, data } in case.read_weights()? {
            let tensor = Tensor::from_vec(data, shape, &Device::Cpu)?;
            if name.contains("running") {
                buffers.insert(name, tensor);
            } else {
                let var = Var::from_tensor(&tensor)?;
                all.push(var.clone());
                params.insert(name, var);
            }
        }
        let layers = case.layers();
        let mut norms = HashMap::new();
        for layer in &layers {
            if let Layer::BatchNorm { name } = layer {
                let parameter = |what: &str| params[&format!("{name}.{what}")].as_tensor().clone();
                let buffer = |what: &str| buffers[&format!("{name}.{what}")].clone();
                let (mean, var) = (buffer("running_mean"), buffer("running_var"));
                let width = mean.dim(0)?;
                norms.insert(
                    name.clone(),
                    BatchNorm::new(width, mean, var, parameter("weight"), parameter("bias"), 1e-5)?,
                );
            }
        }
        let adam = ParamsAdamW { lr: case.lr, weight_decay: case.weight_decay, ..ParamsAdamW::default() };
        let optimize = match case.optimizer.as_str() {
            "sgd" => Optimize::Sgd(SGD::new(all, case.lr)?),
            _ => Optimize::AdamW(AdamW::new(all, adam)?),
        };
        let mut candle = Self {
            params,
            norms,
            layers,
            contexts: read_u32(&case.contexts)?,
            targets: read_u32(&case.targets)?,
            batches: read_u32(&case.batches)?,
            optimize,
            random: Random::new(),
            full: None,
            case: case.clone(),
        };
        if case.batch == 0 {
            let all: Vec<u32> = (0..case.examples as u32).collect();
            let (x, y) = candle.batch(&all)?;
            candle.full = Some((candle.inputs(&x)?, y));
        }
        Ok(candle)
    }

    fn batch(&self, drawn: &[u32]) -> Result<(Tensor, Tensor)> {
        let t = self.case.context;
        let contexts: Vec<u32> =
            drawn.iter().flat_map(|&i| &self.contexts[i as usize * t..][..t]).copied().collect();
        let targets: Vec<u32> = drawn.iter().map(|&i| self.targets[i as usize]).collect();
        let x = Tensor::from_vec(contexts, (drawn.len(), t), &Device::Cpu)?;
        Ok((x, Tensor::from_vec(targets, drawn.len(), &Device::Cpu)?))
    }

    fn inputs(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, t) = x.dims2()?;
        let flat = x.flatten_all()?;
        let width = if self.case.embed > 0 { self.case.embed } else { self.case.vocab };
        let rows_of = match self.params.get("embedding.weight") {
            Some(embedding) => embedding.embedding(&flat)?,
            None => candle_nn::encoding::one_hot(flat, self.case.vocab, 1f32, 0f32)?,
        };
        rows_of.reshape((rows, t * width))
    }

    fn logits(&self, inputs: Tensor, training: bool) -> Result<Tensor> {
        let mut x = inputs;
        for layer in &self.layers {
            x = match layer {
                Layer::Linear { name, bias } => {
                    let y = x.matmul(&self.params[&format!("{name}.weight")].t()?)?;
                    if *bias { y.broadcast_add(&self.params[&format!("{name}.bias")])? } else { y }
                }
                Layer::BatchNorm { name } => self.norms[name].forward_t(&x, training)?,
                // candle's fused layer norm has no backward pass.
                Layer::LayerNorm { name } => ops::layer_norm_slow(
                    &x,
                    &self.params[&format!("{name}.weight")],
                    &self.params[&format!("{name}.bias")],
                    1e-5,
                )?,
                Layer::Activation => match self.case.activation.as_str() {
                    "tanh" => x.tanh()?,
                    "relu" => x.relu()?,
                    _ => x.gelu_erf()?,
                },
                Layer::Dropout if training => ops::dropout(&x, self.case.dropout as f32)?,
                Layer::Dropout => x,
            };
        }
        Ok(x)
    }

    fn step(&mut self, drawn: &[u32]) -> Result<Tensor> {
        let (inputs, y) = match &self.full {
            Some((inputs, y)) => (inputs.clone(), y.clone()),
            None => {
                let (x, y) = self.batch(drawn)?;
                (self.inputs(&x)?, y)
            }
        };
        let loss = loss::cross_entropy(&self.logits(inputs, true)?, &y)?;
        match &mut self.optimize {
            Optimize::Sgd(sgd) => sgd.backward_step(&loss)?,
            Optimize::AdamW(adam) => adam.backward_step(&loss)?,
        }
        Ok(loss)
    }

    fn value(&mut self, task: Task, n: u64) -> Result<f64> {
        let mut value = f64::NAN;
        let batch = self.case.batch;
        let mut drawn = vec![0; batch];
        for i in 0..n as usize {
            value = match task {
                Task::Check => {
                    drawn.copy_from_slice(&self.batches[i * batch..][..batch]);
                    f64::from(self.step(&drawn)?.to_scalar::<f32>()?)
                }
                Task::Step => {
                    self.random.fill(&mut drawn, self.case.examples);
                    let loss = self.step(&drawn)?;
                    // The loss is read only after the last step, as the other peers do.
                    if i + 1 == n as usize { f64::from(loss.to_scalar::<f32>()?) } else { value }
                }
                Task::Evaluate => self.log_probs()?.mean_all()?.neg()?.to_scalar::<f32>()?.into(),
                Task::Score => self.score()?,
                Task::Sample => self.sample(1)?,
                Task::SampleBatched => self.sample(NAMES)?,
            };
        }
        Ok(value)
    }

    /// The logarithm of the probability of each example's target.
    fn log_probs(&self) -> Result<Tensor> {
        let all: Vec<u32> = (0..self.case.examples as u32).collect();
        let (x, y) = self.batch(&all)?;
        let log_probs = ops::log_softmax(&self.logits(self.inputs(&x)?, false)?, D::Minus1)?;
        log_probs.gather(&y.unsqueeze(1)?, 1)?.squeeze(1)
    }

    fn score(&self) -> Result<f64> {
        let log_probs: Vec<f32> = self.log_probs()?.to_vec1()?;
        let words = self.targets.iter().filter(|&&target| target == 0).count();
        Ok(log_probs.iter().map(|&p| f64::from(p)).sum::<f64>() / words as f64)
    }

    /// The mean length of words that are drawn `at_once` at a time.
    fn sample(&mut self, at_once: usize) -> Result<f64> {
        let t = self.case.context;
        let mut characters = 0;
        for _ in 0..NAMES / at_once {
            let mut contexts = vec![0; at_once * t];
            for _ in 0..500 {
                let rows = contexts.len() / t;
                if rows == 0 {
                    break;
                }
                let x = Tensor::from_slice(&contexts, (rows, t), &Device::Cpu)?;
                let probs = ops::softmax(&self.logits(self.inputs(&x)?, false)?, D::Minus1)?;
                let probs: Vec<f32> = probs.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
                contexts = self.random.next_contexts(&contexts, &probs, t);
                characters += contexts.len() / t;
            }
        }
        Ok(characters as f64 / NAMES as f64)
    }
}

const NAMES: usize = 10_000;

fn main() -> std::io::Result<()> {
    protocol::serve::<Candle>("candle-core 0.11.1, gemm with AVX-512")
}
