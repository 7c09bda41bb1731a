//! Streams of events never end by themselves: a bridge that is told to end lets go of them at once,
//! or every stop of a machine would wait out its patience. Readers go on at their last number.

use axum::{
    body::Body,
    extract::{Request, State},
    http::header::CONTENT_TYPE,
    middleware::Next,
    response::Response,
};
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

/// Ends the answer when `stop` says so, if it is a stream of server-sent events.
pub(crate) async fn end_with(
    State(stop): State<CancellationToken>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let kind = response.headers().get(CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        return response;
    }
    response
        .map(|body| Body::from_stream(body.into_data_stream().take_until(stop.cancelled_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, middleware::from_fn_with_state, routing::get};
    use bytes::Bytes;
    use futures_util::stream;
    use std::convert::Infallible;
    use tower::ServiceExt as _;

    async fn bytes_until_stop(kind: &'static str) -> Option<usize> {
        let stop = CancellationToken::new();
        let answer = move || async move {
            let first =
                stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"data: 1\n\n")) });
            let body = Body::from_stream(first.chain(stream::pending()));
            ([(CONTENT_TYPE, kind)], body)
        };
        let app =
            Router::new().route("/", get(answer)).layer(from_fn_with_state(stop.clone(), end_with));
        let response = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        let mut body = response.into_body().into_data_stream();
        let first = body.next().await.unwrap().unwrap().len();
        stop.cancel();
        // Polled until nothing more can happen without an outside event.
        match futures_util::poll!(body.next()) {
            std::task::Poll::Ready(None) => Some(first),
            std::task::Poll::Ready(Some(_)) | std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn an_open_stream_of_events_ends_when_the_bridge_does() {
        assert_eq!(bytes_until_stop("text/event-stream").await, Some(9));
    }

    #[tokio::test]
    async fn a_download_is_not_cut() {
        assert_eq!(bytes_until_stop("application/octet-stream").await, None);
    }
}
