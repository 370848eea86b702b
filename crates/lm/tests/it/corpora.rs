//! What the fuzzer found worth keeping, through the fuzz targets' own functions.

use crate::fuzz::{config, data, model, state};

fn replay(target: &str, run: fn(&[u8])) {
    for (name, bytes) in charloom_testkit::corpus(target) {
        println!("{name}");
        run(&bytes);
    }
}

#[test]
fn configurations_are_read_or_refused() {
    replay("config", config::config);
}

#[test]
fn data_is_read_or_refused() {
    replay("data", data::data);
}

#[test]
fn models_are_read_or_refused() {
    replay("model", model::model);
}

#[test]
fn trainings_go_on_or_are_refused() {
    replay("state", state::state);
}
