//! The server's own tool, for scale.

use std::env;
use std::process::Command;

/// Names the program, if it is there; `cargo xtask bench` sets it.
const PROGRAM: &str = "FUSEBOX_REDIS_BENCHMARK";

/// A plain `SET` of 1 KiB by as many connections as there were writers.
pub(crate) fn print(port: u16, widths: &[usize]) {
    let Ok(program) = env::var(PROGRAM) else {
        println!("redis-benchmark: not here ({PROGRAM} is not set)");
        return;
    };
    println!("## redis-benchmark, SET of 1 KiB, a connection for each writer\n");
    println!("| connections | sets/s |");
    println!("|---:|---:|");
    for width in widths {
        let output = Command::new(&program)
            .args(["-p", &port.to_string(), "-t", "set", "-d", "1024", "--csv"])
            .args(["-c", &width.to_string(), "-n", "50000"])
            .output();
        let rate = output.ok().and_then(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = text
                .lines()
                .rev()
                .find(|line| line.starts_with("\"SET\""))?;
            line.split(',')
                .nth(1)
                .map(|rate| rate.trim_matches('"').to_owned())
        });
        let rate = rate.unwrap_or_else(|| "did not run".to_owned());
        println!("| {width} | {rate} |");
    }
}
