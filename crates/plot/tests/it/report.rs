//! Pages and comparisons of runs, made here from words that are dangerous in a page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use charloom::Config;
use charloom::data::Data;
use charloom::evaluation::compare;
use charloom::files::{Metric, RunFolder};
use charloom::models;
use charloom::train::{FitOptions, Unwatched, fit};
use charloom_plot::report::report;

const WORDS: [&str; 6] = [
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'//",
    "<img src=x onerror=\"document.title='owned'\">",
    "anna",
    "emma",
    "\"'&lt;&amp;",
];

/// A folder with data and runs in it.
struct Runs {
    folder: tempfile::TempDir,
}

impl Runs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text: String = (0..8).flat_map(|_| WORDS).map(|word| format!("{word}\n")).collect();
        fs::write(folder.path().join("words.txt"), text).unwrap();
        Self { folder }
    }

    fn train(&self, name: &str, toml: &str) -> PathBuf {
        let mut config = Config::from_toml(toml, "test".as_ref()).unwrap();
        config.data.path = Some(self.folder.path().join("words.txt"));
        let data = charloom::load_data(&mut config).unwrap();
        let path = self.folder.path().join(name);
        let mut folder = RunFolder::create(&path, false).unwrap();
        folder.write_config(&config).unwrap();
        let stop = AtomicBool::new(false);
        fit(&config, &data, &mut folder, FitOptions::default(), &stop, &mut Unwatched).unwrap();
        path
    }

    fn mlp(&self, name: &str) -> PathBuf {
        self.train(name, "[model]\nhidden = [32]\ncontext = 8\n[train]\nsteps = 300\nlr = 0.3")
    }
}

/// What stands between `<script ...>` and `</script>`, as a browser cuts it.
fn scripts(page: &str) -> Vec<&str> {
    page.split("<script").skip(1).map(|rest| rest.split("</script>").next().unwrap()).collect()
}

#[test]
fn words_of_the_data_do_not_become_a_part_of_the_page() {
    let runs = Runs::new();
    let path = runs.mlp("<b>'run\"&");
    let page = report(&path, None, str::to_owned).unwrap();
    // Two figures' numbers and the page's own script, and nothing that the words would begin.
    let scripts = scripts(&page);
    assert_eq!(scripts.len(), 3);
    assert!(scripts[..2].iter().all(|script| script.starts_with(" type=\"application/json\"")));
    assert!(!page.contains("<img") && !page.contains("<b>"), "a word is part of the page");
    assert!(page.contains("&#60;b&#62;") || page.contains("&lt;b&gt;"), "the run's name is not in the page");
    assert!(page.contains("<h2>Diagnostics</h2>"));
    // A model that knows the words by heart writes them into its page.
    let parrot =
        report(&runs.train("parrot", "[model]\nkind = 'ngram'\norder = 10"), None, str::to_owned).unwrap();
    assert!(parrot.contains("onerror=") && parrot.contains("document.title"), "no word is in the page");
    assert!(!parrot.contains("<img") && self::scripts(&parrot).len() == 1, "a word is part of the page");
    for script in &scripts[..2] {
        let json = script.split_once('>').unwrap().1;
        let figure: serde_json::Value = serde_json::from_str(json).unwrap();
        assert!(
            figure["series"].as_array().unwrap().iter().all(|s| !s["points"].as_array().unwrap().is_empty())
        );
    }
    assert!(page.len() < 400_000, "{} bytes", page.len());
    assert_eq!(page, report(&path, None, str::to_owned).unwrap(), "the page is not the same twice");
    for needs_network in ["src=\"http", "href=\"http", "@import", "url("] {
        assert!(!page.contains(needs_network), "{needs_network}");
    }
}

#[test]
fn a_page_says_what_is_missing_without_the_data() {
    let runs = Runs::new();
    let path = runs.train("run", "[model]\nkind = 'ngram'\norder = 3");
    let whole = report(&path, None, str::to_owned).unwrap();
    assert!(whole.contains("Final losses") && !whole.contains("is missing here"));
    fs::remove_file(runs.folder.path().join("words.txt")).unwrap();
    let page = report(&path, None, str::to_owned).unwrap();
    assert!(page.contains("What needs the data is missing here") && page.contains("``data``"));
    assert!(!page.contains("Final losses"));
}

#[test]
fn a_run_of_any_kind_has_a_page() {
    let runs = Runs::new();
    for kind in models::all().map(|kind| kind.name()).filter(|&kind| kind != "mixture") {
        let path = runs.train(kind, &format!("[model]\nkind = '{kind}'\n[train]\nsteps = 1\nbatch = 2"));
        let page = report(&path, None, str::to_owned).unwrap();
        assert!(page.contains("Final losses"), "{kind}");
    }
}

