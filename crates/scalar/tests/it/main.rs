//! Scalars from outside, in one program.

mod corpus;
mod expression;
mod golden;
mod graph;
mod picture;
