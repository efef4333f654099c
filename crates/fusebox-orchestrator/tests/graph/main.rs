//! What a graph promises beyond chains, through the public API, on virtual time and the memory store.

mod approvals;
mod conditions;
mod formats;
mod inner;
mod joins;
mod last_good;
mod maps;
mod ports;
mod repeats;
mod states;
mod support;
mod sweep;
