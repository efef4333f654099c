//! Every row of `verdicts.md`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fusebox_endpoints::{MAX_HINT, Refusal, verdict};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

const TABLE: &str = include_str!("verdicts.md");

/// Wed, 25 Nov 2026 12:00:00 GMT.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_608_000)
}

fn rows() -> Vec<Vec<&'static str>> {
    let lines = TABLE.lines().filter(|line| line.starts_with("| "));
    lines
        .skip(1)
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 8, "{line}");
            cells
        })
        .collect()
}

fn headers(cell: &str) -> HeaderMap {
    // `; ` parts headers, `;` alone is part of a value.
    let lines = cell.split("; ").filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.split_once(": ").expect("a name and a value");
            let name: HeaderName = name.parse().expect("a header name");
            (name, HeaderValue::from_str(value).expect("a header value"))
        })
        .collect()
}

/// What was judged, in the words of the table's last columns but one.
fn told(result: Result<(), Refusal>) -> [String; 4] {
    let Err(refusal) = result else {
        return ["ok", "", "", ""].map(str::to_owned);
    };
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let seconds = |hint: Duration| hint.as_secs_f64().to_string();
    [
        refusal.kind.to_string(),
        yes_or_no(refusal.retryable),
        yes_or_no(refusal.may_have_run),
        refusal.retry_after.map_or_else(String::new, seconds),
    ]
}

#[test]
fn every_row_is_judged_as_the_table_says() {
    let rows = rows();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let status = row[0].parse().expect("a status");
        let body = row[2].trim_matches('`');
        let judged = told(verdict(status, &headers(row[1]), body.as_bytes(), now()));
        if judged != row[3..7] {
            wrong.push(format!("{row:?}\n  is {judged:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_cites_a_source_that_is_listed() {
    for row in rows() {
        let listed = format!("\n- {}: <https://", row[7]);
        assert!(TABLE.contains(&listed), "{row:?}");
    }
}

#[test]
fn every_status_there_is_gets_a_verdict_and_no_body_panics() {
    let bodies: [&[u8]; 8] = [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        br#"{"error":{}}"#,
        br#"{"error":7}"#,
        br#"{"error":{"code":99999,"message":7,"type":[]}}"#,
        br#"{"error":{"code":-1},"estimated_time":-1e300}"#,
    ];
    for status in 100..=999 {
        for body in bodies {
            let result = verdict(status, &HeaderMap::new(), body, now());
            let is_success = (200..300).contains(&status);
            assert!(is_success || result.is_err(), "{status}");
        }
    }
}

#[test]
fn the_words_of_the_other_side_are_cut_to_one_short_line() {
    let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "wordy\\n ".repeat(500));
    let refusal = verdict(400, &HeaderMap::new(), long.as_bytes(), now()).expect_err("a 400");
    let message = refusal.message.expect("a message");
    assert!(message.len() <= 303 && !message.contains('\n'), "{message}");
}

proptest::proptest! {
    #[test]
    fn no_header_and_no_body_does_harm_and_no_hint_is_longer_than_believed(
        status in 100u16..1000,
        name in "(retry-after(-ms)?|x-ms-retry-after-ms|x-ratelimit-reset(-tokens)?|ratelimit(-reset)?|anthropic-ratelimit-tokens-reset)",
        value in "[ -~]{0,40}|[0-9]{1,20}(\\.[0-9]{1,20})?(ms|s|m|h|d)?|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z",
        body in "\\PC{0,80}|\\{\"error\":(\\{\"(code|type|message)\":(\"\\PC{0,20}\"|-?[0-9]{1,25})\\}|\"\\PC{0,20}\")\\}",
    ) {
        let name: HeaderName = name.parse().expect("a header name");
        let headers: HeaderMap =
            [(name, HeaderValue::from_str(&value).expect("a header value"))].into_iter().collect();
        if let Err(refusal) = verdict(status, &headers, body.as_bytes(), now()) {
            proptest::prop_assert!(refusal.retry_after.is_none_or(|hint| hint <= MAX_HINT));
            proptest::prop_assert!(refusal.message.is_none_or(|text| text.chars().count() <= 303));
        }
    }
}
