//! Known data sets: the embedded list, a cache that is filled once, and splits as files.

use std::fs;

use charloom::data::Data;
use charloom::data::DataConfig;
use charloom::data::{Cache, Dataset, NAMES};
use charloom_testkit::shared_data;

fn cache(address: &str) -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache { folder: folder.path().join("cache"), address: Some(address.to_owned()) };
    (folder, cache)
}

fn known(name: &str) -> Dataset {
    Dataset::get(name).expect("a known data set")
}

fn never(address: &str, _: u64) -> Result<Vec<u8>, String> {
    panic!("{address} is not needed");
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn a_file_is_downloaded_once_and_checked_each_time() {
    let path = shared_data("names.txt");
    let body = fs::read(path).expect("names");
    let (_folder, cache) = cache("http://127.0.0.1:9/data/");
    let set = known("names");
    let fetch = |address: &str, most: u64| {
        assert_eq!((address, most), ("http://127.0.0.1:9/data/names.txt", body.len() as u64));
        Ok(body.clone())
    };
    assert_eq!(cache.find(&set), None);
    let path = cache.get(&set, fetch).expect("downloaded");
    assert_eq!(fs::read(&path).expect("there"), body);
    assert_eq!(cache.get(&set, never).expect("cached"), path);
    fs::write(&path, vec![b'x'; body.len()]).expect("spoilt");
    assert_eq!(cache.find(&set), None);
    cache.get(&set, fetch).expect("downloaded again");
    assert_eq!(cache.get(&set, never).expect("cached"), path);
}

#[test]
fn something_else_is_not_kept() {
    for body in [Vec::new(), b"<html>".to_vec(), vec![b'a'; 228_145], vec![b'a'; 228_146]] {
        let (_folder, cache) = cache("http://localhost:1");
        let error = cache.get(&known("names.txt"), |_, _| Ok(body)).expect_err("refused").to_string();
        assert!(error.contains("SHA-256") && !error.contains('\n'), "{error}");
        assert!(!cache.path(&known("names.txt")).exists());
    }
}

#[test]
fn bad_addresses_are_refused() {
    let (_folder, cache) = cache("http://example.invalid");
    assert!(cache.get(&known("names.txt"), never).expect_err("refused").to_string().contains("https"));
    let nobody = Cache { address: Some("http://127.0.0.1:1".into()), ..cache };
    let refuse = |_: &str, _| Err("nobody answers".to_owned());
    let error = nobody.get(&known("tinyshakespeare"), refuse).expect_err("refused").to_string();
    assert!(error.contains("nobody answers") && error.contains("put the file at"), "{error}");
    assert!(Dataset::get("names2").expect_err("unknown").to_string().contains("tinyshakespeare.txt"));
}

#[test]
fn the_embedded_list_is_what_its_readme_says() {
    let (_folder, cache) = cache("http://127.0.0.1:1");
    let path = cache.get(&known("us-names-2018"), never).expect("written from memory");
    assert_eq!(fs::read_to_string(path).expect("there"), NAMES);
    let card = Data::load(&DataConfig::default(), None).expect("data").card(3);
    assert_eq!(
        (card.lines, card.duplicates, card.vocab_size, card.longest),
        (32_257, Some(32_257 - 29_693), 27, 15)
    );
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn the_embedded_list_has_the_notebooks_names() {
    let path = shared_data("names.txt");
    let embedded: std::collections::HashSet<&str> = NAMES.lines().collect();
    let other = fs::read_to_string(path).expect("names");
    assert!(other.lines().all(|name| embedded.contains(name)));
}

#[test]
fn splits_written_to_files_train_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = Data::load(&DataConfig::default(), None).expect("data");
    let written = whole.write_splits(folder.path()).expect("written");
    assert_eq!(written.len(), 3);
    let file = |name: &str| Some(folder.path().join(name));
    let config = DataConfig {
        path: file("train.txt"),
        val: file("val.txt"),
        test: file("test.txt"),
        ..DataConfig::default()
    };
    let again = Data::load(&config, None).expect("data");
    assert_eq!((&again.vocab, &again.splits), (&whole.vocab, &whole.splits));
    assert!(whole.write_splits(folder.path()).expect_err("refused").to_string().contains("is there already"));

    let changed = DataConfig { sha256: Some(whole.source.sha256.clone()), ..config };
    assert!(Data::load(&changed, None).expect_err("refused").to_string().contains("has changed"));
    fs::write(folder.path().join("ax.txt"), "emma\nava!\n").expect("written");
    let other = DataConfig { path: file("ax.txt"), ..DataConfig::default() };
    let error = Data::load(&other, Some(whole.vocab)).expect_err("refused").to_string();
    assert!(error.contains("'!'") && error.contains("ax.txt"), "{error}");
}
