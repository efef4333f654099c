//! Metrics as they came.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric};
use prost::Message;

/// A metric in one delivery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) unit: String,
    pub(crate) meaning: String,
    pub(crate) is_cumulative: bool,
    /// Upper bounds of a histogram's buckets.
    pub(crate) bounds: Vec<f64>,
    /// Names of labels, of all points together.
    pub(crate) labels: Vec<String>,
}

impl Row {
    fn of(metric: Metric) -> Self {
        let cumulative = AggregationTemporality::Cumulative as i32;
        let (mut bounds, mut labels) = (Vec::new(), Vec::new());
        let mut take =
            |attributes: Vec<KeyValue>| labels.extend(attributes.into_iter().map(|a| a.key));
        let (kind, is_cumulative) = match metric.data {
            Some(Data::Sum(sum)) => {
                assert!(sum.is_monotonic, "{} may fall", metric.name);
                sum.data_points
                    .into_iter()
                    .for_each(|point| take(point.attributes));
                ("counter", sum.aggregation_temporality == cumulative)
            }
            Some(Data::Gauge(gauge)) => {
                gauge
                    .data_points
                    .into_iter()
                    .for_each(|point| take(point.attributes));
                ("gauge", true)
            }
            Some(Data::Histogram(histogram)) => {
                for point in histogram.data_points {
                    bounds = point.explicit_bounds;
                    take(point.attributes);
                }
                ("histogram", histogram.aggregation_temporality == cumulative)
            }
            other => panic!("{other:?} is no kind of ours"),
        };
        labels.sort();
        labels.dedup();
        Self {
            name: metric.name,
            kind,
            unit: metric.unit,
            meaning: metric.description,
            is_cumulative,
            bounds,
            labels,
        }
    }
}

pub(super) fn read(body: &[u8]) -> (Vec<Row>, Vec<(String, String)>) {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let (mut rows, mut senders) = (Vec::new(), Vec::new());
    for resource in request.resource_metrics {
        let attributes = resource.resource.unwrap_or_default().attributes;
        for attribute in attributes {
            if let Some(Value::StringValue(text)) = attribute.value.and_then(|value| value.value) {
                senders.push((attribute.key, text));
            }
        }
        let scopes = resource.scope_metrics.into_iter();
        rows.extend(scopes.flat_map(|scope| scope.metrics).map(Row::of));
    }
    (rows, senders)
}
