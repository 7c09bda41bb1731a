//! A body that passes through unchanged while somebody looks on, with an idle limit. Ends the tap
//! exactly once, however the body ends. Knows nothing of what is looked for.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// Any error of a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Whole.
    Complete,
    /// The sending side broke.
    Cut,
    /// The sending side said nothing for too long.
    Idle,
    /// The receiving side went away.
    Abandoned,
}

/// Looks on.
pub(crate) trait Tap: Send {
    /// Data passes; what is returned is passed on in its place. It may be less: then [`Tap::rest`] is
    /// passed on before the end.
    fn data(&mut self, data: Bytes) -> Bytes;
    /// How many bytes are kept back.
    fn held(&self) -> usize {
        0
    }
    /// Those, when all has come.
    fn rest(&mut self) -> Bytes {
        Bytes::new()
    }
    /// Nothing more comes.
    fn end(&mut self, ending: Ending);
}

/// A body with a [`Tap`].
pub(crate) struct Tapped<B, T: Tap> {
    inner: B,
    tap: T,
    ended: bool,
    // Bytes that are still to come, when the length was announced: a receiver that knows it too
    // does not ask for the end.
    left: Option<u64>,
    idle: Duration,
    last: Instant,
    // Made when the sender first keeps us waiting; re-armed only when it fires, so that a frame
    // costs no timer work.
    alarm: Option<Pin<Box<Sleep>>>,
    // Comes after what the tap kept back.
    trailers: Option<Frame<Bytes>>,
}

impl<B, T: Tap> Tapped<B, T> {
    /// `length`: bytes of the body, when known.
    pub(crate) fn new(inner: B, tap: T, length: Option<u64>, idle: Duration) -> Self {
        let last = Instant::now();
        let (ended, left) = (false, length);
        let mut tapped = Self { inner, tap, ended, left, idle, last, alarm: None, trailers: None };
        tapped.passed(0);
        tapped
    }

    fn passed(&mut self, bytes: usize) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(bytes as u64);
            if *left == 0 {
                self.end(Ending::Complete);
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        if !self.ended {
            self.ended = true;
            self.tap.end(ending);
        }
    }

    fn is_idle(&mut self, cx: &mut Context<'_>) -> bool {
        let (last, idle) = (self.last, self.idle);
        let alarm =
            self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(last + idle)));
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= last + idle {
                return true;
            }
            alarm.as_mut().reset(last + idle);
        }
        false
    }
}

impl<B, T> Body for Tapped<B, T>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    T: Tap + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(trailers)));
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.last = Instant::now();
                let data = match frame.into_data() {
                    Ok(data) => data,
                    Err(trailers) if this.tap.held() > 0 => {
                        this.trailers = Some(trailers);
                        return Poll::Ready(Some(Ok(Frame::data(this.tap.rest()))));
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                };
                let came = data.len();
                let mut data = this.tap.data(data);
                if this.left == Some(came as u64) && this.tap.held() > 0 {
                    data = [data, this.tap.rest()].concat().into();
                }
                this.passed(came);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Some(Err(e))) => {
                this.end(Ending::Cut);
                Poll::Ready(Some(Err(e.into())))
            }
            Poll::Ready(None) if this.tap.held() > 0 => {
                Poll::Ready(Some(Ok(Frame::data(this.tap.rest()))))
            }
            Poll::Ready(None) => {
                this.end(Ending::Complete);
                Poll::Ready(None)
            }
            Poll::Pending if this.is_idle(cx) => {
                this.end(Ending::Idle);
                Poll::Ready(Some(Err("nothing came for too long".into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.tap.held() == 0 && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (self.inner.size_hint(), self.tap.held() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

impl<B, T: Tap> Drop for Tapped<B, T> {
    fn drop(&mut self) {
        self.end(Ending::Abandoned);
    }
}
