//! Pictures and reports from outside, in one program.

mod pictures;
mod report;
