//! What the state stores answer and keep while something is wrong: real servers, files and
//! processes, real faults.
//!
//! | question | asked by | looked at in |
//! |---|---|---|
//! | what does each operation answer under each fault, and what is kept | [`matrix`] | `tests/matrix.rs` |
//! | what is read from a damaged file | [`damage`] | `tests/damage.rs` |
//! | does every store keep every rule | [`Backend`] | `tests/whole` |
//! | is an increment ever lost | [`counting`] | `tests/whole` |
//! | what do two owners on two sides of a cut do | [`split`] | `tests/whole` |
//! | did a register ever show what no single copy could have shown | [`history`] | `tests/history.rs` |
//!
//! Answers and data are asserted, times are only reported: a [`report::Section`] is a table that
//! `cargo xtask chaos` puts together. What takes whole sets of servers or minutes is in
//! `tests/whole`, which only that verb runs.

mod backend;
pub mod counting;
pub mod damage;
pub mod history;
pub mod matrix;
pub mod report;
pub mod split;
mod words;

pub use backend::{Backend, Kind};
pub use words::{LONG, acquire, bounded, key, named, partition, put, until_answered};
