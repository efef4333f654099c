//! Spans as they came.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;

/// A span as it came.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) parent: Vec<u8>,
    pub(crate) is_client: bool,
    pub(crate) is_error: bool,
    pub(crate) events: usize,
    attributes: Vec<(String, Value)>,
}

impl Seen {
    fn of(span: Span) -> Self {
        let is_client = span.kind() == SpanKind::Client;
        let attributes = span.attributes.into_iter();
        let status = span.status.unwrap_or_default();
        Self {
            name: span.name,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            is_client,
            is_error: status.code() == StatusCode::Error,
            events: span.events.len(),
            attributes: attributes
                .filter_map(|attribute| Some((attribute.key, attribute.value?.value?)))
                .collect(),
        }
    }

    fn attribute(&self, key: &str) -> Option<&Value> {
        let found = self.attributes.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.attribute(key)? {
            Value::StringValue(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        match self.attribute(key)? {
            Value::IntValue(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn decimal(&self, key: &str) -> Option<f64> {
        match self.attribute(key)? {
            Value::DoubleValue(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn is_set(&self, key: &str) -> Option<bool> {
        match self.attribute(key)? {
            Value::BoolValue(is_set) => Some(*is_set),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Option<Vec<&str>> {
        let Value::ArrayValue(list) = self.attribute(key)? else {
            return None;
        };
        let items = list.values.iter().map(|item| match item.value.as_ref()? {
            Value::StringValue(text) => Some(&**text),
            _ => None,
        });
        items.collect()
    }

    /// What a header `traceparent` says from within it.
    pub(crate) fn traceparent(&self) -> String {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        format!("00-{}-{}-01", hex(&self.trace), hex(&self.id))
    }
}

/// The names from the outermost span to this one.
pub(crate) fn ancestry<'a>(seen: &'a [Seen], span: &'a Seen) -> Vec<&'a str> {
    let parent = |span: &&'a Seen| seen.iter().find(|other| other.id == span.parent);
    let mut names: Vec<&str> = std::iter::successors(Some(span), parent)
        .map(|span| span.name.as_str())
        .collect();
    names.reverse();
    names
}

pub(super) fn read(body: &[u8]) -> impl Iterator<Item = Seen> + use<> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let resources = request.resource_spans.into_iter();
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).map(Seen::of)
}
