//! See `charloom_fuzz::expression`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| charloom_fuzz::expression(bytes));
