//! Values come out of an answer: of its headers, its body and what follows that.

use super::{Broker, needles::Needles, stream::Stream};
use crate::{
    api_error::{ApiError, Code},
    tap::BoxError,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// An answer of an announced length up to this is read whole, so that its length can be said anew. In
/// longer ones a value is replaced by as many bytes.
const WHOLE_BYTES_MAX: u64 = 64 << 10;

type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// Refuses an answer that cannot be looked into.
pub(crate) fn readable(
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    match encoding(headers).filter(|_| has_body(method, status)) {
        None => Ok(()),
        Some(encoding) => Err(ApiError::new(
            Code::AnswerEncoded,
            format!(
                "The host answers in the encoding {encoding:?} although none was asked for. A secret \
                 is bound to it, so its answers are looked through, and this one cannot be."
            ),
        )),
    }
}

fn has_body(method: &Method, status: StatusCode) -> bool {
    *method != Method::HEAD && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The same answer without values.
pub(crate) async fn open_answer(
    broker: &Broker,
    method: &Method,
    response: Response<BoxBody>,
) -> Result<Response<BoxBody>, ApiError> {
    let (mut parts, body) = response.into_parts();
    // The words after the status code are the host's too.
    parts.extensions = http::Extensions::default();
    let needles = broker.needles().await.ok_or_else(|| {
        ApiError::new(Code::UpstreamUnreachable, "The gateway is ending. Try again.")
    })?;
    mask_headers(&needles, &mut parts.headers);
    if !has_body(method, parts.status) || needles.is_empty() {
        return Ok(Response::from_parts(parts, body));
    }
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length <= WHOLE_BYTES_MAX) {
        let whole = body.collect().await.map_err(|error| {
            let message = format!("The host broke the connection ({error}).");
            ApiError::new(Code::UpstreamUnreachable, message)
        })?;
        let whole = whole.to_bytes();
        let whole = needles.replaced(&whole).map_or(whole, Bytes::from);
        parts.headers.insert(header::CONTENT_LENGTH, whole.len().into());
        return Ok(Response::from_parts(parts, own(Full::new(whole))));
    }
    let stream = Stream::new(Arc::clone(&needles), length.is_some());
    let masked = Masked { inner: Some(body), stream, needles, after: None };
    Ok(Response::from_parts(parts, masked.boxed_unsync()))
}

fn own(body: Full<Bytes>) -> BoxBody {
    body.map_err(|never| match never {}).boxed_unsync()
}

/// The encoding that an answer has in spite of our asking for none.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let said = headers.get_all(header::CONTENT_ENCODING).iter();
    let said = said.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let odd = |one: &&[u8]| !one.is_empty() && !one.eq_ignore_ascii_case(b"identity");
    said.map(<[u8]>::trim_ascii)
        .find(odd)
        .map(|one| String::from_utf8_lossy(one).chars().take(40).collect())
}

fn mask_headers(needles: &Needles, headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        if let Some(masked) = needles.replaced(value.as_bytes()) {
            *value = HeaderValue::from_bytes(&masked)
                .unwrap_or_else(|_| HeaderValue::from_static("taken-out"));
        }
    }
}

/// A body without values.
struct Masked {
    /// None when it has ended.
    inner: Option<BoxBody>,
    stream: Stream,
    needles: Arc<Needles>,
    /// What follows the body.
    after: Option<HeaderMap>,
}

impl Body for Masked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            let Some(inner) = &mut this.inner else {
                return Poll::Ready(this.after.take().map(|after| Ok(Frame::trailers(after))));
            };
            match ready!(Pin::new(inner).poll_frame(cx)) {
                Some(Err(error)) => {
                    this.inner = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let data = this.stream.pass(data);
                        if !data.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                    }
                    Err(frame) => {
                        if let Ok(mut after) = frame.into_trailers() {
                            mask_headers(&this.needles, &mut after);
                            this.after = Some(after);
                        }
                    }
                },
                None => {
                    this.inner = None;
                    let rest = this.stream.rest();
                    if !rest.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(rest))));
                    }
                }
            }
        }
    }
}
