//! The ten scenarios that a system of cooperating agents has to stand.
//!
//! Each is told once, as a function of a [`World`](world::World), and tried three ways: on virtual
//! time over many seeds, in real time on a real Redis, and with its protection switched off, where
//! the very same assertions have to fail. None asserts on how long anything took in real time.
//!
//! The agents are those of the standard workflow; see `standard.rs`.

mod standard;
mod world;

mod scenario_01_cascade;
mod scenario_02_mid_workflow;
mod scenario_03_recovery_objectives;
mod scenario_04_consistency;
mod scenario_05_concurrency;
mod scenario_06_chain;
mod scenario_07_coordination;
mod scenario_08_partial_failure;
mod scenario_09_recovery;
mod scenario_10_together;
