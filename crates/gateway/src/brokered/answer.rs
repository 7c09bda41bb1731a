//! Values come out of an answer: of its headers, its body and what follows that.

use super::{Broker, unpack::has_body};
use crate::{
    api_error::{ApiError, Code},
    needles::{Look, Stream},
    tap::BoxError,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// An answer of an announced length up to this is read whole, so that its length can be said anew. In
/// longer ones a value is replaced by as many bytes.
const WHOLE_BYTES_MAX: u64 = 64 << 10;

/// Is told the name of a secret whose value was taken out of an answer, each time.
pub(crate) type Echo = Arc<dyn Fn(&str) + Send + Sync>;

type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

impl Broker {
    /// How an answer that begins now is looked through.
    pub(crate) fn look(&self, echo: Echo) -> Look {
        let secrets = Arc::clone(&self.secrets);
        let told = move |of: usize| {
            if let Some(one) = secrets.get(of) {
                echo(&one.name);
            }
        };
        Look::new(Arc::clone(&self.needles), Arc::new(told))
    }
}

/// The same head without values.
pub(crate) fn open_head<B>(look: &Look, response: &mut Response<B>) {
    // The words after the status code are the host's too.
    *response.extensions_mut() = http::Extensions::default();
    look.clear_headers(response.headers_mut());
}

/// The same answer without values.
pub(crate) async fn open_answer(
    look: Look,
    method: &Method,
    mut response: Response<BoxBody>,
) -> Result<Response<BoxBody>, ApiError> {
    open_head(&look, &mut response);
    let (mut parts, body) = response.into_parts();
    if !has_body(method, parts.status) || look.is_empty() {
        return Ok(Response::from_parts(parts, body));
    }
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length <= WHOLE_BYTES_MAX) {
        let whole = body.collect().await.map_err(|error| {
            let message = format!("The host broke the connection ({error}).");
            ApiError::new(Code::UpstreamUnreachable, message)
        })?;
        let after = whole.trailers().cloned().map(|mut after| {
            look.clear_headers(&mut after);
            Ok(after)
        });
        let whole = whole.to_bytes();
        let whole = look.replaced(&whole, false).map_or(whole, Bytes::from);
        parts.headers.insert(header::CONTENT_LENGTH, whole.len().into());
        let whole = Full::new(whole).with_trailers(std::future::ready(after));
        return Ok(Response::from_parts(parts, own(whole)));
    }
    let stream = Stream::new(look.clone(), length.is_some());
    let masked = Masked { inner: Some(body), stream, look, after: None };
    Ok(Response::from_parts(parts, masked.boxed_unsync()))
}

fn own(body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static) -> BoxBody {
    body.map_err(|never| match never {}).boxed_unsync()
}

/// A body without values.
struct Masked {
    /// None when it has ended.
    inner: Option<BoxBody>,
    stream: Stream,
    look: Look,
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
                            this.look.clear_headers(&mut after);
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
    /// Said where it is known: of gRPC what follows no body is the head.
    fn is_end_stream(&self) -> bool {
        let ended = self.inner.as_ref().is_none_or(Body::is_end_stream);
        ended && self.after.is_none() && self.stream.is_open()
    }
}
