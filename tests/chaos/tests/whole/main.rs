//! What takes whole sets of servers, or minutes; run by `cargo xtask chaos`.

mod conforms;
mod counts;
mod split;
