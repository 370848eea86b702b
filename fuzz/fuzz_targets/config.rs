//! See `charloom_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| charloom_fuzz::config(bytes));
