//! Work that a provider does later: what it costs is known when somebody fetches the result, from the
//! provider itself or with another call, so nobody could hold it to a budget.

use super::call::Asked;
use crate::tap::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The body was found to ask for that.
#[derive(Debug, thiserror::Error)]
#[error("the body asks for work that is done later")]
pub(super) struct Delayed;

/// A request's body that breaks off where it asks for that: before its end, so that no provider acts on
/// it.
pub(super) struct Guarded<B> {
    body: B,
    asked: Asked,
    /// Whether a budget applies.
    is_bounded: bool,
}

impl<B> Guarded<B> {
    /// `asked`: what is seen of the body as it passes.
    pub(super) fn new(body: B, asked: Asked, is_bounded: bool) -> Self {
        Self { body, asked, is_bounded }
    }
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for Guarded<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if self.is_bounded && self.asked.is_delayed() {
            return Poll::Ready(Some(Err(Box::new(Delayed))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
