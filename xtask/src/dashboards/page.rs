//! `docs/metrics.md`.

use fusebox_metrics::{Group, Kind, METRICS, Metric, Source, Together};

use super::alerts::ALERTS;

const HEAD: &str = "\
# Metrics, dashboard and alerts

<!-- Written by `cargo xtask dashboards` from crates/fusebox-metrics/src/table.rs and xtask/src/dashboards/alerts.rs. -->

Everything `fusebox-metrics` emits. An engine reports all of it through `EngineMetrics` or a `Meter`; a breaker alone its own lines \
through `BreakerMetrics`. Names of breakers, agents and steps are labels, names of runs never are: beyond 200 values of \
one label (`Labels`) every further one is counted as `other`. There counters and histograms add up, gauges of calls add \
up too, and of times the longest counts.

- `docs/observability/fusebox-dashboard.json` is a Grafana dashboard: import it and choose the data source.
- `docs/observability/fusebox-alerts.yml` is a file for `rule_files` of Prometheus;
  `promtool test rules docs/observability/fusebox-alerts.test.yml` shows each alert firing and keeping quiet.

`fusebox serve` shows all of it for the engines of one place, added up: counters and histograms of those that have ended \
too, gauges of those that live, as the column \"together\" says.

A ratio is `0.0..=1.0`, a time is in seconds, a histogram's buckets end at 5 ms to 30 minutes.
";

const FOOT: &str = "
## To a collector

`fusebox run --otlp http://127.0.0.1:4318`, or with the feature `otlp` `fusebox_metrics::otlp::Metrics` and `Spans`, \
sends all of the above and the spans below to an OpenTelemetry collector (OTLP over HTTP, Protobuf): metrics every 15 \
seconds and at the end, cumulative, with the units and meanings of the table and the same buckets; spans in batches. \
Each process is an instance of its own (`service.instance.id`). A gauge that counts has no unit, for Prometheus behind \
a collector would call one of unit `1` a ratio. Nobody waits for a collector: what it has not taken within four seconds \
is lost, and told once, at the end, which it holds up by five seconds at most.

What the collector wants to see of whoever sends is in `OTEL_EXPORTER_OTLP_HEADERS`, what else there is to say of the \
process in `OTEL_RESOURCE_ATTRIBUTES`; `OTEL_SERVICE_NAME` is what the command calls itself instead of `fusebox`.

## Spans

With the feature `tracing`, `fusebox-orchestrator` and `fusebox-endpoints` open spans for whoever collects them. Their \
names are those of OpenTelemetry's conventions for generative AI, MCP and HTTP, and `fusebox.*` for what those do not \
know. To a collector go these alone: the spans of HTTP clients hold what was sent.

| span | of | within | attributes |
|---|---|---|---|
| `run WORKFLOW` | a run in this process | | `gen_ai.conversation.id` (the run), `fusebox.status`, `fusebox.process` |
| `step STEP` | one call of a step, retries and queueing included | the run | `fusebox.attempts`, `fusebox.degraded`, `fusebox.refused_by`, `fusebox.part` |
| `invoke_agent AGENT` | an attempt | the step | `gen_ai.operation.name`, `gen_ai.agent.name`, `fusebox.attempt`, `fusebox.idempotency_key`, `fusebox.usage.tokens`, `error.type` |
| `chat MODEL` | a request to a model (agents of kind `openai`), probes included | the attempt | `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.output.type`, `gen_ai.request.*` (`model`, `stream`, `max_tokens`, `temperature`, `top_p`, `seed`, …), `gen_ai.response.*` (`model`, `id`, `finish_reasons`, `time_to_first_chunk`), `gen_ai.usage.*` (`input_tokens`, `output_tokens`, `cache_read.input_tokens`, `reasoning.output_tokens`), and as `POST` |
| `execute_tool TOOL` | a call of a tool (agents of kind `mcp`) | the attempt | `gen_ai.operation.name`, `gen_ai.tool.name`, `gen_ai.tool.type`, `mcp.method.name`, `mcp.protocol.version`, `network.transport`, `rpc.response.status_code`, `error.type`, `fusebox.mcp.server` |
| `POST` | a request to a service (agents of kind `http`), by its method | the attempt | `http.request.method`, `http.response.status_code`, `url.full` (without its query), `network.protocol.version`, `server.address`, `server.port`, `error.type`, `fusebox.phase`, `fusebox.request_id` |

