//! The state protocol as a model, checked in every state it can reach.
//!
//! One partition with its lease and content, a primary, an asynchronous replica, an old primary
//! that does not know it was replaced, and a few owners that may stop at any point for any time.
//! Requests and answers get lost, stores are emptied, replicas promoted as they are, and an
//! operator deletes things. `docs/state-protocol.md` says the protocol in words.
//!
//! To read it: [`rules`] and [`conduct`] say what can be varied, [`store`] how a server answers,
//! [`owner`] what an owner knows, [`system`] how they stand together, [`action`] what can happen, the private
//! `step` what that does, [`ledger`] what an observer notes, [`protocol`] what must hold,
//! [`variant`] how a question is put. The questions are the tests: `tests/holds.rs` for the rules
//! as shipped, `tests/breaks.rs` for what happens without each of them.
//!
//! ```
//! use fusebox_model::protocol;
//! use fusebox_model::rules::Rules;
//! use fusebox_model::system::Bounds;
//! use fusebox_model::variant::Variant;
//!
//! let variant = Variant {
//!     name: "retries without write ids",
//!     owners: 1,
//!     rules: Rules { write_ids: false, ..Rules::SHIPPED },
//!     bounds: Bounds { writes: 1, acquisitions: 1, lost_answers: 1, ..Bounds::default() },
//! };
//! variant.breaks(protocol::APPLIED_ONCE);
//! ```
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod action;
pub mod conduct;
pub mod history;
pub mod ledger;
pub mod milestone;
pub mod owner;
pub mod protocol;
pub mod rules;
mod step;
pub mod store;
pub mod system;
mod trace;
pub mod variant;