/// Opens a page as a user would; none if there is no Chromium here.
fn opened(page: &Path) -> Option<(String, String)> {
    let try_one = |program: &str| {
        let mut command = Command::new(program);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--dump-dom",
        ]);
        command.arg(format!("file://{}", page.display())).stdin(Stdio::null());
        let output = command.output().ok()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Some((text(output.stdout), text(output.stderr)))
    };
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(try_one)
}

#[test]
#[ignore = "needs Chromium"]
fn a_browser_opens_the_page_and_runs_no_script_but_its_own() {
    let runs = Runs::new();
    let page = runs.folder.path().join("report.html");
    fs::write(&page, report(&runs.mlp("run"), None, str::to_owned).unwrap()).unwrap();
    let (dom, log) = opened(&page).expect("Chromium");
    assert!(!log.contains("CONSOLE"), "{log}");
    assert!(dom.contains("<title>run - charloom</title>"), "the title is another: a script of the data ran");
    assert_eq!(dom.matches("class=\"chart live\"").count(), 2, "the page's own script did not run");
    // The same page with a script in it that is not its own: forbidden.
    let own = fs::read_to_string(&page).unwrap();
    fs::write(&page, own.replace("<main>", "<main><script>document.title='owned'</script>")).unwrap();
    let (dom, log) = opened(&page).unwrap();
    assert!(dom.contains("<title>run - charloom</title>") && log.contains("CONSOLE"), "{log}");
}

#[test]
fn runs_are_compared_word_by_word() {
    let runs = Runs::new();
    let short = runs.train("short", "[model]\nhidden = [8]\ncontext = 2\n[train]\nsteps = 10");
    let long = runs.mlp("long");
    let ngram = runs.train("ngram", "[model]\nkind = 'ngram'");
    let compared = compare(&[short.clone(), long.clone(), ngram], "val", None).unwrap();
    let data = Data::load(&Config::read(&long.join("config.toml")).unwrap().data, None).unwrap();
    assert_eq!(compared.tests[0].pairs, data.splits.val.words().count());
    let by_hand = compared.runs[1].evaluation.loss - compared.runs[0].evaluation.loss;
    assert!((compared.tests[0].difference - by_hand).abs() < 1e-9);
    assert!(compared.tests[0].difference < 0.0 && compared.tests[0].p.unwrap() < 0.05);
    let keys: Vec<&str> = compared.settings.iter().map(|setting| setting.key.as_str()).collect();
    assert!(keys.contains(&"model.hidden") && keys.contains(&"train.steps") && !keys.contains(&"train.seed"));
    assert_eq!((compared.runs[2].parameters, compared.runs[2].steps), (None, None));
    assert_eq!(compared.tests[1].run, compared.runs[2].run);

    let other = runs.train("other", "[data]\nsplit_seed = 1\n[model]\nkind = 'ngram'");
    let refused = compare(&[short, other], "val", None).unwrap_err().to_string();
    assert!(refused.contains("``split_seed``"), "{refused}");
}

#[test]
fn texts_are_compared_whatever_the_models_contexts() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Runs { folder };
    let text: String = (0..3000).map(|i| if i % 7 == i % 5 { 'a' } else { 'b' }).collect();
    fs::write(runs.folder.path().join("words.txt"), text).unwrap();
    let path = |order: u32| {
        runs.train(
            &format!("run{order}"),
            &format!("[data]\nmode = 'text'\n[model]\nkind = 'ngram'\norder = {order}"),
        )
    };
    let compared = compare(&[path(2), path(6)], "val", None).unwrap();
    // 300 characters, of which all but the first are judged.
    assert_eq!(compared.runs.iter().map(|run| run.evaluation.examples).collect::<Vec<_>>(), [299, 299]);
    assert_eq!(compared.tests[0].pairs, 3);
}

#[test]
fn metrics_are_read_back_and_broken_ones_refused() {
    let runs = Runs::new();
    let path = runs.mlp("run");
    let metrics = Metric::read_all(&path).unwrap();
    assert!(metrics.iter().any(|metric| metric.split == "val" && metric.step == 300));
    let file = path.join("metrics.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    // Half a line at the end is one that is being written.
    fs::write(&file, format!("{text}{{\"step\":3")).unwrap();
    assert_eq!(Metric::read_all(&path).unwrap(), metrics);
    fs::write(&file, format!("{text}nonsense\n")).unwrap();
    let refused = Metric::read_all(&path).unwrap_err().to_string();
    assert!(refused.contains(&format!("line {}", metrics.len() + 1)), "{refused}");
    fs::write(&file, "x".repeat(1 << 16)).unwrap();
    assert!(Metric::read_all(&path).is_err());
    assert!(Metric::read_all(runs.folder.path()).unwrap_err().to_string().contains("charloom train"));
    assert_eq!(charloom_plot::run_name(&path), "run");
}
