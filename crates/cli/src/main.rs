//! The `charloom` command.
#![forbid(unsafe_code)]

fn main() {}
