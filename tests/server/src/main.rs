//! Starts servers for a person or another program, prints URL, process id and directory of each, one
//! a line with an empty line after the last, and stops them at the end of standard input.
//!
//! ```text
//! $ cargo run -q -p fusebox-test-server
//! redis://127.0.0.1:40123 4711 /tmp/fusebox-test-server-4700-0-12345
//!
//! $ cargo run -q -p fusebox-test-server -- sentinel    # or: cluster
//! ```

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use fusebox_test_server::{ClusterSet, SentinelSet, TestServer};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => hold(&[&TestServer::start()?]),
        ["sentinel"] => {
            let set = SentinelSet::start()?;
            let nodes = (0..set.nodes()).map(|n| set.node(n));
            let sentinels = (0..set.sentinels().len()).map(|n| set.sentinel(n));
            hold(&nodes.chain(sentinels).collect::<Vec<_>>())
        }
        ["cluster"] => {
            let set = ClusterSet::start()?;
            hold(&(0..set.nodes()).map(|n| set.node(n)).collect::<Vec<_>>())
        }
        _ => Err("give nothing, `sentinel` or `cluster`".into()),
    }
}

fn hold(servers: &[&TestServer]) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout().lock();
    for server in servers {
        let pid = server.pid().expect("it was started just now");
        writeln!(out, "{} {pid} {}", server.url(), server.dir().display())?;
    }
    writeln!(out)?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
