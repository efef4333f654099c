//! A `fusebox serve` of a test.

use fusebox_tests::{Running, Sandbox};

/// Starts it on a free port; gives its address too.
pub(crate) fn serve(sandbox: &Sandbox, args: &[&str]) -> (Running, String) {
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--print-address"];
    let mut running = sandbox.start(&[&fixed, args].concat());
    let url = running.line();
    (running, url)
}
