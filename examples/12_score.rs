//! How likely a model finds a word, character by character: what stands out is where it looks wrong.
//!
//!     cargo run --release -p charloom --example 12_score -- emma xqzw

use charloom::prelude::*;

fn main() -> Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let words = if given.is_empty() { vec!["emma".to_owned(), "emmq".to_owned()] } else { given };

    // An n-gram model is counted in a moment.
    let model = ModelConfig::of("ngram").with("order", 4);
    let mut config = Config { model, ..Config::default() };
    let data = load_data(&mut config)?;
    let (model, _) = models::count(&config, &data)?;

    for scored in score(&*model, &data.vocab, &words) {
        match scored {
            Ok(scored) => {
                println!("{}: {:.1} bits", scored.text, scored.bits);
                for character in &scored.characters {
                    println!("  {} {:7.4}", character.character, character.log_prob.exp());
                }
            }
            // Such a word has no probability at all.
            Err(unknown) => println!("{unknown}"),
        }
    }
    Ok(())
}
