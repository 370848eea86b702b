//! See `charloom_fuzz::data`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| charloom_fuzz::data(bytes));
