//! An answer that is long in coming. Programs, and what stands between them and us, give up on
//! connections on which nothing comes: the stream is begun without it, and a sign of life goes out now
//! and then until it is there. Whether it will come from the model that was asked first or from one that
//! stands in for it is still open then; a failure is told as the stream's last event.

use super::{Body, probe::own_words, refused};
use crate::{
    api_error::{ApiError, Code},
    tap::BoxError,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use serde_json::Value;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use toft_llm::answering::{Label, WireFormat, failure};
use tokio::time::{Interval, MissedTickBehavior};

/// How long a program hears nothing at most: half of what the least patient proxies allow (30 s). Until
/// then a failure still has its own status, and a program asks again by itself.
const SILENCE: Duration = Duration::from_secs(15);

/// The answer as it is, where it comes soon; else a stream that it becomes the rest of. Only for who has
/// asked for a stream of events. `label`: what a failure says of itself in a format that wants it.
pub(super) async fn soon_or_late(
    format: WireFormat,
    label: Label,
    answer: impl Future<Output = Result<Response<Body>, ApiError>> + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    let mut answer = answer.boxed();
    if let Ok(answer) = tokio::time::timeout(SILENCE, &mut answer).await {
        return answer;
    }
    let rest = async move { rest(format, &label, answer.await).await }.boxed();
    let mut response = Response::new(Body::Late(Box::new(Late::new(format, rest))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// What programs of a format read over.
fn sign(format: WireFormat) -> &'static str {
    match format {
        WireFormat::Anthropic => "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        WireFormat::OpenaiChat | WireFormat::OpenaiResponses => ": waiting\n\n",
        // Google's own client takes every line that is not empty for JSON, comments too.
        WireFormat::Gemini => "\n\n",
    }
}

/// See the module.
pub(crate) struct Late {
    sign: &'static str,
    beat: Interval,
    rest: Rest,
}

enum Rest {
    /// Dropping it ends the calls that are under way.
    Coming(BoxFuture<'static, Body>),
    Here(Body),
}

impl Late {
    fn new(format: WireFormat, rest: BoxFuture<'static, Body>) -> Self {
        let mut beat = tokio::time::interval(SILENCE);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { sign: sign(format), beat, rest: Rest::Coming(rest) }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match &mut self.rest {
                Rest::Here(body) => return Pin::new(body).poll_frame(cx),
                Rest::Coming(coming) => {
                    if let Poll::Ready(body) = coming.as_mut().poll(cx) {
                        self.rest = Rest::Here(body);
                        continue;
                    }
                    ready!(self.beat.poll_tick(cx));
                    let sign = Bytes::from_static(self.sign.as_bytes());
                    return Poll::Ready(Some(Ok(Frame::data(sign))));
                }
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match &self.rest {
            Rest::Coming(_) => false,
            Rest::Here(body) => body.is_end_stream(),
        }
    }
}

/// What comes after the signs of life.
async fn rest(format: WireFormat, label: &Label, answer: Result<Response<Body>, ApiError>) -> Body {
    let body = match answer {
        Ok(response) if is_stream(&response) => return response.into_body(),
        Ok(response) => {
            let status = response.status();
            told(format, status, &refused::read(response.into_body()).await)
        }
        Err(error) => error.body_in(format),
    };
    let event = failure::event(format, label, &body);
    Body::Own(Full::new(event.into()))
}

fn is_stream(response: &Response<Body>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    response.status().is_success()
        && kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
        && !response.headers().contains_key(header::CONTENT_ENCODING)
}

/// A refusal as its provider put it, where that is what programs of the format know.
fn told(format: WireFormat, status: StatusCode, body: &[u8]) -> Value {
    if status.is_success() {
        let words =
            "The model's provider was asked for a stream of events, and answered otherwise.";
        let code = Code::UpstreamUnreachable;
        return ApiError::new(code, words).body_in(format);
    }
    let own = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let named = format != WireFormat::Anthropic || own["type"] == "error";
    if named && own["error"]["message"].is_string() {
        return own;
    }
    failure::body(format, status.as_u16(), "provider_error", &own_words(body))
}
