//! `fusebox state`: a look into the store itself.

mod forks;
mod stats;

pub(crate) use forks::forks;
pub(crate) use stats::stats;
