//! Where traces go, from the variables that OpenTelemetry's own SDKs and LangSmith's read. Reads no
//! environment: the binary hands the variables over. A value that makes no sense is refused, so that
//! nobody waits for traces that never come.

use super::content::Content;
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use std::{fmt, time::Duration};

/// Stable code of a refusal.
const CODE: &str = "bad_trace_setting";
/// Where OTLP over HTTP is taken when nothing else is said (the specification's own).
const OTLP_DEFAULT: &str = "http://localhost:4318";
const OTLP_PATH: &str = "v1/traces";
const LANGSMITH_DEFAULT: &str = "https://api.smith.langchain.com";
const LANGSMITH_PATH: &str = "otel/v1/traces";
const SERVICE_DEFAULT: &str = "toft";
/// The specification's own.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// From the end of something until it is sent, so that more can go along. The SDKs wait five seconds.
const DELAY_DEFAULT: Duration = Duration::from_secs(1);
/// Of headers and of attributes each.
const PAIRS_MAX: usize = 64;

/// A variable that is not usable.
#[derive(Debug, thiserror::Error)]
#[error("{name} {why}")]
pub struct TraceSettingError {
    /// Stable.
    pub code: &'static str,
    name: String,
    why: String,
}

fn refused(name: &str, why: impl Into<String>) -> TraceSettingError {
    TraceSettingError { code: CODE, name: name.to_owned(), why: why.into() }
}

/// What takes traces: they want content under other names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Otlp,
    LangSmith,
}

impl Place {
    /// The word used everywhere: rows, answers, log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Otlp => "otlp",
            Self::LangSmith => "langsmith",
        }
    }
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// One place that takes traces.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) place: Place,
    pub(crate) url: Url,
    /// Marked as sensitive: they hold keys.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) encoding: Encoding,
    pub(crate) gzip: bool,
    pub(crate) timeout: Duration,
    pub(crate) content: Content,
}

/// Where traces go. With no place, none are made.
#[derive(Clone, Default)]
pub struct TraceSettings {
    pub(crate) sinks: Vec<Sink>,
    /// What all spans are said of.
    pub(crate) resource: Vec<(String, String)>,
    /// Which part of all traces is told, 0 to 1.
    pub(crate) ratio: f64,
    pub(crate) delay: Duration,
}

impl fmt::Debug for TraceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sinks.iter().map(|sink| sink.place)).finish()
    }
}

/// Tells a variable by its name.
type Tells<'a> = &'a dyn Fn(&str) -> Option<String>;

impl TraceSettings {
    /// From variables. An empty one is none.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, TraceSettingError> {
        let tells = |name: &str| {
            let value = variable(name)?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        if flag(&tells, "OTEL_SDK_DISABLED")?.unwrap_or(false) {
            return Ok(Self::default());
        }
        let mut sinks = Vec::new();
        sinks.extend(otlp(&tells)?);
        sinks.extend(langsmith(&tells)?);
        if sinks.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self {
            sinks,
            resource: resource(&tells)?,
            ratio: ratio(&tells)?,
            delay: millis(&tells, "OTEL_BSP_SCHEDULE_DELAY")?.unwrap_or(DELAY_DEFAULT),
        })
    }
}

