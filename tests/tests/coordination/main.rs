//! Many runs and one outage: how they wait, how they come back, what the agent sees of it.
//!
//! On virtual time; each has a control with its protection switched off.

#![expect(
    clippy::print_stdout,
    reason = "the figures of a herd and of an amplification are worth a look"
)]

mod amplification;
mod frail;
mod health;
mod herd;
mod waves;
