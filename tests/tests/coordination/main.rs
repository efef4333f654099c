//! Many runs and one outage: how they wait, how they come back, what the agent sees of it.
//!
//! On virtual time; each has a control with its protection switched off.

mod amplification;
mod frail;
mod health;
mod herd;
mod waves;
