//! Layers, optimizers and schedules from outside, in one program.

mod golden;
mod gradcheck;
mod schedules;
