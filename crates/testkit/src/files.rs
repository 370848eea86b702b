//! Files that tests read.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// The folder that holds the workspace.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/testkit lies two folders below the workspace").to_path_buf()
}

/// The path of a file in the workspace's `fixtures`.
pub fn fixture_path(name: &str) -> PathBuf {
    workspace_root().join("fixtures").join(name)
}

/// Golden values: a JSON file of the workspace's `fixtures`. Numbers are parsed exactly.
///
/// # Panics
/// If the file is absent or does not have the shape of `T`.
#[track_caller]
pub fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = fixture_path(name);
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("fixture {name}: {error}; its make_*.py in fixtures/ writes it"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}

/// The path of a large data set that is not in the repository: `../shared/data/NAME` beside the workspace. A
/// test that needs it is `#[ignore]`d; if the data is there, `cargo test -- --ignored` runs it.
///
/// # Panics
/// If it is absent.
#[track_caller]
pub fn shared_data(name: &str) -> PathBuf {
    let root = workspace_root();
    let path = root.parent().unwrap_or(&root).join("shared/data").join(name);
    assert!(path.is_file(), "{name} is not in ../shared/data, and this test needs it");
    path
}

/// The corpus of a fuzz target, `fuzz/corpus/TARGET`: each file's name and bytes, sorted.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = workspace_root().join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        })
        .collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        let manifest = fs::read_to_string(workspace_root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn numbers_are_parsed_exactly() {
        // A parser that takes shortcuts may come out an ulp away.
        let parsed: f64 = serde_json::from_str("5.0263521959606336e-5").unwrap();
        assert_eq!(parsed.to_bits(), "5.0263521959606336e-5".parse::<f64>().unwrap().to_bits());
    }

    #[test]
    #[should_panic(expected = "fixture no-such.json")]
    fn an_absent_fixture_is_named() {
        fixture::<f64>("no-such.json");
    }

    #[test]
    #[should_panic(expected = "no-such-target")]
    fn an_absent_corpus_is_named() {
        corpus("no-such-target");
    }

    #[test]
    #[should_panic(expected = "no-such-data.txt is not in ../shared/data")]
    fn absent_data_fails_a_test() {
        shared_data("no-such-data.txt");
    }
}
