//! The library from outside, in one program. A model of one's own has another (`own_model`): what a program registers
//! stays registered.

mod allocation;
mod corpora;
mod curves;
mod data;
mod datasets;
mod diagnostics;
mod format;
mod fuzz;
mod init_from;
mod kinds;
mod ngram;
mod notebooks;
mod processors;
mod properties;
mod resume;
mod sample;
mod threads;
