//! Bodies of answers that hold their machine until they are through. Not what is in them.

use super::machine::Hold;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// See [`until_through`].
struct Held<B> {
    body: B,
    _hold: Hold,
}

impl<B: HttpBody + Unpin> HttpBody for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body, which keeps hold until it was read or dropped.
pub(crate) fn until_through<B>(body: B, hold: Hold) -> Body
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    Body::new(Held { body, _hold: hold })
}

/// Whether an answer only waits for what happens: an open stream of events is no use of a machine.
/// One that a `POST` asked for is its work.
pub(crate) fn is_waiting(asked: &Method, answer: &HeaderMap) -> bool {
    let kind = answer.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    *asked == Method::GET && kind.eq_ignore_ascii_case("text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn an_open_stream_of_events_is_no_use_and_one_that_was_posted_for_is() {
        let check = |method: Method, kind: &'static str, want: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_waiting(&method, &headers), want, "{method} {kind}");
        };
        check(Method::GET, "text/event-stream", true);
        check(Method::GET, "Text/Event-Stream; charset=utf-8", true);
        check(Method::POST, "text/event-stream", false);
        check(Method::GET, "text/html", false);
        assert!(!is_waiting(&Method::GET, &HeaderMap::new()));
    }
}
