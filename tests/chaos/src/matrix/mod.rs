//! Fault by operation: what is answered, what is kept, how long the caller waits.
//!
//! A cell begins a fault, asks for one operation, ends the fault, and then looks past it at what is
//! stored. What must hold of it is written where each operation is asked for, in `cells.rs`:
//!
//! - an acknowledged write is there, once, and so is what was acknowledged before;
//! - a write answered "nothing was written" is not there;
//! - one answered "may have been applied", sent again, is there once;
//! - a read that answers, answers what was written;
//! - the store is as good as new once the fault is over.

mod answer;
mod arena;
mod cells;
mod cluster;
mod files;
mod operation;
mod redis;
mod table;

pub use self::redis::{RedisArena, RedisFault};
pub use answer::Answer;
pub use arena::{Allowed, Arena, Keeps};
pub use cells::run as cell;
pub use cluster::{ClusterArena, ClusterFault};
pub use files::{ENV_LOCK, FileArena, FileFault, hold_lock};
pub use operation::Operation;
pub use table::row;
