//! From bytes to examples: cleaning, vocabulary, splits, contexts, and every kind of bad input.

use std::fs;

use charloom::data::Data;
use charloom::data::DataCard;
use charloom::data::Examples;
use charloom::data::Vocab;
use charloom::data::{Corpus, MAX_WORD};
use charloom::data::{DataConfig, Mode, Normalize, Shuffle};
use charloom::data::{Split, Splits};
use charloom_testkit::shared_data;
use proptest::prelude::*;

fn lines() -> DataConfig {
    DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() }
}

fn text() -> DataConfig {
    DataConfig { mode: Some(Mode::Text), ..DataConfig::default() }
}

fn corpus(bytes: impl AsRef<[u8]>, config: &DataConfig) -> Corpus {
    Corpus::from_bytes("here", bytes.as_ref(), config).expect("a good corpus")
}

fn words(bytes: impl AsRef<[u8]>) -> Vec<String> {
    corpus(bytes, &lines()).words().map(str::to_owned).collect()
}

/// The message of a refusal: one line that names the file.
fn refusal(bytes: impl AsRef<[u8]>, config: &DataConfig) -> String {
    let error = Corpus::from_bytes("here", bytes.as_ref(), config).expect_err("a bad corpus");
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

fn cut(corpus: &Corpus, config: &DataConfig) -> (Vocab, Splits) {
    let vocab = Vocab::of(corpus.mode(), [corpus]);
    let splits = Splits::new(corpus, &vocab, config, None, None).expect("splits");
    (vocab, splits)
}

#[test]
fn line_ends_and_marks_are_made_one_kind() {
    assert_eq!(words("\u{feff}emma\r\nolivia\rava"), ["emma", "olivia", "ava"]);
    assert_eq!(words("\n\nemma\n \t\nava\n\n"), ["emma", "ava"]);
    assert_eq!(words("a\u{2028}b\u{b}c\u{c}d\u{85}e"), ["a\u{2028}b\u{b}c\u{c}d\u{85}e"]);
    assert_eq!(corpus("a\r\nb\rc", &text()).text(), "a\nb\nc");
    assert_eq!(words(" emma "), [" emma "]);
    assert!(corpus(" emma ", &lines()).source().warnings[0].contains("white space"));
}

#[test]
fn bad_bytes_are_named() {
    assert!(refusal("", &lines()).contains("is empty"));
    assert!(refusal("\n \r\n", &lines()).contains("blank"));
    assert!(refusal("\u{feff}", &text()).contains("blank"));
    let invalid = refusal(b"\xef\xbb\xbfab\nc\xff\n", &lines());
    assert!(invalid.contains("byte 7 (line 2)") && invalid.contains("``lossy``"), "{invalid}");
    assert!(refusal(b"\xff\xfea\0b\0", &lines()).contains("UTF-16"));
    assert!(refusal(b"e\0m\0m\0a\0\n\0", &lines()).contains("UTF-16"));
    assert!(refusal(b"\x1f\x8b\x08\0\0", &lines()).contains("gzip"));
    assert!(refusal(b"em\nm\0a", &lines()).contains("NUL at byte 4 (line 2)"));
    assert_eq!(words("BZhang\nPK"), ["BZhang", "PK"]);

    let lossy = DataConfig { lossy: true, ..lines() };
    let corpus = corpus(b"a\xffb\nc", &lossy);
    assert_eq!(corpus.text(), "a\u{fffd}b\nc\n");
    assert!(corpus.source().warnings[0].starts_with("1 places"));
}

#[test]
fn accents_in_two_forms_are_told_and_joined() {
    let mixed = "Zo\u{eb}\nChloe\u{301}\n";
    assert!(corpus(mixed, &lines()).source().warnings[0].contains("``normalize`` nfc"));
    let normal = |form| corpus(mixed, &DataConfig { normalize: Some(form), ..lines() });
    assert_eq!(normal(Normalize::Nfc).text(), "Zo\u{eb}\nChlo\u{e9}\n");
    assert_eq!(normal(Normalize::Nfkd).text(), "Zoe\u{308}\nChloe\u{301}\n");
    for one in ["Zo\u{eb}\nChlo\u{e9}", "Zoe\u{308}\nChloe\u{301}"] {
        assert!(corpus(one, &lines()).source().warnings.is_empty());
    }
}

#[test]
fn a_very_long_line_is_text_and_no_word() {
    let long = "ab".repeat(MAX_WORD);
    assert!(refusal(&long, &lines()).contains("``mode`` text"));
    assert_eq!(corpus(&long, &DataConfig::default()).mode(), Mode::Text);
    assert_eq!(corpus("ab".repeat(60), &DataConfig::default()).mode(), Mode::Text);
    // Characters count, not bytes.
    assert_eq!(words("\u{e9}".repeat(MAX_WORD))[0].len(), 2 * MAX_WORD);
}

#[test]
fn only_regular_files_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let fails = |path: &std::path::Path| Corpus::read(path, &lines()).expect_err("refused").to_string();
    assert!(fails(folder.path()).contains("directory"));
    assert!(fails(&folder.path().join("none")).contains("no such file"));
    #[cfg(unix)]
    {
        assert!(fails("/dev/zero".as_ref()).contains("not a regular file"));
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        if made.is_ok_and(|status| status.success()) {
            assert!(fails(&fifo).contains("not a regular file"));
        }
    }
    let file = folder.path().join("names");
    fs::write(&file, "emma\nava\n").expect("written");
    let read = Corpus::read(&file, &lines()).expect("read");
    assert_eq!(read.source().sha256, "3b7f8ab100fc7579210ac283cfc2c0628d25a7fab752f232fbdf90f85a3dafaa");
}

