//! The command as a user meets it, in one program of tests.

mod again;
mod backprop;
mod bad_input;
mod command;
mod crashes;
mod dashboard;
mod docs;
mod eval;
mod graph;
mod inspect;
mod lines;
mod mix;
mod notebooks;
mod pictures;
mod stopping;
mod sweep;
mod train;
