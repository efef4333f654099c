//! What was sent in secret shows nowhere, even where the other side sends it back.

use fusebox_agent::{Agent, AgentError, Task};
use fusebox_endpoints::{HttpAgent, OpenAiAgent, Secret};
use serde_json::json;

use crate::server::{Act, Server, answer, send, stream};
use crate::{context, logs, patient};

const KEY: &str = "sk-hunter2hunter2";
const QUERY: &str = "q-hunter3hunter3";
const HEADER: &str = "h-hunter4hunter4";

fn assert_clean(text: &str) {
    for secret in [KEY, QUERY, HEADER] {
        // Not even a good part of it.
        assert!(!text.contains(&secret[..10]), "{text}");
    }
}

fn assert_error_is_clean(error: &AgentError) {
    assert_clean(&format!("{error} {error:?} {error:#?}"));
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        assert_clean(&format!("{error} {error:?}"));
        cause = error.source();
    }
}

/// Answers that give away what they were sent, in every place an answer has.
fn tattlers() -> Vec<Vec<Act>> {
    let all = format!("{KEY} {QUERY} {HEADER}");
    let headers = format!("x-request-id: {KEY}\r\nlocation: http://x/{KEY}\r\n");
    let error = json!({"error": {"code": KEY, "type": QUERY, "message": all}}).to_string();
    // So long that the cut goes through a secret.
    let long = json!({"error": {"message": format!("{}{KEY}", "x".repeat(292))}}).to_string();
    vec![
        vec![answer(401, &headers, &error)],
        vec![answer(400, &headers, &long)],
        vec![answer(302, &headers, &error)],
        vec![answer(200, &headers, &error)],
        vec![answer(200, &headers, &all)],
        vec![answer(503, &headers, &json!({"error": all}).to_string())],
        vec![stream(&[&error])],
        vec![stream(&[&all])],
        vec![send(format!("HTTP/1.1 {KEY}\r\n\r\n"))],
        vec![Act::Reset],
    ]
}

#[tokio::test]
async fn no_secret_shows_in_logs_errors_or_debug_output() {
    logs::listen();
    for script in tattlers() {
        let server = Server::start(vec![script]).await;
        let url = format!("{}/v1?key={QUERY}", server.url());
        let http = HttpAgent::builder("orders", &url)
            .bearer(Secret::new(KEY))
            .header("x-other", Secret::new(HEADER))
            .limits(patient());
        let model = OpenAiAgent::builder("triage", "m-1")
            .base_url(&url)
            .key(Secret::new(KEY))
            .header("x-other", Secret::new(HEADER))
            .limits(patient())
            .output_schema(json!({"type": "object"}));
        assert_clean(&format!("{http:?} {http:#?} {model:?} {model:#?}"));
        let http = http.build().expect("a good agent");
        let model = model.build().expect("a good agent");
        assert_clean(&format!(
            "{http} {http:?} {http:#?} {model} {model:?} {model:#?}"
        ));
        let agents: [&dyn Agent; 2] = [&http, &model];
        for agent in agents {
            assert_clean(&format!("{:?}", agent.describe()));
            // A service that answers an error as its good answer is the caller's to judge; what
            // counts here is that a reply to the model is none.
            if let Err(error) = agent.call(Task::new("hi"), &context()).await {
                assert_error_is_clean(&error);
            }
        }
        // The control: they were sent.
        let requests = server.requests().join("");
        for secret in [KEY, QUERY, HEADER] {
            assert!(requests.contains(secret), "{requests}");
        }
    }
    let logs = logs::so_far();
    assert!(logs.contains("reqwest"), "the control: somebody logs");
    assert_clean(&logs);
}

#[test]
fn a_secret_does_not_show_in_any_format() {
    let secret = Secret::new(KEY);
    let json = serde_json::to_string(&json!({"key": secret})).expect("it serializes");
    assert_eq!(json, r#"{"key":"[redacted]"}"#);
    assert_clean(&format!("{secret} {secret:?} {:#?}", Some(&secret)));
}
