//! Runs a program as an agent: JSON from standard input goes in, the reply comes out.
//!
//! ```sh
//! echo '{"a": [1, 2]}' | cargo run -p fusebox-endpoints --features command --example run_command -- \
//!     sh -c 'cat; echo "reading done" >&2'
//! ```
//!
//! prints `progress: reading done` and `{"a":[1,2]}`. Kill it with SIGKILL while the program runs:
//! the program dies, too. Without arguments it runs `echo`.
//!
//! Prints:
//! ```text
//! {"hello":"world"}
//! ```

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use fusebox_agent::{Agent, Context, Task};
use fusebox_endpoints::{CommandAgent, enter_shim_if_asked};

fn main() -> ExitCode {
    enter_shim_if_asked();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut input = String::new();
    if args.is_empty() {
        args = vec!["echo".into(), r#"{"hello": "world"}"#.into()];
    } else {
        input = io::read_to_string(io::stdin())?;
    }
    let program = args.remove(0);
    let input = match input.trim() {
        "" => serde_json::Value::Null,
        json => serde_json::from_str(json)?,
    };
    let agent = CommandAgent::new("program", program, args);
    let cx = Context::new("example", "program").with_progress(|line| {
        let _ = writeln!(io::stderr(), "progress: {line}");
    });
    let reply = agent.call(Task { input }, &cx).await?;
    writeln!(io::stdout(), "{}", reply.output)?;
    Ok(())
}
