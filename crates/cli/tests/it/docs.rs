//! What the README and the tour show is what comes out: their commands are run, in order, in one folder. The tour's
//! pictures are what its commands draw.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// With it the tour's outputs and pictures are written anew instead of compared.
const BLESS: &str = "CHARLOOM_BLESS";
/// The most bytes of a picture.
const PICTURE: usize = 60_000;
/// Where the repository's files are read on the web: a book of the tour alone has no other way to them.
const REPOSITORY: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");

/// A command of a page, and the lines that the page shows below it.
struct Shown {
    command: String,
    output: Vec<String>,
    /// Where the output begins in the page, in lines.
    at: usize,
}

/// The commands in the page's blocks of `console`; a comment ends one, and after a `\` it goes on in the next line.
fn commands(page: &str) -> Vec<Shown> {
    let (mut inside, mut all) = (false, Vec::<Shown>::new());
    let goes_on = |shown: &Shown| shown.command.ends_with('\\') && shown.output.is_empty();
    for (i, line) in page.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            inside = language == "console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            let command = command.split(" #").next().unwrap_or(command).trim().to_owned();
            all.push(Shown { command, output: Vec::new(), at: i + 1 });
        } else if let Some(last) = all.last_mut().filter(|last| inside && goes_on(last)) {
            last.command += &format!("\n{line}");
            last.at = i + 1;
        } else if let Some(last) = all.last_mut().filter(|_| inside) {
            last.output.push(line.to_owned());
        }
    }
    all
}

/// A folder in which `charloom` is this build's.
struct Shell {
    folder: tempfile::TempDir,
    path: String,
}

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join(".programs");
        fs::create_dir(&programs).unwrap();
        symlink(assert_cmd::cargo::cargo_bin!("charloom"), programs.join("charloom")).unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        Self { folder, path }
    }

    /// What it prints to standard output; the program tells its progress on the other.
    fn run(&self, command: &str) -> String {
        let mut shell = Command::new("sh");
        shell.current_dir(self.folder.path()).env("PATH", &self.path).env_remove("NO_COLOR");
        let output = shell.args(["-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether the lines are those shown; `...` stands for any number of lines.
fn is_as_shown(shown: &[String], lines: &[&str]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((line, rest)) if line == "..." => (0..=lines.len()).any(|n| is_as_shown(rest, &lines[n..])),
        Some((line, rest)) => lines.first() == Some(&line.as_str()) && is_as_shown(rest, &lines[1..]),
    }
}

/// The same command with few steps, where it trains a net: a page's own numbers take minutes in a build for tests.
fn shortened(command: &str, steps: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let shorter = |(i, &word): (usize, &&str)| match i.checked_sub(1).map(|before| words[before]) {
        Some("--steps") => steps.to_owned(),
        Some("--trials") => "3".to_owned(),
        Some("-n") => "20".to_owned(),
        Some("--max-length") => "40".to_owned(),
        _ => word.to_owned(),
    };
    let mut short: Vec<String> = words.iter().enumerate().map(shorter).collect();
    let searches = command.starts_with("charloom sweep --");
    let trains = command.starts_with("charloom train") && !command.contains("ngram");
    if (trains || searches) && !command.contains("--steps") {
        short.extend(["--steps".to_owned(), steps.to_owned()]);
    }
    short.join(" ")
}

#[test]
fn every_command_of_the_readme_works() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let names = fs::read_to_string(root().join("fixtures/data/words.txt")).unwrap();
    let novel = "It was the best of times, it was the worst of times.\n".repeat(200);
    let spec = readme.split("# spec.toml").nth(1).and_then(|rest| rest.split("```").next()).expect("a spec");
    let spec = spec.replace("steps = 20000", "steps = 40").replace("trials = 100", "trials = 2");
    let shell = Shell::new();
    for (name, text) in [("names.txt", &names), ("novel.txt", &novel), ("spec.toml", &spec)] {
        fs::write(shell.folder.path().join(name), text).unwrap();
    }
    fs::create_dir(shell.folder.path().join("studies")).unwrap();
    // Those of cargo build the program.
    let commands: Vec<Shown> =
        commands(&readme).into_iter().filter(|shown| !shown.command.starts_with("cargo")).collect();
    assert!(commands.len() > 12);
    for shown in commands {
        shell.run(&shortened(&shown.command, "40"));
    }
}

#[test]
fn every_command_of_the_recipes_works() {
    let page = fs::read_to_string(root().join("docs/recipes.md")).unwrap();
    let names = fs::read_to_string(root().join("fixtures/data/words.txt")).unwrap();
    let text = "First Citizen:\nBefore we proceed any further, hear me speak.\n".repeat(160);
    let shell = Shell::new();
    for (name, text) in [("names.txt", &names), ("tinyshakespeare.txt", &text)] {
        fs::write(shell.folder.path().join(name), text).unwrap();
    }
    let commands = commands(&page);
    assert!(commands.len() > 8);
    for shown in commands {
        let mut command = shortened(&shown.command, "2");
        if command.contains("--preset") {
            command += " --batch 4 --layers 1";
        }
        shell.run(&command);
    }
}

fn tour() -> PathBuf {
    root().join("docs/tour/src")
}

/// The tour's pages by name, in order, with what they say.
fn chapters() -> Vec<(String, String)> {
    let summary = fs::read_to_string(tour().join("SUMMARY.md")).unwrap();
    let chapters: Vec<_> = links(&summary)
        .map(|page| (page.to_owned(), fs::read_to_string(tour().join(page)).unwrap()))
        .collect();
    assert!(chapters.len() >= 10, "{summary}");
    chapters
}

/// Where a page's links and pictures lead.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The names of a folder's pictures.
fn pictures(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".svg")).collect()
}

