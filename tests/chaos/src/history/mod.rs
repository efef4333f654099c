//! What many callers saw of one register, and whether one copy of it could have shown that.
//!
//! Callers work at the same time while connections are reset, replies get lost and the server is
//! stopped. Each call is recorded with its beginning, its end and its answer; one without an answer
//! has no end, since it may still take effect. [`check`] then looks for an order of the calls in which
//! each answer is right and none comes before a call that had ended when it began: linearizability,
//! as in Herlihy and Wing, *Linearizability: A Correctness Condition for Concurrent Objects*, 1990,
//! by the search of Wing and Gong, 1993, which does not visit a state twice (Lowe, *Testing for
//! linearizability*, 2017).

mod check;
mod lease;
mod record;
mod register;
mod trouble;

pub use check::{Model, Operation, check};
pub use lease::{LeaseAnswer, LeaseCall, LeaseModel};
pub use record::Recorder;
pub use register::{RegisterAnswer, RegisterCall, RegisterModel};
pub use trouble::{History, leases, registers};
