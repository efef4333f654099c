//! The page: files that are part of the program, and the headers that keep it to itself.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// A file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Everything a browser loads. Together they stay below 200 kB, which a test holds them to.
const ASSETS: &[Asset] = &[
    Asset {
        path: "/",
        kind: "text/html; charset=utf-8",
        text: include_str!("page/index.html"),
    },
    Asset {
        path: "/page.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("page/page.css"),
    },
    Asset {
        path: "/icon.svg",
        kind: "image/svg+xml",
        text: include_str!("page/icon.svg"),
    },
    Asset {
        path: "/main.js",
        kind: SCRIPT,
        text: include_str!("page/main.js"),
    },
    Asset {
        path: "/api.js",
        kind: SCRIPT,
        text: include_str!("page/api.js"),
    },
    Asset {
        path: "/dom.js",
        kind: SCRIPT,
        text: include_str!("page/dom.js"),
    },
    Asset {
        path: "/breakers.js",
        kind: SCRIPT,
        text: include_str!("page/breakers.js"),
    },
    Asset {
        path: "/objectives.js",
        kind: SCRIPT,
        text: include_str!("page/objectives.js"),
    },
    Asset {
        path: "/runs.js",
        kind: SCRIPT,
        text: include_str!("page/runs.js"),
    },
    Asset {
        path: "/run.js",
        kind: SCRIPT,
        text: include_str!("page/run.js"),
    },
    Asset {
        path: "/graph.js",
        kind: SCRIPT,
        text: include_str!("page/graph.js"),
    },
    Asset {
        path: "/events.js",
        kind: SCRIPT,
        text: include_str!("page/events.js"),
    },
    Asset {
        path: "/dialogs.js",
        kind: SCRIPT,
        text: include_str!("page/dialogs.js"),
    },
];

/// Nothing from elsewhere, nothing inline, nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        let answer = async || ([(header::CONTENT_TYPE, asset.kind)], asset.text).into_response();
        router.route(asset.path, get(answer))
    })
}

/// Whether a path is one of the page's own files, which hold no data.
pub(super) fn is_public(path: &str) -> bool {
    ASSETS.iter().any(|asset| asset.path == path)
}

/// Adds what every answer carries, refusals included.
pub(super) async fn with_headers(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        // It is all small and local, and a new version of the program must not meet an old page.
        ("cache-control", "no-store"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_weighs_less_than_200_kb_and_loads_nothing_from_elsewhere() {
        let weight: usize = ASSETS.iter().map(|asset| asset.text.len()).sum();
        assert!(weight < 200_000, "{weight} bytes");
        for asset in ASSETS {
            // A name that is never loaded, and what points into the page itself.
            let text = asset.text.replace("http://www.w3.org/2000/svg", "");
            let text = text.replace("url(#", "");
            for elsewhere in ["http://", "https://", "url(", "@import", "//cdn"] {
                assert!(!text.contains(elsewhere), "{}: {elsewhere}", asset.path);
            }
        }
    }

    #[test]
    fn the_page_has_nothing_inline_that_its_own_policy_would_stop() {
        let html = ASSETS[0].text;
        for inline in ["style=", "<style", "onclick", "onload", "javascript:"] {
            assert!(!html.contains(inline), "{inline}");
        }
        assert_eq!(html.matches("<script").count(), 1);
    }
}