fn otlp(tells: Tells<'_>) -> Result<Option<Sink>, TraceSettingError> {
    let wanted = match tells("OTEL_TRACES_EXPORTER").as_deref() {
        None => false,
        Some("otlp") => true,
        Some("none") => return Ok(None),
        Some(other) => {
            return Err(refused(
                "OTEL_TRACES_EXPORTER",
                format!("is {other:?}: Toft has `otlp`, and `none`"),
            ));
        }
    };
    let url =
        match (tells("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), tells("OTEL_EXPORTER_OTLP_ENDPOINT")) {
            (Some(whole), _) => address("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &whole, "")?,
            (None, Some(base)) => address("OTEL_EXPORTER_OTLP_ENDPOINT", &base, OTLP_PATH)?,
            (None, None) if wanted => address("OTEL_TRACES_EXPORTER", OTLP_DEFAULT, OTLP_PATH)?,
            (None, None) => return Ok(None),
        };
    let (name, protocol) = either(tells, "PROTOCOL");
    let encoding = match protocol.as_deref() {
        None | Some("http/protobuf") => Encoding::Protobuf,
        Some("http/json") => Encoding::Json,
        Some("grpc") => {
            return Err(refused(
                &name,
                "is `grpc`, which Toft does not speak: every collector takes `http/protobuf` too, \
                 most of them at port 4318",
            ));
        }
        Some(other) => {
            return Err(refused(
                &name,
                format!("is {other:?}: use `http/protobuf` or `http/json`"),
            ));
        }
    };
    let (name, packed) = either(tells, "COMPRESSION");
    let gzip = match packed.as_deref() {
        None | Some("none") => false,
        Some("gzip") => true,
        Some(other) => return Err(refused(&name, format!("is {other:?}: use `gzip` or `none`"))),
    };
    let (name, given) = either(tells, "HEADERS");
    let headers = match given {
        Some(given) => headers(&name, &pairs(&name, &given)?)?,
        None => Vec::new(),
    };
    let (name, _) = either(tells, "TIMEOUT");
    let told = captures(tells)?;
    Ok(Some(Sink {
        place: Place::Otlp,
        url,
        headers,
        encoding,
        gzip,
        timeout: millis(tells, &name)?.unwrap_or(TIMEOUT_DEFAULT),
        content: Content { inputs: told, outputs: told },
    }))
}

fn langsmith(tells: Tells<'_>) -> Result<Option<Sink>, TraceSettingError> {
    if !flag(tells, "LANGSMITH_TRACING")?.unwrap_or(false) {
        return Ok(None);
    }
    let Some(key) = tells("LANGSMITH_API_KEY") else {
        return Err(refused(
            "LANGSMITH_API_KEY",
            "is not set, and LANGSMITH_TRACING is on: set the key, or LANGSMITH_TRACING=false",
        ));
    };
    let mut given = vec![("x-api-key".to_owned(), key)];
    given.extend(tells("LANGSMITH_PROJECT").map(|name| ("Langsmith-Project".to_owned(), name)));
    let base = tells("LANGSMITH_ENDPOINT").unwrap_or_else(|| LANGSMITH_DEFAULT.to_owned());
    let hides = |name| Ok(flag(tells, name)?.unwrap_or(false));
    Ok(Some(Sink {
        place: Place::LangSmith,
        url: address("LANGSMITH_ENDPOINT", &base, LANGSMITH_PATH)?,
        headers: headers("LANGSMITH_API_KEY or LANGSMITH_PROJECT", &given)?,
        encoding: Encoding::Protobuf,
        gzip: false,
        timeout: TIMEOUT_DEFAULT,
        content: Content {
            inputs: !hides("LANGSMITH_HIDE_INPUTS")?,
            outputs: !hides("LANGSMITH_HIDE_OUTPUTS")?,
        },
    }))
}

/// The variable for traces, or the one for everything: its name and value.
fn either(tells: Tells<'_>, what: &str) -> (String, Option<String>) {
    let own = format!("OTEL_EXPORTER_OTLP_TRACES_{what}");
    if let Some(value) = tells(&own) {
        return (own, Some(value));
    }
    let all = format!("OTEL_EXPORTER_OTLP_{what}");
    let value = tells(&all);
    (all, value)
}

/// Whether prompts and answers may be told: the variable of OpenTelemetry's instrumentations, in the old
/// form and in the newer one.
fn captures(tells: Tells<'_>) -> Result<bool, TraceSettingError> {
    const NAME: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
    let Some(value) = tells(NAME) else { return Ok(false) };
    match value.to_ascii_lowercase().as_str() {
        "true" | "span_only" | "span_and_event" => Ok(true),
        "false" | "no_content" => Ok(false),
        "event_only" => Err(refused(NAME, "is `event_only`: Toft tells content in spans only")),
        _ => Err(refused(NAME, format!("is {value:?}: use `true` or `false`"))),
    }
}

fn flag(tells: Tells<'_>, name: &str) -> Result<Option<bool>, TraceSettingError> {
    let Some(value) = tells(name) else { return Ok(None) };
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(refused(name, format!("is {value:?}: use `true` or `false`"))),
    }
}

fn millis(tells: Tells<'_>, name: &str) -> Result<Option<Duration>, TraceSettingError> {
    let Some(value) = tells(name) else { return Ok(None) };
    let number = value.parse::<u32>().ok().filter(|ms| *ms > 0);
    let number = number.ok_or_else(|| refused(name, format!("is {value:?}: give milliseconds")))?;
    Ok(Some(Duration::from_millis(number.into())))
}

fn ratio(tells: Tells<'_>) -> Result<f64, TraceSettingError> {
    let Some(sampler) = tells("OTEL_TRACES_SAMPLER") else { return Ok(1.0) };
    match sampler.strip_prefix("parentbased_").unwrap_or(&sampler) {
        "always_on" => Ok(1.0),
        "always_off" => Ok(0.0),
        "traceidratio" => {
            const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
            let Some(value) = tells(NAME) else { return Ok(1.0) };
            let ratio = value.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            ratio.ok_or_else(|| refused(NAME, format!("is {value:?}: give a number from 0 to 1")))
        }
        _ => Err(refused(
            "OTEL_TRACES_SAMPLER",
            format!("is {sampler:?}: use `always_on`, `always_off` or `traceidratio`"),
        )),
    }
}

fn resource(tells: Tells<'_>) -> Result<Vec<(String, String)>, TraceSettingError> {
    const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
    const SERVICE: &str = "service.name";
    let mut all = match tells(NAME) {
        Some(given) => pairs(NAME, &given)?,
        None => Vec::new(),
    };
    if let Some(service) = tells("OTEL_SERVICE_NAME") {
        all.retain(|(key, _)| key != SERVICE);
        all.push((SERVICE.to_owned(), service));
    } else if !all.iter().any(|(key, _)| key == SERVICE) {
        all.push((SERVICE.to_owned(), SERVICE_DEFAULT.to_owned()));
    }
    Ok(all)
}

/// `KEY=VALUE,KEY=VALUE`, values percent-encoded (the W3C's form of baggage). A value is never repeated:
/// it may be a key.
fn pairs(name: &str, given: &str) -> Result<Vec<(String, String)>, TraceSettingError> {
    let mut all = Vec::new();
    for (number, pair) in given.split(',').enumerate().filter(|(_, pair)| !pair.trim().is_empty()) {
        let bad = || refused(name, format!("has no KEY=VALUE as its part {}", number + 1));
        let (key, value) = pair.split_once('=').ok_or_else(bad)?;
        let decoded =
            |text: &str| Some(percent_decode_str(text.trim()).decode_utf8().ok()?.into_owned());
        let key = decoded(key).filter(|key| !key.is_empty()).ok_or_else(bad)?;
        all.push((key, decoded(value).ok_or_else(bad)?));
    }
    if all.len() > PAIRS_MAX {
        return Err(refused(name, format!("has more than {PAIRS_MAX} parts")));
    }
    Ok(all)
}

fn headers(
    name: &str,
    given: &[(String, String)],
) -> Result<Vec<(HeaderName, HeaderValue)>, TraceSettingError> {
    let header = |(key, value): &(String, String)| {
        let bad = || refused(name, format!("cannot be sent as the header {key:?}"));
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        Ok((HeaderName::from_bytes(key.as_bytes()).map_err(|_| bad())?, value))
    };
    given.iter().map(header).collect()
}

/// `http` or `https`, with a path below it.
fn address(name: &str, given: &str, path: &str) -> Result<Url, TraceSettingError> {
    let url = Url::parse(given).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(mut url) = url else {
        return Err(refused(name, "is no http:// or https:// URL"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(
            name,
            "has a user or a password in it: send them as a header (OTEL_EXPORTER_OTLP_HEADERS)",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused(name, "ends with `?` or `#` and more: leave that out"));
    }
    if !path.is_empty() {
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
    }
    Ok(url)
}
