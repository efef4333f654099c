//! Starts a test server, prints its URL, process id and directory, and stops it at the end of standard input.
//!
//! ```text
//! $ cargo run -q -p fusebox-test-server
//! redis://127.0.0.1:40123 4711 /tmp/fusebox-test-server-4700-0-12345
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use fusebox_test_server::TestServer;

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
    let server = TestServer::start()?;
    let pid = server.pid().expect("it was started just now");
    writeln!(
        io::stdout(),
        "{} {pid} {}",
        server.url(),
        server.dir().display()
    )?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
