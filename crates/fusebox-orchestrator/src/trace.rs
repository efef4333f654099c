//! Spans of runs, steps and attempts, with the attributes of OpenTelemetry's conventions for generative AI.
//!
//! ```text
//! run ─► step ─► invoke_agent (an attempt) ─► chat, execute_tool, POST (what a model, tool or service is asked)
//! ```
//!
//! The last are opened by the agents themselves: they alone know whom they ask, and for how much.
//!
//! Without the feature `tracing` nothing of it is compiled. With it and nobody listening, a span costs the check of one
//! number; an attempt is boxed once more only while somebody does.
//!
//! Source: *Semantic conventions for generative AI spans*, OpenTelemetry (names `gen_ai.*`, status development). What
//! they do not know is called `fusebox.*`.

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{StepSpan, attempts, run};
#[cfg(feature = "tracing")]
pub(crate) use on::{StepSpan, attempts, run};
