//! The body of an answer to a model call.

use super::{call::CallTap, late::Late};
use crate::tap::{BoxError, Tapped};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

/// Made here, passed through, or written anew in another wire format.
pub(crate) enum Body {
    Own(Full<Bytes>),
    Passed(Box<Tapped<reqwest::Body, CallTap>>),
    Told(BoxStream<'static, Bytes>),
    /// What was read of one, then the rest.
    Begun(VecDeque<Bytes>, Box<Self>),
    /// Begun without one, which follows.
    Late(Box<Late>),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Passed(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Told(pieces) => pieces.poll_next_unpin(cx).map(|p| p.map(|p| Ok(Frame::data(p)))),
            Self::Begun(first, rest) => match first.pop_front() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                None => Pin::new(&mut **rest).poll_frame(cx),
            },
            Self::Late(late) => late.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Passed(body) => body.is_end_stream(),
            Self::Told(_) => false,
            Self::Begun(first, rest) => first.is_empty() && rest.is_end_stream(),
            Self::Late(late) => late.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Passed(body) => body.size_hint(),
            // Only streams, whose length nobody knows, are begun.
            Self::Told(_) | Self::Begun(..) | Self::Late(_) => SizeHint::default(),
        }
    }
}
