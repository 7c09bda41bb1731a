//! Spans as OTLP has them, in the generated types of the protocol's own crate.

use super::{
    setting::{Encoding, Place},
    span::{Fact, Kind, Mark, Span},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value as Any},
    resource::v1::Resource,
    trace::v1::{self as proto, ResourceSpans, ScopeSpans, span::SpanKind, status::StatusCode},
};
use prost::Message as _;

/// Who made the spans.
const SCOPE: &str = "toft";
const NANOS_PER_MS: u64 = 1_000_000;

/// A request of so many spans.
pub(super) fn request(
    place: Place,
    resource: &[(String, String)],
    version: &str,
    spans: &[Span],
) -> ExportTraceServiceRequest {
    let attributes = resource.iter().map(|(key, value)| pair(key, Any::StringValue(value.clone())));
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: attributes.collect(), ..Resource::default() }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: SCOPE.to_owned(),
                    version: version.to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans: spans.iter().map(|span| one(place, span)).collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

/// Its bytes.
pub(super) fn encode(request: &ExportTraceServiceRequest, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => request.encode_to_vec(),
        Encoding::Json => serde_json::to_vec(request).expect("spans hold only JSON-able data"),
    }
}

/// How many spans of a request that was taken were not, and why.
pub(super) fn rejected(body: &[u8], encoding: Encoding) -> Option<(u64, String)> {
    let answer = match encoding {
        Encoding::Protobuf => ExportTraceServiceResponse::decode(body).ok()?,
        Encoding::Json => serde_json::from_slice(body).ok()?,
    };
    let partial = answer.partial_success?;
    let count = u64::try_from(partial.rejected_spans).unwrap_or(0);
    (count > 0 || !partial.error_message.is_empty()).then_some((count, partial.error_message))
}

fn one(place: Place, span: &Span) -> proto::Span {
    let mut attributes: Vec<KeyValue> =
        span.facts.iter().map(|(key, fact)| told(key, fact)).collect();
    let (input, output) = content_names(place, span.kind);
    for (key, content) in [(input, &span.input), (output, &span.output)] {
        attributes
            .extend(content.as_ref().map(|json| pair(key, Any::StringValue(json.to_string()))));
    }
    if place == Place::LangSmith {
        attributes.extend(for_langsmith(span));
    }
    let status = span
        .error
        .as_ref()
        .map(|why| proto::Status { code: StatusCode::Error as i32, message: why.clone() });
    proto::Span {
        trace_id: span.trace.to_vec(),
        span_id: span.id.to_vec(),
        parent_span_id: span.parent.map(|id| id.to_vec()).unwrap_or_default(),
        // W3C: sampled.
        flags: 1,
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Chat => SpanKind::Client as i32,
            Kind::Agent | Kind::Tool | Kind::Compaction => SpanKind::Internal as i32,
        },
        start_time_unix_nano: span.from_ms.saturating_mul(NANOS_PER_MS),
        end_time_unix_nano: span.to_ms.saturating_mul(NANOS_PER_MS),
        attributes,
        events: span.marks.iter().map(mark).collect(),
        status,
        ..proto::Span::default()
    }
}

/// LangSmith shows what it finds under these names as a run's inputs and outputs.
fn content_names(place: Place, kind: Kind) -> (&'static str, &'static str) {
    match (place, kind) {
        (Place::LangSmith, _) => ("gen_ai.prompt", "gen_ai.completion"),
        (Place::Otlp, Kind::Tool) => ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
        (Place::Otlp, Kind::Agent | Kind::Chat | Kind::Compaction) => {
            ("gen_ai.input.messages", "gen_ai.output.messages")
        }
    }
}

/// What LangSmith wants to know besides: what kind of run it is, and which runs are one thread.
fn for_langsmith(span: &Span) -> impl Iterator<Item = KeyValue> {
    let kind = match span.kind {
        Kind::Agent | Kind::Compaction => "chain",
        Kind::Chat => "llm",
        Kind::Tool => "tool",
    };
    let text = |key, value: &str| pair(key, Any::StringValue(value.to_owned()));
    let provider = span.facts.iter().find_map(|fact| match fact {
        ("gen_ai.provider.name", Fact::Text(name)) => Some(text("gen_ai.system", name)),
        _ => None,
    });
    [text("langsmith.span.kind", kind), text("langsmith.metadata.thread_id", &span.thread)]
        .into_iter()
        .chain(provider)
}

fn mark(mark: &Mark) -> proto::span::Event {
    proto::span::Event {
        time_unix_nano: mark.at_ms.saturating_mul(NANOS_PER_MS),
        name: mark.name.to_owned(),
        attributes: mark.facts.iter().map(|(key, fact)| told(key, fact)).collect(),
        dropped_attributes_count: 0,
    }
}

fn told(key: &str, fact: &Fact) -> KeyValue {
    let text = |text: &String| Any::StringValue(text.clone());
    pair(
        key,
        match fact {
            Fact::Text(value) => text(value),
            Fact::Texts(values) => Any::ArrayValue(ArrayValue {
                values: values.iter().map(|value| AnyValue { value: Some(text(value)) }).collect(),
            }),
            Fact::Count(count) => Any::IntValue(i64::try_from(*count).unwrap_or(i64::MAX)),
            Fact::Amount(amount) => Any::DoubleValue(*amount),
            Fact::Flag(flag) => Any::BoolValue(*flag),
        },
    )
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}
