//! Works on a ticket, with faults if asked for, and says how it went.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use fusebox::endpoints::Secret;
use fusebox::{RunOptions, RunReport};
use serde_json::Value;
use support_triage::services::{ORDERS, Service, TOOLS, serve};
use support_triage::{Args, Desk, DeskSetup, Failure, Lines, Settings, Target};

fn main() -> ExitCode {
    let done = match env::args().nth(1).as_deref() {
        Some(service @ (TOOLS | ORDERS)) => runtime(serve(service)).map(|()| 0),
        _ => runtime(work()),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

fn runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

async fn work() -> Result<u8, Failure> {
    let args = Args::parse(env::args().skip(1))?;
    let base_url = env::var("OPENAI_BASE_URL")
        .map_err(|_| "OPENAI_BASE_URL is not set; `cargo xtask llm --example` sets it")?;
    let (address, path) = parts(&base_url)?;

    let program = env::current_exe()?;
    let tools = Service::start(&program, TOOLS).await?;
    let orders = Service::start(&program, ORDERS).await?;
    let lines = Lines::start(address, &tools.address, &orders.address).await?;
    for fault in &args.faults {
        lines.inject(fault)?;
    }

    let settings = Settings::default();
    let target = |name: &str, url: String| -> Result<Target, Failure> {
        Ok(Target {
            model: env::var("OPENAI_MODEL").unwrap_or_else(|_| "gpt-4o-mini".to_owned()),
            base_url: format!("{url}{path}"),
            key: env::var_os("OPENAI_API_KEY").and(Secret::from_env("OPENAI_API_KEY").ok()),
            breaker: settings.breaker(name)?,
        })
    };
    let mut targets = vec![target("model", lines.model.url())?];
    if args.standby {
        targets.push(target("standby", lines.standby.url())?);
    }
    let desk = Desk::new(DeskSetup {
        targets: targets.clone(),
        tools: format!("{}/mcp", lines.tools.url()),
        orders: format!("{}/orders", lines.orders.url()),
        store: fusebox::state::open("memory:").await?,
        settings,
    })?;

    let mut options = RunOptions::default();
    options.wait = args.wait;
    let report = desk.handle(&args.ticket, options).await?;
    let output = desk.output(&report, "completion").await?;
    show(&report, &output, &targets, &desk, &lines)?;
    Ok(report.status.exit_code())
}

/// `host:port` and the path of a base URL: a proxy can stand before plain HTTP only.
fn parts(base_url: &str) -> Result<(&str, &str), Failure> {
    let rest = base_url.strip_prefix("http://");
    let rest = rest.ok_or("OPENAI_BASE_URL has to be of http: the faults are made before it")?;
    Ok(match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    })
}

fn show(
    report: &RunReport,
    output: &Value,
    targets: &[Target],
    desk: &Desk,
    lines: &Lines,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for step in &report.steps {
        let (name, status) = (&step.name, step.status);
        let reason = step.reason.as_deref().unwrap_or_default();
        writeln!(
            out,
            "{name:<13} {status:<10} attempts {} {reason}",
            step.executions
        )?;
    }
    let reason = report.reason.as_deref().map(|why| format!(": {why}"));
    writeln!(out, "\nrun {}{}", report.status, reason.unwrap_or_default())?;
    if !output.is_null() {
        writeln!(out, "{output:#}")?;
    }
    let breakers = targets.iter().map(|target| &target.breaker);
    for breaker in breakers.chain([&desk.tool_server]) {
        let reason = breaker.reason().map(|reason| format!(", {reason}"));
        let reason = reason.unwrap_or_default();
        writeln!(
            out,
            "breaker {:<9} {}{reason}",
            breaker.name(),
            breaker.state()
        )?;
    }
    for (name, proxy) in lines.all() {
        let (came, passed) = (proxy.requests(), proxy.forwarded());
        writeln!(out, "line    {name:<9} {came} requests, {passed} passed on")?;
    }
    Ok(())
}
