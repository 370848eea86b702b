//! See `charloom_fuzz::model`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| charloom_fuzz::model(bytes));
