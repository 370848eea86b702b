//! Flags that would have no effect, and data where no data stands, by every command.

use std::fs;

use super::{charloom, done, refused, trained};

#[test]
fn what_would_have_no_effect_is_refused_by_every_command() {
    let home = trained("--hidden 8 --steps 2");
    let path = home.path();
    done(path, "train names --model ngram --order 3 --out counted");
    done(path, "train names --model ngram --order 3 --mode text --out text");
    done(path, "train names --model gru --hidden 8 --batch 4 --steps 2 --out gru");
    fs::write(path.join("other"), "anna\nemma\n").unwrap();
    for (args, said) in [
        ("plot run lr --layer 3", "--layer has no effect: it is of the picture weights"),
        ("plot run loss --words a", "--words"),
        ("plot run embedding --log", "--log"),
        ("plot run bigram --smooth 4", "--smooth"),
        ("plot run loss --dims 0,1", "--dims"),
        ("plot run loss --data names", "--data has no effect: it is of the picture bigram, activations"),
        ("plot run loss --theme dark", "--theme has no effect in a terminal"),
        ("lr-find names --steps 20 --theme dark", "--theme"),
        ("lr-find names --steps 20 --lr 3", "--lr has no effect: the rate is what is varied"),
        ("lr-find names --steps 20 --patience 3", "--patience"),
        ("sample run --data names", "it is read for --novel alone"),
        ("eval run --unknown skip", "--lossy and --unknown have no effect"),
        ("eval run --lossy", "--lossy and --unknown have no effect"),
        (
            "eval run --data other --split test",
            "--split has no effect: other is not what the model was trained on",
        ),
        ("info --hardware --preset bengio", "--hardware is about this machine; leave out the settings"),
        ("graph 2*3 --seed 3", "cannot be used with"),
        ("examples names --vocab --numbers", "cannot be used with"),
        ("examples names --vocab -n 3", "cannot be used with"),
        ("train names --model ngram --diagnostics --out none", "--diagnostics has no effect"),
        ("train names --model gru --steps 1 --diagnostics --out none", "--diagnostics has no effect"),
        ("train names --model bow --steps 1 --diagnostics --out none", "--diagnostics has no effect"),
        ("train names --model gru --seeds 2 --diagnostics --out none", "--diagnostics has no effect"),
        ("train names --size tiny --model gru --diagnostics --out none", "--diagnostics has no effect"),
        ("sample run --max-length 0", "--max-length 0 is out of range; it must be at least 1"),
        ("inspect run --untrained", "not at a run; name the data, and --config run/config.toml"),
        ("sample text --min-length 20", "--min-length 20 is for words; a text always has --max-length"),
        (
            "next gru --logits",
            "a model of kind \"gru\" has no layers over a window of characters; one of kind mlp",
        ),
        ("inspect gru", "one of kind mlp, linear, wavenet has"),
        ("plot gru dead", "a model of kind \"gru\" has no layers"),
        ("train names --model ngram --threads 2 --out none", "--threads has no effect"),
        ("info names --steps 5", "--steps has no effect: nothing is trained here"),
        ("info names --lr 3", "--lr"),
        ("explain loss names --momentum .5", "--momentum"),
        ("gradcheck names --eval-every 5", "--eval-every"),
        ("bench names --steps 5", "--steps"),
        ("gradcheck names --init-from nosuch", "--init-from has no effect: nothing is trained here"),
        ("gradcheck names --teacher-weight .5", "--teacher-weight has no effect"),
        ("info names --teacher nosuch", "--teacher has no effect: nothing is trained here"),
        ("inspect --untrained names --init-from nosuch", "--init-from has no effect"),
        ("inspect --untrained names --ema .9", "--ema has no effect: nothing is trained here"),
        ("inspect --untrained names --accumulate 3", "--accumulate has no effect"),
        ("backprop names --teacher nosuch", "--teacher has no effect"),
        ("lr-find names --ema .99", "--ema has no effect"),
        ("backprop names --steps 5", "--steps has no effect: --train says"),
        ("inspect --untrained names --steps 5", "--steps"),
        ("inspect run --lossy", "a run has its own settings"),
        ("explain loss run names --lossy --lr 3", "a run has its own settings"),
        ("info run names", "a run says all of itself"),
    ] {
        refused(path, args, 2, said);
    }
}

#[test]
fn the_data_of_runs_is_named() {
    let home = trained("--hidden 8 --steps 2");
    let path = home.path();
    for args in ["compare run names", "mix run names --out none", "plot names bigram", "compare run nowhere"]
    {
        refused(path, args, 1, "data is named, with --data");
    }
    // One run leaves a place for it.
    fs::rename(path.join("names"), path.join("moved")).unwrap();
    for args in ["eval run", "inspect run", "explain loss run", "sample run -n 1 --novel", "report run"] {
        for data in ["moved", "--data moved"] {
            done(path, &format!("{args} {data}"));
        }
        if !args.starts_with("inspect") && !args.starts_with("explain") {
            refused(path, &format!("{args} moved --data moved"), 2, "cannot be used with");
        }
        assert!(charloom(path, args).status.code() > Some(0) || args.starts_with("report"), "{args}");
    }
    done(path, "compare run run --data moved");
    fs::write(path.join("other"), b"zo\xeb\n").unwrap();
    // Which file it is comes before what is in it.
    refused(path, "compare run run --data other", 1, "other: has changed since");
}
