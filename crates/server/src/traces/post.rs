//! Sending spans to one place, once: what became of it. When it is tried again is `send`'s business.

use super::{
    otlp,
    setting::{Encoding, Place, Sink},
    span::Span,
    told::words,
};
use crate::outward;
use flate2::{Compression, write::GzEncoder};
use http::{StatusCode, header};
use reqwest::{Client, Response};
use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

/// What is read of an answer: it says little.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Nobody is waited for longer, whatever they ask.
const AFTER_MAX: Duration = Duration::from_hours(1);

/// What became of spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken, but for some.
    Taken {
        /// How many were not.
        rejected: u64,
        /// What was said of it.
        said: String,
    },
    /// Not now.
    Later {
        problem: Problem,
        /// Not before this.
        after: Option<Duration>,
    },
    /// These never: others may be taken.
    Never(Problem),
}

/// Why nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Stable.
    pub(crate) code: &'static str,
    /// What happened and what to do.
    pub(crate) message: String,
}

/// The way to one place.
#[derive(Debug)]
pub(super) struct Post {
    client: Client,
    version: String,
}

impl Post {
    /// Reads the system's certificates: not for the event loop.
    pub(super) fn new(version: String) -> Result<Self, String> {
        let client = outward::client(concat!("Toft-OTLP-Exporter/", env!("CARGO_PKG_VERSION")));
        Ok(Self { client: client.map_err(|error| outward::told(&error))?, version })
    }

    /// Sends them.
    pub(super) async fn send(
        &self,
        sink: &Sink,
        resource: &[(String, String)],
        spans: &[Span],
    ) -> Answer {
        let request = otlp::request(sink.place, resource, &self.version, spans);
        let mut body = otlp::encode(&request, sink.encoding);
        let mut sending = self.client.post(sink.url.clone()).timeout(sink.timeout).header(
            header::CONTENT_TYPE,
            match sink.encoding {
                Encoding::Protobuf => "application/x-protobuf",
                Encoding::Json => "application/json",
            },
        );
        if sink.gzip
            && let Ok(packed) = packed(&body)
        {
            body = packed;
            sending = sending.header(header::CONTENT_ENCODING, "gzip");
        }
        for (name, value) in &sink.headers {
            sending = sending.header(name, value);
        }
        match sending.body(body).send().await {
            Ok(answer) => judge(sink, answer).await,
            Err(error) => Answer::Later { problem: unreachable(&error), after: None },
        }
    }
}

fn packed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(body)?;
    packer.finish()
}

async fn judge(sink: &Sink, answer: Response) -> Answer {
    let status = answer.status();
    let after = retry_after(answer.headers().get(header::RETRY_AFTER), SystemTime::now());
    let body = read(answer).await;
    if status.is_success() {
        let (rejected, said) = otlp::rejected(&body, sink.encoding).unwrap_or_default();
        return Answer::Taken { rejected, said: words(&said) };
    }
    verdict(sink.place, status, after)
}

/// What an answer without success means. The specification lets an SDK try again only what is `busy`: its
/// memory is short. Here nothing is lost while somebody puts right what is wrong.
fn verdict(place: Place, status: StatusCode, after: Option<Duration>) -> Answer {
    let key = match place {
        Place::Otlp => "OTEL_EXPORTER_OTLP_HEADERS",
        Place::LangSmith => "LANGSMITH_API_KEY",
    };
    let endpoint = match place {
        Place::Otlp => "OTEL_EXPORTER_OTLP_ENDPOINT",
        Place::LangSmith => "LANGSMITH_ENDPOINT",
    };
    let problem = |code, message| Problem { code, message };
    match status.as_u16() {
        401 | 403 => Answer::Later {
            problem: problem("refused", format!("It answered {status}: check {key}.")),
            after,
        },
        300..=399 | 404 | 405 => Answer::Later {
            problem: problem(
                "no_collector",
                format!("It answered {status}, so traces are not taken there: check {endpoint}."),
            ),
            after,
        },
        408 | 429 | 502 | 503 | 504 => Answer::Later {
            problem: problem("busy", format!("It answered {status}; it is tried again.")),
            after,
        },
        500..=599 => Answer::Later {
            problem: problem("failed", format!("It answered {status}: its own log says why.")),
            after,
        },
        _ => Answer::Never(problem(
            "not_taken",
            format!("It answered {status} to spans that it will never take: they are left out."),
        )),
    }
}

/// Seconds, or a date.
fn retry_after(header: Option<&http::HeaderValue>, now: SystemTime) -> Option<Duration> {
    let text = header?.to_str().ok()?.trim();
    let after = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(after.min(AFTER_MAX))
}

/// The beginning of an answer's body, to its end where that is near: the connection can be used again.
async fn read(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&piece);
    }
    body
}

fn unreachable(error: &reqwest::Error) -> Problem {
    let message = format!("It cannot be reached ({}); it is tried again.", outward::told(error));
    Problem { code: "unreachable", message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_put_right_tried_again_or_left_out() {
        let code = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            match verdict(Place::Otlp, status, None) {
                Answer::Later { problem, .. } => (problem.code, true),
                Answer::Never(problem) => (problem.code, false),
                Answer::Taken { .. } => panic!("{status} is no success"),
            }
        };
        for status in [401, 403] {
            assert_eq!(code(status), ("refused", true));
        }
        for status in [301, 307, 404, 405] {
            assert_eq!(code(status), ("no_collector", true));
        }
        for status in [408, 429, 502, 503, 504] {
            assert_eq!(code(status), ("busy", true));
        }
        for status in [500, 501, 599] {
            assert_eq!(code(status), ("failed", true));
        }
        for status in [400, 413, 415, 422] {
            assert_eq!(code(status), ("not_taken", false));
        }
    }

    #[test]
    fn whoever_asks_for_time_gets_it_within_reason() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let check = |text: &str, wanted: Option<u64>| {
            let header = http::HeaderValue::from_str(text).unwrap();
            assert_eq!(retry_after(Some(&header), now).map(|d| d.as_secs()), wanted, "{text}");
        };
        check("7", Some(7));
        check("999999", Some(3600));
        check("soon", None);
        check(&httpdate::fmt_http_date(now + Duration::from_secs(30)), Some(30));
        check(&httpdate::fmt_http_date(now - Duration::from_secs(30)), Some(0));
        assert_eq!(retry_after(None, now), None);
    }
}
