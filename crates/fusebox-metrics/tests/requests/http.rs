//! Requests to services.

use fusebox_endpoints::HttpAgent;
use serde_json::json;

use crate::server::{Server, answer, nobody};
use crate::{ask, header, only, watched};

#[test]
fn a_request_to_a_service_is_told_as_the_conventions_of_http_have_it() {
    let ((url, parent), received) = watched(async {
        let server = Server::always(answer(200, "", "{}")).await;
        let url = format!("{}/orders", server.url());
        let agent = HttpAgent::builder("orders", format!("{url}?key=k-1")).build();
        ask(&agent.unwrap(), json!({"day": 1})).await.unwrap();
        (url, header(&server.requests()[0], "traceparent"))
    });
    let span = only(&received);
    assert_eq!(parent, Some(span.traceparent()));
    assert_eq!(span.name, "POST");
    assert!(span.is_client && !span.is_error, "{span:?}");
    assert_eq!(span.text("http.request.method"), Some("POST"));
    assert_eq!(span.text("url.full"), Some(&*url), "without its query");
    assert_eq!(span.text("server.address"), Some("127.0.0.1"));
    assert_eq!(span.number("http.response.status_code"), Some(200));
    assert_eq!(span.text("network.protocol.version"), Some("1.1"));
    assert_eq!(span.text("error.type"), None);
}

#[test]
fn a_service_that_fails_is_told_with_status_and_meaning() {
    let (_, received) = watched(async {
        let server = Server::always(answer(503, "", "{}")).await;
        let agent = HttpAgent::builder("orders", server.url()).build();
        ask(&agent.unwrap(), json!({})).await.unwrap_err();
    });
    let span = only(&received);
    assert!(span.is_error);
    assert_eq!(span.text("error.type"), Some("overloaded"));
    assert_eq!(span.number("http.response.status_code"), Some(503));
}

#[test]
fn a_service_that_is_not_there_has_no_status() {
    let (_, received) = watched(async {
        let agent = HttpAgent::builder("orders", format!("http://{}", nobody().await)).build();
        ask(&agent.unwrap(), json!({})).await.unwrap_err();
    });
    let span = only(&received);
    assert_eq!(span.text("error.type"), Some("dependency_unavailable"));
    assert_eq!(span.text("fusebox.phase"), Some("connect"));
    assert_eq!(span.number("http.response.status_code"), None);
}
