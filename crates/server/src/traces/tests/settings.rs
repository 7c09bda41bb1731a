//! The variables of OpenTelemetry and LangSmith, as they are understood.

use crate::traces::setting::{Encoding, Place, TraceSettings};
use std::{collections::BTreeMap, time::Duration};

fn read(given: &[(&str, &str)]) -> Result<TraceSettings, String> {
    let given: BTreeMap<&str, &str> = given.iter().copied().collect();
    TraceSettings::read(&|name| given.get(name).map(|value| (*value).to_owned()))
        .map_err(|error| format!("{error} ({})", error.code))
}

fn urls(given: &[(&str, &str)]) -> Vec<String> {
    read(given).unwrap().sinks.iter().map(|sink| sink.url.to_string()).collect()
}

#[test]
fn traces_go_nowhere_unless_somebody_says_where() {
    let nothing: Vec<String> = Vec::new();
    assert_eq!(urls(&[]), nothing);
    assert_eq!(urls(&[("LANGSMITH_API_KEY", "ls"), ("LANGSMITH_TRACING", "false")]), nothing);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    assert_eq!(urls(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]), nothing);
    assert_eq!(urls(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]), nothing);
    assert_eq!(urls(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), nothing);
}

#[test]
fn addresses_are_made_as_the_specification_says() {
    let check = |given: &[(&str, &str)], wanted: &[&str]| assert_eq!(urls(given), wanted);
    check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")], &["http://c:4318/v1/traces"]);
    check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c/otel/")], &["https://c/otel/v1/traces"]);
    let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/in");
    check(&[whole, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://d")], &["http://c/in"]);
    check(&[("OTEL_TRACES_EXPORTER", "otlp")], &["http://localhost:4318/v1/traces"]);
    let smith = [("LANGSMITH_TRACING", "true"), ("LANGSMITH_API_KEY", "ls")];
    check(&smith, &["https://api.smith.langchain.com/otel/v1/traces"]);
    let own = ("LANGSMITH_ENDPOINT", "https://own.example/api/v1");
    check(&[smith[0], smith[1], own], &["https://own.example/api/v1/otel/v1/traces"]);
    let both = [smith[0], smith[1], whole];
    check(&both, &["http://c/in", "https://api.smith.langchain.com/otel/v1/traces"]);
}

#[test]
fn the_rest_is_understood_too() {
    let settings = read(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-general=1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Basic%20YTpi, x-scope = a,"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=a%2Cb"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY"),
        ("LANGSMITH_TRACING", "1"),
        ("LANGSMITH_API_KEY", "ls-key"),
        ("LANGSMITH_PROJECT", "shop"),
        ("LANGSMITH_HIDE_INPUTS", "true"),
    ])
    .unwrap();
    let [otlp, smith] = &settings.sinks[..] else { panic!("two places") };
    let headers = |sink: &crate::traces::setting::Sink| -> Vec<String> {
        let one = |(name, value): &(http::HeaderName, http::HeaderValue)| {
            assert!(value.is_sensitive());
            format!("{name}: {}", value.to_str().unwrap())
        };
        sink.headers.iter().map(one).collect()
    };
    assert_eq!(headers(otlp), ["authorization: Basic YTpi", "x-scope: a"]);
    assert_eq!(headers(smith), ["x-api-key: ls-key", "langsmith-project: shop"]);
    assert_eq!((otlp.place, otlp.encoding, otlp.gzip), (Place::Otlp, Encoding::Json, true));
    assert_eq!((smith.encoding, smith.gzip), (Encoding::Protobuf, false));
    assert_eq!(otlp.timeout, Duration::from_millis(2500));
    assert!(otlp.content.inputs && otlp.content.outputs);
    assert!(!smith.content.inputs && smith.content.outputs);
    assert_eq!((settings.ratio, settings.delay), (0.25, Duration::from_millis(20)));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let wanted = [pair("deployment.environment.name", "a,b"), pair("service.name", "shop")];
    assert_eq!(settings.resource, wanted);
    let told = format!("{settings:?}");
    assert!(!told.contains("ls-key") && !told.contains("YTpi"), "{told}");
}

#[test]
fn what_makes_no_sense_is_refused_with_a_code_and_without_a_key() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
    let check = |given: &[(&str, &str)], words: &str| {
        let mut given = given.to_vec();
        if !given.iter().any(|(name, _)| name.ends_with("ENDPOINT")) {
            given.push(endpoint);
        }
        let error = read(&given).unwrap_err();
        assert!(error.contains(words) && error.contains("bad_trace_setting"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    };
    check(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], "4318");
    check(&[("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "thrift")], "TRACES_PROTOCOL is \"thrift\"");
    check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")], "no http://");
    check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:s3cret@c")], "header");
    check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c?key=s3cret")], "leave that out");
    check(&[("OTEL_EXPORTER_OTLP_HEADERS", "a=b,s3cret")], "part 2");
    check(&[("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret%0D%0Ab: c")], "header \"a\"");
    check(&[("OTEL_EXPORTER_OTLP_COMPRESSION", "br")], "gzip");
    check(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")], "milliseconds");
    check(&[("OTEL_TRACES_EXPORTER", "console")], "otlp");
    check(&[("OTEL_TRACES_SAMPLER", "jaeger_remote")], "traceidratio");
    check(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")], "0 to 1");
    check(&[("OTEL_SDK_DISABLED", "perhaps")], "true");
    check(&[("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "event_only")], "spans only");
    check(&[("OTEL_RESOURCE_ATTRIBUTES", "=x")], "part 1");
    check(&[("LANGSMITH_TRACING", "true")], "LANGSMITH_API_KEY is not set");
    check(&[("LANGSMITH_TRACING", "true"), ("LANGSMITH_API_KEY", "a\ns3cret")], "header");
}