#[test]
fn the_tour_shows_what_comes_out() {
    let (shell, bless) = (Shell::new(), std::env::var_os(BLESS).is_some());
    let (made, kept) = (shell.folder.path(), tour().join("pictures"));
    let mut drawn = BTreeSet::new();
    for (page, text) in chapters() {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut moved = 0isize;
        for Shown { command, output, at } in commands(&text) {
            let said = shell.run(&command);
            let said: Vec<&str> = said.lines().map(str::trim_end).collect();
            if output.is_empty() || is_as_shown(&output, &said) {
                continue;
            }
            assert!(
                bless,
                "{page}: {command}: the page shows\n{}\nnow it is\n{}",
                output.join("\n"),
                said.join("\n")
            );
            let from = at.checked_add_signed(moved).unwrap();
            lines.splice(from..from + output.len(), said.iter().map(|&line| line.to_owned()));
            moved += said.len() as isize - output.len() as isize;
        }
        if bless {
            fs::write(tour().join(&page), lines.join("\n") + "\n").unwrap();
        }
        let all = pictures(made);
        for picture in all.difference(&drawn) {
            assert!(
                text.contains(&format!("](pictures/{picture})")),
                "{page} draws {picture} and does not show it"
            );
            let now = fs::read(made.join(picture)).unwrap();
            assert!(now.len() <= PICTURE, "{page}: {picture} has {} bytes", now.len());
            if bless {
                fs::write(kept.join(picture), &now).unwrap();
            }
            assert!(
                fs::read(kept.join(picture)).is_ok_and(|shown| shown == now),
                "{page}: {picture} is no longer what the command draws"
            );
        }
        drawn = all;
    }
    assert_eq!(pictures(&kept), drawn, "pictures that are kept, and those that commands draw");
}

#[test]
fn the_tours_links_lead_somewhere_in_the_repository_and_in_the_book() {
    for (page, text) in chapters() {
        for link in links(&text) {
            let file = match link.strip_prefix(REPOSITORY) {
                Some(path) => root().join(path),
                None => {
                    assert!(
                        !link.contains(".."),
                        "{page}: {link} leaves the book: it begins with {REPOSITORY}"
                    );
                    tour().join(link)
                }
            };
            assert!(file.is_file(), "{page}: {link} leads nowhere");
        }
    }
}

#[test]
fn every_crate_has_a_readme_and_the_licences() {
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        assert!(folder.join("README.md").is_file(), "{}", folder.display());
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let (ours, its) = (fs::read(root().join(licence)).unwrap(), fs::read(folder.join(licence)));
            assert!(its.is_ok_and(|its| its == ours), "{}: {licence} is to be a copy", folder.display());
        }
    }
}