`error.type` is the kind of the error, as `docs/workflow-files.md` and the journal call it: `rate_limited`, `timed_out`; \
`cancelled` where nobody waited for the end, `tool_error` where a tool answered with an error result. `fusebox.phase` \
says when a request went wrong, such as `connect`, `first_token`, `idle` or `truncated`. `time_to_first_chunk` is \
the time to the first piece that brings anything of the answer. A failover has one attempt, and within it one for each \
target that was asked.

While spans are collected, requests bear the trace: HTTP in the header `traceparent`, calls of tools in their `_meta`. \
Inputs, outputs, prompts, answers and secrets are in no span.

## What it costs

A breaker's own path is the same whether or not it is counted: its counts are read from outside, and only its moves go \
through a queue. `cargo xtask bench observed` calls a breaker that is read every 10 ms and exported ten times a second \
beside one that nobody looks at: closed 1.00 times, open 1.00 times, and where every call opens and closes it 1.13 times \
the price (two cores that were busy otherwise; trust the ratio, not the machine).

A span that nobody collects costs the \
check of one number, and without the feature `tracing` there is none.
";

pub(super) const GROUPS: [(Group, &str); 6] = [
    (Group::Breakers, "Breakers"),
    (Group::Calls, "Calls"),
    (Group::Recovery, "Recovery"),
    (Group::Runs, "Runs"),
    (Group::Store, "Store"),
    (Group::Observation, "Observation"),
];

pub(super) fn render() -> String {
    let mut text = HEAD.to_owned();
    for (group, title) in GROUPS {
        text += &format!(
            "\n## {title}\n\n| metric | kind | unit | labels | meaning | from | together |\n|---|---|---|---|---|---|---|\n"
        );
        for metric in METRICS.iter().filter(|metric| metric.group == group) {
            text += &row(metric);
        }
    }
    text += "\n## Alerts\n\n| alert | severity | holds for | means | do |\n|---|---|---|---|---|\n";
    for alert in ALERTS {
        let held = if alert.hold == "0s" {
            "at once"
        } else {
            alert.hold
        };
        text += &format!(
            "| `{}` | {} | {held} | {} | {} |\n",
            alert.name,
            alert.severity,
            plain(alert.summary),
            plain(alert.advice),
        );
    }
    text + FOOT
}

fn row(metric: &Metric) -> String {
    let labels: Vec<String> = metric
        .labels
        .iter()
        .map(|label| format!("`{label}`"))
        .collect();
    format!(
        "| `{}` | {} | {} | {} | {} | {} | {} |\n",
        metric.name,
        kind(metric.kind),
        metric.unit.as_str(),
        labels.join(", "),
        metric.meaning,
        source(metric.source),
        together(metric.together),
    )
}

fn together(together: Together) -> String {
    match together {
        Together::Sum => "sum".to_owned(),
        Together::Largest => "largest".to_owned(),
        Together::Least => "least".to_owned(),
        Together::Worst(words) => format!("the last of {}", words.join(", ")),
        Together::WhereWorst(of) => format!("the largest where `{of}` is as shown"),
        Together::MetShare => "share of all".to_owned(),
        _ => String::new(),
    }
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

pub(super) fn source(source: Source) -> &'static str {
    match source {
        Source::Breaker => "breakers",
        Source::Events => "events of the engine",
        Source::Engine => "a look at the engine",
        Source::Store => "the store's status",
    }
}

/// A template without its placeholders' braces: `breaker {{ $labels.breaker }}` reads `breaker NAME`.
fn plain(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{ $labels.") {
        let (label, after) = after.split_once(" }}").unwrap_or((after, ""));
        text += before;
        text += &label.to_uppercase();
        rest = after;
    }
    text + rest
}