#[test]
fn the_boundary_is_a_token_of_its_own() {
    let vocab = Vocab::new(Mode::Lines, "b.a".chars());
    assert_eq!((vocab.len(), vocab.boundary(), vocab.mark()), (4, Some(0), '|'));
    assert_eq!(vocab.encode(".ab").expect("known"), [1, 2, 3]);
    assert_eq!(vocab.token('|'), None);
    let text = Vocab::new(Mode::Text, "b.a".chars());
    assert_eq!((text.len(), text.boundary(), text.token('.')), (3, None, Some(0)));
    let unknown = vocab.encode("aé").expect_err("unknown").to_string();
    assert!(unknown.contains("'é' (U+00E9, character 2)"), "{unknown}");
    let json = serde_json::to_string(&vocab).expect("json");
    assert_eq!(json, r#"{"mode":"lines","characters":".ab"}"#);
    assert_eq!(serde_json::from_str::<Vocab>(&json).expect("back"), vocab);
    assert!(serde_json::from_str::<Vocab>(&json.replace(".ab", "ba")).is_err());
    assert!(serde_json::from_str::<Vocab>(&json.replace(".ab", "")).is_err());
}

#[test]
fn few_words_leave_something_to_train_on() {
    for n in 1..12 {
        let names: Vec<String> = (0..n).map(|i| format!("name{i}")).collect();
        let (_, splits) = cut(&corpus(names.join("\n"), &lines()), &lines());
        let count = [&splits.train, &splits.val, &splits.test].map(|split| split.words().count());
        assert!(count[0] >= 1, "{n}: {count:?}");
        assert_eq!(count.iter().sum::<usize>(), n);
        if n >= 2 {
            assert_eq!([count[0], count[0] + count[1]], [n * 8 / 10, n * 9 / 10]);
        }
    }
    let (vocab, splits) = cut(&corpus("aaaa", &lines()), &lines());
    assert_eq!((vocab.len(), splits.val.is_empty()), (2, true));
}

#[test]
fn a_text_is_cut_in_order_and_contexts_stay_inside() {
    let config = DataConfig { split: Some([0.7, 0.1, 0.2]), ..text() };
    let (vocab, splits) = cut(&corpus("abcdefghij", &config), &config);
    assert_eq!([&splits.train, &splits.val, &splits.test].map(|s| s.to_text(&vocab)), ["abcdefg", "h", "ij"]);
    let count = |split: &Split, t| Examples::new(split, t).expect("examples").len();
    assert_eq!([0, 3, 7, 8].map(|t| count(&splits.train, t)), [7, 4, 0, 0]);
    assert_eq!(count(&splits.val, 1), 0);
    let examples = Examples::new(&splits.train, 3).expect("examples");
    assert_eq!((examples.context(3).collect(), examples.target(3)), (vec![3, 4, 5], 6));
}

#[test]
fn fractions_must_be_parts_of_one() {
    for split in [
        [0.8, 0.1, 0.2],
        [f64::NAN, 0.1, 0.9],
        [1.2, -0.1, -0.1],
        [0.6, -0.1, 0.5],
        [0.6, 0.5, -0.1],
        [0.0, 0.5, 0.5],
    ] {
        let config = DataConfig { split: Some(split), ..lines() };
        let corpus = corpus("emma\nava", &config);
        let vocab = Vocab::of(Mode::Lines, [&corpus]);
        let error = Splits::new(&corpus, &vocab, &config, None, None).expect_err("refused");
        assert!(matches!(error, charloom::Error::Setting { key, .. } if key == "split"));
    }
}

#[test]
fn files_stand_for_splits_and_nothing_is_shuffled_then() {
    let [all, val] = ["emma\nava\nmia", "noa\n"].map(|bytes| corpus(bytes, &lines()));
    let vocab = Vocab::of(Mode::Lines, [&all, &val]);
    let splits = Splits::new(&all, &vocab, &lines(), Some(&val), None).expect("splits");
    assert_eq!(splits.train.to_text(&vocab), "emma\nava\nmia\n");
    assert_eq!(splits.val.to_text(&vocab), "noa\n");
    assert!(splits.test.is_empty());
    let splits = Splits::new(&all, &vocab, &lines(), None, Some(&val)).expect("splits");
    assert_eq!((splits.test.to_text(&vocab).as_str(), splits.val.is_empty()), ("noa\n", true));
    let other = corpus("noa noa", &text());
    assert!(Splits::new(&all, &vocab, &lines(), Some(&other), None).is_err());
    let narrow = Vocab::of(Mode::Lines, [&all]);
    let error = Splits::new(&all, &narrow, &lines(), Some(&val), None).expect_err("unknown").to_string();
    assert!(error.contains("'n'"), "{error}");
}

#[test]
fn data_is_known_again_and_its_splits_are_written_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("names");
    fs::write(&path, "emma\n").expect("written");
    let config = DataConfig { path: Some(path), ..lines() };
    let data = Data::load(&config, None).expect("data");
    let out = folder.path().join("splits");
    // One word is all for training.
    assert_eq!(data.write_splits(&out).expect("written"), [out.join("train.txt")]);
    let refused = |folder: &std::path::Path| data.write_splits(folder).expect_err("refused").to_string();
    assert!(refused(&out).contains("is there already"));
    assert!(refused(&out.join("train.txt")).contains("train.txt: is a file; name a folder"));
    let other = DataConfig { sha256: Some("0".repeat(64)), ..config };
    assert!(Data::load(&other, None).expect_err("refused").to_string().contains("has changed since"));
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn names_are_split_as_notebooks_do() {
    let path = shared_data("names.txt");
    let corpus = Corpus::read(&path, &DataConfig::default()).expect("names");
    let (vocab, splits) = cut(&corpus, &DataConfig::default());
    let card = DataCard::new(corpus.source(), &vocab, &splits, 3);
    assert_eq!((card.lines, card.characters, card.vocab_size, card.longest), (32_033, 196_113, 27, 15));
    assert_eq!(card.duplicates, Some(2_539));
    let examples = [card.examples.train, card.examples.val, card.examples.test];
    assert_eq!(examples, [182_625, 22_655, 22_866]);
    for (split, n) in [&splits.train, &splits.val, &splits.test].into_iter().zip(examples) {
        assert_eq!(Examples::new(split, 3).expect("examples").len(), n);
    }
    let leaked = card.leaked.expect("lines");
    assert_eq!(format!("{:.1} {:.1}", leaked.val * 100.0, leaked.test * 100.0), "13.2 11.8");
    let first: Vec<String> = splits.train.words().take(4).map(|word| vocab.decode(word)).collect();
    assert_eq!(first, ["yuheng", "diondre", "xavien", "jori"]);

    let config = DataConfig { dedupe: true, shuffle: Shuffle::None, ..DataConfig::default() };
    let corpus = Corpus::read(&path, &config).expect("names");
    let (vocab, splits) = cut(&corpus, &config);
    let card = DataCard::new(corpus.source(), &vocab, &splits, 3);
    assert_eq!((card.lines, card.duplicates), (29_494, Some(0)));
    assert_eq!(vocab.decode(splits.train.words().next().expect("a word")), "emma");
}

#[test]
fn torchs_order_and_lengths_are_those_of_random_split() {
    let config = DataConfig { shuffle: Shuffle::Torch, ..lines() };
    let names: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    let (vocab, splits) = cut(&corpus(names.join("\n"), &config), &config);
    // torch 2.15: random_split(range(10), [0.8, 0.1, 0.1], generator=torch.Generator().manual_seed(42))
    let order = [&splits.train, &splits.val, &splits.test].map(|split| split.to_text(&vocab));
    assert_eq!(order, ["2\n6\n1\n8\n4\n5\n0\n9\n", "3\n", "7\n"]);
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn names_are_as_many_as_random_split_gives() {
    let config = DataConfig { shuffle: Shuffle::Torch, ..lines() };
    let path = shared_data("names.txt");
    let (_, splits) = cut(&Corpus::read(&path, &config).expect("names"), &config);
    let count = [&splits.train, &splits.val, &splits.test].map(|split| split.words().count());
    assert_eq!(count, [25_627, 3203, 3203]);
}

#[test]
#[ignore = "reads tinyshakespeare.txt, which is no part of the repository, in ../shared/data"]
fn tiny_shakespeare_is_a_text() {
    let path = shared_data("tinyshakespeare.txt");
    let corpus = Corpus::read(&path, &DataConfig::default()).expect("text");
    let (vocab, splits) = cut(&corpus, &DataConfig::default());
    let card = DataCard::new(corpus.source(), &vocab, &splits, 8);
    assert_eq!((card.mode, card.characters, card.vocab_size), (Mode::Text, 1_115_394, 65));
    assert_eq!((card.examples.train, card.examples.val), (1_003_854 - 8, 111_540 - 8));
    assert!(card.to_string().ends_with(" test (characters after 8 others)"));
    assert_eq!((card.duplicates, card.leaked), (None, None));
}

proptest! {
    #[test]
    fn what_a_vocabulary_encodes_it_decodes(text in "\\PC{1,40}", lines in any::<bool>()) {
        let vocab = Vocab::new(if lines { Mode::Lines } else { Mode::Text }, text.chars());
        let tokens = vocab.encode(&text).expect("its own text");
        prop_assert_eq!(vocab.decode(&tokens), text.as_str());
        prop_assert!(tokens.iter().all(|&token| (token as usize) < vocab.len()));
        let mark = vocab.mark();
        prop_assert!(!lines || (!text.contains(mark) && !tokens.contains(&0)));
        let mut sorted: Vec<char> = vocab.characters()[usize::from(lines)..].to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(sorted, &vocab.characters()[usize::from(lines)..]);
    }

    #[test]
    fn any_bytes_are_a_corpus_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64), lossy: bool) {
        let config = DataConfig { lossy, ..DataConfig::default() };
        if let Ok(corpus) = Corpus::from_bytes("here", bytes, &config) {
            let vocab = Vocab::of(corpus.mode(), [&corpus]);
            prop_assert!(Splits::new(&corpus, &vocab, &config, None, None).is_ok());
        }
    }

    #[test]
    fn equal_contexts_share_a_class(
        names in proptest::collection::vec("[a-c\u{400}]{1,9}", 1..9),
        length in 0usize..40,
        running: bool,
    ) {
        let config = if running { text() } else { lines() };
        let corpus = corpus(names.join("\n"), &config);
        let vocab = Vocab::of(corpus.mode(), [&corpus]);
        let split = Split::of(&corpus, &vocab).expect("a split");
        let examples = Examples::new(&split, length).expect("examples");
        for i in 0..examples.len() {
            for j in 0..i {
                let same = examples.context(i).eq(examples.context(j));
                prop_assert_eq!(same, examples.context_id(i) == examples.context_id(j));
            }
            prop_assert!(examples.distinct_context(examples.context_id(i)).eq(examples.context(i)));
        }
        let mut all = 0;
        for d in 0..examples.distinct_len() {
            let mut targets: Vec<u32> =
                (0..examples.len()).filter(|&i| examples.context_id(i) == d).map(|i| examples.target(i)).collect();
            targets.sort_unstable();
            let same = targets.chunk_by(|a, b| a == b);
            let counted: Vec<_> = same.map(|same| (same[0], same.len() as u32)).collect();
            prop_assert_eq!(examples.distinct_targets(d), &counted);
            all += targets.len();
        }
        prop_assert_eq!(all, examples.len());
    }

    #[test]
    fn words_give_the_notebook_loops_examples(names in proptest::collection::vec("[a-e]{1,6}", 1..6), t in 0usize..5) {
        let corpus = corpus(names.join("\n"), &lines());
        let vocab = Vocab::of(Mode::Lines, [&corpus]);
        let examples = Examples::new(&Split::of(&corpus, &vocab).expect("a split"), t).expect("examples");
        let mut i = 0;
        for name in &names {
            let mut context = vec![0; t];
            for token in vocab.encode(name).expect("known").into_iter().chain([0]) {
                prop_assert!(examples.context(i).eq(context.iter().copied()));
                prop_assert_eq!(examples.target(i), token);
                context.push(token);
                context.remove(0);
                i += 1;
            }
        }
        prop_assert_eq!(i, examples.len());
    }
}
