//! The desk with a model that is a script: its services are real, and so are the faults.

use std::io;
use std::path::Path;

use fusebox::{RunOptions, RunStatus};
use serde_json::{Value, json};
use support_triage::services::{ORDERS, Service, TOOLS};
use support_triage::{Desk, DeskSetup, Lines, Settings, Target};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

struct Office {
    desk: Desk,
    lines: Lines,
    _services: [Service; 2],
}

async fn office(faults: &[&str]) -> Office {
    let program = Path::new(env!("CARGO_BIN_EXE_support-triage"));
    let tools = Service::start(program, TOOLS).await.expect("it starts");
    let orders = Service::start(program, ORDERS).await.expect("it starts");
    let model = script().await.expect("a free port");
    let lines = Lines::start(&model, &tools.address, &orders.address).await;
    let lines = lines.expect("ports are free");
    for fault in faults {
        lines.inject(fault).expect("there is such a fault");
    }
    let settings = Settings::default();
    let target = |breaker: &str, url: String| Target {
        model: "script".to_owned(),
        base_url: format!("{url}/v1"),
        key: None,
        breaker: settings.breaker(breaker).expect("the settings are good"),
    };
    let desk = Desk::new(DeskSetup {
        targets: vec![
            target("model", lines.model.url()),
            target("standby", lines.standby.url()),
        ],
        tools: format!("{}/mcp", lines.tools.url()),
        orders: format!("{}/orders", lines.orders.url()),
        store: fusebox::state::open("memory:")
            .await
            .expect("memory is there"),
        settings,
    });
    Office {
        desk: desk.expect("it is well described"),
        lines,
        _services: [tools, orders],
    }
}

/// A model that always says the same: what it is asked for decides the form.
async fn script() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(&mut stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).await? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    let request: Value = serde_json::from_slice(&body)?;
    let message = if !request["tools"].is_null() {
        let call = json!({"name": "assign", "arguments": r#"{"team": "payments"}"#});
        let call = json!({"id": "1", "type": "function", "function": call});
        json!({"role": "assistant", "content": null, "tool_calls": [call]})
    } else if !request["response_format"].is_null() {
        json!({"role": "assistant", "content": r#"{"category": "billing", "urgent": true}"#})
    } else {
        json!({"role": "assistant", "content": "We are on it."})
    };
    let answer = json!({
        "model": "script",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    });
    let answer = answer.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let text = format!("{head}content-length: {}\r\n\r\n{answer}", answer.len());
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[tokio::test]
async fn a_ticket_goes_all_the_way() {
    let office = office(&[]).await;
    let report = office
        .desk
        .handle("charged twice", RunOptions::default())
        .await;
    let report = report.expect("it starts");
    assert_eq!(report.status, RunStatus::Completed, "{:?}", report.reason);
    let output = office
        .desk
        .output(&report, "completion")
        .await
        .expect("it is kept");
    let expected = json!({
        "to": "payments", "category": "billing", "urgent": true,
        "answer": "We are on it.", "note": "complete",
    });
    assert_eq!(output, expected);
    assert_eq!(
        (
            office.lines.model.requests(),
            office.lines.standby.requests()
        ),
        (3, 0)
    );
}

#[tokio::test]
async fn the_second_model_answers_while_the_first_is_left_alone() {
    let office = office(&["model=429:60"]).await;
    let report = office
        .desk
        .handle("charged twice", RunOptions::default())
        .await;
    assert_eq!(report.expect("it starts").status, RunStatus::Completed);
    assert_eq!(
        (
            office.lines.model.requests(),
            office.lines.standby.requests()
        ),
        (1, 3)
    );
}

#[tokio::test]
async fn a_run_without_its_data_is_degraded_and_says_which() {
    let office = office(&["tools=503", "orders=hang-up"]).await;
    let report = office
        .desk
        .handle("charged twice", RunOptions::default())
        .await;
    let report = report.expect("it starts");
    assert_eq!(report.status, RunStatus::Degraded);
    let reason = report.reason.clone().expect("it says why");
    assert!(
        reason.contains("runbook: ") && reason.contains("orders: "),
        "{reason}"
    );
    let output = office
        .desk
        .output(&report, "completion")
        .await
        .expect("it is kept");
    assert_eq!(output["note"], "written without: orders, runbook");
    assert_eq!(office.desk.tool_server.counts().failed, 2);
}

#[tokio::test]
async fn a_fault_that_is_none_is_refused_with_what_there_is() {
    let lines = Lines::start("127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1").await;
    let lines = lines.expect("ports are free");
    for (entry, said) in [
        ("model", "WHERE=FAULT"),
        ("moon=503", "WHERE is one of model"),
        ("model=boom", "FAULT is one of 429"),
    ] {
        let error = lines.inject(entry).expect_err(entry).to_string();
        assert!(error.contains(said), "{error}");
    }
}
