//! A transformer out of its parts: one block of attention and mlp learns to write a text by heart, character by character.
//!
//!     cargo run --release -p charloom-nn --example 17_transformer

use charloom_nn::{AdamW, Embedding, Init, Initializer, Linear, Optimizer, RmsNorm, Scope};
use charloom_tensor::{Grads, Indices, Params, Pass, Recording, Tape, Var, rng::TorchGenerator};

const TEXT: &str = "a loom weaves threads into cloth; a model weaves letters into words, one after another, and each looks \
                    back at all that came before it. ";
/// T, the characters that it looks at.
const CONTEXT: usize = 16;
/// B, the windows of a step.
const BATCH: usize = 16;
/// C, the numbers that stand for a character.
const WIDTH: usize = 32;
const HEADS: usize = 4;
const STEPS: u64 = 600;

struct Transformer {
    tokens: Embedding,
    positions: Embedding,
    /// Queries, keys and values, side by side.
    qkv: Linear,
    attended: Linear,
    hidden: Linear,
    back: Linear,
    logits: Linear,
}

impl Transformer {
    fn new(scope: &mut Scope<'_>, vocab: usize) -> Self {
        Self {
            tokens: Embedding::new(&mut scope.at("tokens"), vocab, WIDTH),
            positions: Embedding::new(&mut scope.at("positions"), CONTEXT, WIDTH),
            qkv: Linear::new(&mut scope.at("qkv"), WIDTH, 3 * WIDTH, false),
            attended: Linear::new(&mut scope.at("attended"), WIDTH, WIDTH, false),
            hidden: Linear::new(&mut scope.at("hidden"), WIDTH, 4 * WIDTH, false),
            back: Linear::new(&mut scope.at("back"), 4 * WIDTH, WIDTH, false),
            logits: Linear::new(&mut scope.at("logits"), WIDTH, vocab, false),
        }
    }

    /// The logits of the character after each one: (B, T) -> (B T, V).
    fn forward<'t>(&self, tape: &'t Tape<'t, f32>, tokens: Indices, positions: Indices) -> Var<'t, f32> {
        let norm = RmsNorm::plain();
        let x = self.tokens.forward(tape, tokens) + self.positions.forward(tape, positions);
        let rows = x.shape().dims().iter().product::<usize>() / WIDTH;
        let x = x.reshape(&[rows, WIDTH]);
        let attended = self.qkv.forward(norm.forward(x)).causal_attention(HEADS, CONTEXT);
        let x = x + self.attended.forward(attended);
        let x = x + self.back.forward(self.hidden.forward(norm.forward(x)).gelu());
        self.logits.forward(norm.forward(x))
    }
}

fn main() {
    let mut letters: Vec<char> = TEXT.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    let token = |c: char| letters.binary_search(&c).expect("a letter of the text") as u32;
    let tokens: Vec<u32> = TEXT.chars().map(token).collect();
    let positions = |rows: usize| (0..CONTEXT as u32).collect::<Vec<_>>().repeat(rows);

    let mut generator = TorchGenerator::new(42);
    let mut params = Params::<f32>::new();
    let init = Initializer::new(Init::Torch, &mut generator);
    let net = Transformer::new(&mut Scope::draw(&mut params, init), letters.len());

    // One step, recorded once: of B windows, every character's loss.
    let (mut recording, (x, targets, loss)) = Recording::new(&params, |tape| {
        let x = tape.indices(&[BATCH, CONTEXT], &[0; BATCH * CONTEXT]);
        let places = tape.indices(&[BATCH, CONTEXT], &positions(BATCH));
        let targets = tape.indices(&[BATCH * CONTEXT], &[0; BATCH * CONTEXT]);
        (x, targets, net.forward(tape, x, places).cross_entropy(targets).id())
    });
    let mut grads = Grads::zeros(&params);
    let mut adamw = Optimizer::adamw(&params, AdamW::default(), 0.01);
    let mut starts = [0; BATCH];
    for step in 0..STEPS {
        generator.randint_into((tokens.len() - CONTEXT) as u32, &mut starts);
        for (which, shift) in [(x, 0), (targets, 1)] {
            recording.set_indices(which, |windows| {
                for (window, &start) in windows.chunks_exact_mut(CONTEXT).zip(&starts) {
                    window.copy_from_slice(&tokens[start as usize + shift..][..CONTEXT]);
                }
            });
        }
        recording.forward(&params, &Pass::training());
        if step % 100 == 0 {
            println!("step {step:4}  loss {:.4}", recording.item(loss));
        }
        recording.backward(&params, &mut grads, loss, &Pass::training());
        adamw.step(&mut params, &mut grads, 0.003);
    }

    // The most probable character, again and again.
    let mut written = tokens[..CONTEXT].to_vec();
    while written.len() < tokens.len() {
        let tape = Tape::with(&params);
        let window = tape.indices(&[1, CONTEXT], &written[written.len() - CONTEXT..]);
        let places = tape.indices(&[1, CONTEXT], &positions(1));
        let next = net.forward(&tape, window, places).argmax(1);
        written.push(next[CONTEXT - 1]);
    }
    let written: String = written.iter().map(|&token| letters[token as usize]).collect();
    println!("{written}");
    let right = written.chars().zip(TEXT.chars()).filter(|(a, b)| a == b).count();
    println!("{right} of {} characters are the text's", tokens.len());
}
