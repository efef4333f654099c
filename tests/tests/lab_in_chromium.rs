//! The page of `fusebox lab` in a browser: by light, in the dark, on a phone.

#![cfg(target_os = "linux")]

use fusebox_tests::{Browser, Sandbox};

const FLOW: &str = r#"
[workflow]
name = "small"
objective = "60s"

[agents.ask]
kind = "command"
command = ["false"]
preset = "supervisor"

[[step]]
name = "ask"
"#;

const PLAN: &str = r#"
workflow = "small.toml"
duration = "60s"
every = "1s"
seeds = 2

[[faults]]
agent = "ask"
kind = "timeout"
from = "10s"
for = "20s"

[targets]
availability = 0.9
"#;

#[test]
fn the_page_is_drawn_without_a_complaint_and_fits_a_phone() {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", FLOW);
    sandbox.write("plan.toml", PLAN);
    let _ = sandbox
        .fusebox(&["lab", "plan.toml", "--html", "page.html"])
        .exited(0);
    let mut browser = Browser::start();
    let page = sandbox.path().join("page.html");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for (device, width) in [("desk", 1100), ("phone", 390)] {
            browser.resize(width, 800);
            browser.visit(&format!("file://{}", page.display()));
            browser.until("document.querySelectorAll('svg.plot').length === 5");
            // Only what is wide moves sideways, not the page.
            browser.until("document.documentElement.scrollWidth <= window.innerWidth");
            browser.picture(&format!("lab-{scheme}-{device}"), true);
        }
    }
    // Every line was drawn, and no two alike in the dashes that tell the sides apart.
    browser.until("document.querySelectorAll('svg.plot path.line').length === 8");
    let dashes = |side: &str| {
        format!("getComputedStyle(document.querySelector('path.{side}')).strokeDasharray")
    };
    browser.until(&format!(
        "{} !== {}",
        dashes("protected"),
        dashes("unprotected")
    ));
    assert_eq!(browser.complaints(), [""; 0]);
}
