//! What takes whole sets of servers, or minutes; run by `cargo xtask chaos`.

mod cluster;
mod conforms;
mod counts;
mod split;
