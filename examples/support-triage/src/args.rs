//! What the command line says.

use crate::Failure;

/// How the example is called.
const USAGE: &str = "\
usage: support-triage [--ticket TEXT] [--fault WHERE=FAULT[xTIMES]]... [--no-standby] [--no-wait]

  WHERE   model, standby, tools, orders
  FAULT   429[:SECONDS], 500, 503, 529, hang-up, silence, stall-first, stall, reset, cut, truncate,
          drip[:MILLISECONDS]

The model is the one at OPENAI_BASE_URL, called OPENAI_MODEL, with OPENAI_API_KEY if it needs one;
`cargo xtask llm --example ARGS` brings a small one along.";

/// The arguments, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// The ticket.
    pub ticket: String,
    /// What goes wrong.
    pub faults: Vec<String>,
    /// Whether there is a second model.
    pub standby: bool,
    /// Whether the run waits for what is away.
    pub wait: bool,
}

impl Args {
    /// Reads the arguments.
    ///
    /// # Errors
    /// If one is unknown or lacks its value; the message is the usage.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, Failure> {
        let mut read = Self {
            ticket: "I was charged twice for order 4711 and the shop is down.".to_owned(),
            faults: Vec::new(),
            standby: true,
            wait: true,
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--ticket" => read.ticket = args.next().ok_or(USAGE)?,
                "--fault" => read.faults.push(args.next().ok_or(USAGE)?),
                "--no-standby" => read.standby = false,
                "--no-wait" => read.wait = false,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(read)
    }
}
