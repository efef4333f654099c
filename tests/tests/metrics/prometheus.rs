//! A real Prometheus and its promtool on a real run's page.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fusebox::metrics::METRICS;
use fusebox::metrics::prometheus::Exporter;
#[cfg(target_os = "linux")]
use fusebox_tests::Sandbox;
use fusebox_tests::eventually;
use serde_json::Value;

use crate::scene::play;
#[cfg(target_os = "linux")]
use crate::scene::{Eyes, play_before};
use crate::server::{Server, get};
#[cfg(target_os = "linux")]
use crate::serving::serve;

const WHY: &str = "needs the programs prometheus and promtool: `cargo xtask dashboards --check` finds or fetches them";

/// A Prometheus that scrapes one target five times a second. Dropping it ends it.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn scraping(target: SocketAddr, home: &Path) -> Self {
        let config = home.join("prometheus.yml");
        let text = format!(
            "scrape_configs:\n  - job_name: fusebox\n    scrape_interval: 200ms\n    scrape_timeout: 200ms\n    static_configs:\n      - targets: ['{target}']\n"
        );
        std::fs::write(&config, text).unwrap();
        // It cannot be asked which port it took, so it is told one that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                home.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// The names of all metrics it has seen.
    fn names(&self) -> Vec<String> {
        let answer = get(self.address, "/api/v1/label/__name__/values").unwrap_or_default();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let names = answer["data"].as_array().cloned().unwrap_or_default();
        names
            .iter()
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect()
    }

    /// Waits until one that begins after the call is over.
    #[cfg(target_os = "linux")]
    fn wait_for_a_scrape(&self) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let query = "/api/v1/query?query=timestamp(fusebox_health)";
        eventually("another scrape", || {
            let answer: Value = serde_json::from_str(&get(self.address, query)?).ok()?;
            let at = answer["data"]["result"][0]["value"][1].as_str()?;
            (at.parse::<f64>().ok()? > now).then_some(())
        });
    }

    /// The metrics of the table it has not seen.
    fn missing(&self) -> Vec<&'static str> {
        let names = self.names();
        let seen = |name: &str| {
            names
                .iter()
                .any(|seen| seen == name || *seen == format!("{name}_bucket"))
        };
        METRICS
            .iter()
            .map(|metric| metric.name)
            .filter(|name| !seen(name))
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("FUSEBOX_PROMETHEUS").unwrap_or_else(|| panic!("{WHY}"));
    PathBuf::from(folder).join(name)
}

#[test]
#[ignore = "needs the programs prometheus and promtool: `cargo xtask dashboards --check` finds or fetches them"]
fn a_real_prometheus_shows_every_metric_of_the_table() {
    let exporter = Exporter::new();
    let server = Server::of(exporter.clone());
    let home = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::scraping(server.address, home.path());
    eventually("Prometheus answers", || get(prometheus.address, "/-/ready"));
    assert_eq!(prometheus.missing().len(), METRICS.len());

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(play(&exporter));
    eventually("every metric has been scraped", || {
        prometheus.missing().is_empty().then_some(())
    });
}

/// The rows that a Prometheus has not seen once the scene was played before these eyes, through `fusebox serve`.
#[cfg(target_os = "linux")]
fn missing_from_serve(eyes: impl Fn(PathBuf) -> Eyes) -> Vec<&'static str> {
    let sandbox = Sandbox::new();
    let (_serving, url) = serve(&sandbox, &[]);
    let address = url.trim_start_matches("http://").parse().unwrap();
    let prometheus = Prometheus::scraping(address, sandbox.path());
    eventually("Prometheus scrapes", || {
        let names = prometheus.names();
        names.contains(&"fusebox_health".to_owned()).then_some(())
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let engines = sandbox.state_dir().join("engines");
    runtime.block_on(play_before(&eyes(engines)));
    prometheus.wait_for_a_scrape();
    assert_eq!(judged(&get(address, "/metrics").unwrap()), "");
    prometheus.missing()
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs the programs prometheus and promtool: `cargo xtask dashboards --check` finds or fetches them"]
fn a_real_prometheus_that_scrapes_serve_shows_every_metric_of_the_table() {
    assert_eq!(missing_from_serve(Eyes::Counting), Vec::<&str>::new());
    // The control: an engine that does not count has what its health says.
    let missing = missing_from_serve(Eyes::NotCounting);
    assert_eq!(METRICS.len() - missing.len(), 12, "missing: {missing:?}");
    assert!(missing.contains(&"fusebox_runs_total"), "{missing:?}");
}

#[test]
#[ignore = "needs the programs prometheus and promtool: `cargo xtask dashboards --check` finds or fetches them"]
fn promtool_finds_nothing_to_mend_on_a_page() {
    let exporter = Exporter::new();
    fusebox_testkit::virtual_time(7, async |_| play(&exporter).await);
    assert_eq!(judged(&exporter.render()), "");
}

/// What promtool has to say about a page.
fn judged(page: &str) -> String {
    let mut child = Command::new(program("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(page.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}
