//! Data.

use charloom::data::{Corpus, DataCard, DataConfig, Examples, Mode, Normalize, Shuffle, Splits, Vocab};

/// The third byte on is a file; the first two say with what options it is read.
///
/// # Panics
/// An error of more than one line; tokens that are not the text again; a word, or a token, too many or too few in the
/// splits; examples that do not fit them.
pub fn data(bytes: &[u8]) {
    let [a, b, file @ ..] = bytes else { return };
    let config = DataConfig {
        mode: [None, Some(Mode::Lines), Some(Mode::Text), None][usize::from(a & 3)],
        dedupe: a & 4 > 0,
        lossy: a & 8 > 0,
        normalize: [None, Some(Normalize::Nfc), Some(Normalize::Nfkd), None][usize::from(a >> 4 & 3)],
        shuffle: [Shuffle::None, Shuffle::Python, Shuffle::Torch, Shuffle::Python][usize::from(a >> 6)],
        split: [None, Some([1.0, 0.0, 0.0]), Some([0.2, 0.3, 0.5]), Some([0.01, 0.99, 0.0])]
            [usize::from(b & 3)],
        ..DataConfig::default()
    };
    let context = usize::from(b >> 4);
    let corpus = match Corpus::from_bytes("fuzz", file, &config) {
        Ok(corpus) => corpus,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error:?}");
            return;
        }
    };
    let vocab = Vocab::of(corpus.mode(), [&corpus]);
    let encoded = |text: &str| {
        let tokens = vocab.encode(text).expect("the vocabulary is of this text");
        assert_eq!(vocab.decode(&tokens), text);
        tokens.len() + usize::from(corpus.mode() == Mode::Lines)
    };
    let tokens: usize = match corpus.mode() {
        Mode::Lines => corpus.words().map(encoded).sum(),
        Mode::Text => encoded(corpus.text()),
    };
    let part = (b & 4 > 0).then_some(&corpus);
    let splits = Splits::new(&corpus, &vocab, &config, part, part).expect("it can be cut");
    assert!(!splits.train.is_empty());
    let all = [&splits.train, &splits.val, &splits.test];
    let times = if part.is_some() { 3 } else { 1 };
    assert_eq!(all.map(|split| split.tokens().len()).iter().sum::<usize>(), times * tokens);
    for split in all {
        let examples = Examples::new(split, context).expect("so few can be counted");
        for i in 0..examples.len() {
            assert_eq!(examples.context(i).count(), context);
            assert!((examples.target(i) as usize) < vocab.len());
        }
        assert!(examples.distinct_len() <= examples.len());
    }
    let card = DataCard::new(corpus.source(), &vocab, &splits, context).to_string();
    assert!(!card.chars().any(|c| c.is_control() && c != '\n'), "{card:?}");
}
