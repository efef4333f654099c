//! The Redis store over every kind of connection: what it does when servers are not ready, are
//! not the right ones, or are gone.
#![cfg(all(feature = "redis", feature = "conformance"))]

mod redis_cluster;
mod redis_durability;
mod redis_errors;
mod redis_logins;
mod redis_sentinel;
mod support;
