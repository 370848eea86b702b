//! See `charloom_fuzz::state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| charloom_fuzz::state(bytes));
