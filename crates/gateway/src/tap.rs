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
    /// Data passes; what is returned is passed on in its place.
    fn data(&mut self, data: Bytes) -> Bytes;
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
}

impl<B, T: Tap> Tapped<B, T> {
    /// `length`: bytes of the body, when known.
    pub(crate) fn new(inner: B, tap: T, length: Option<u64>, idle: Duration) -> Self {
        let last = Instant::now();
        let mut tapped = Self { inner, tap, ended: false, left: length, idle, last, alarm: None };
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
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.last = Instant::now();
                let frame = frame.map_data(|data| this.tap.data(data));
                this.passed(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(e))) => {
                this.end(Ending::Cut);
                Poll::Ready(Some(Err(e.into())))
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
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B, T: Tap> Drop for Tapped<B, T> {
    fn drop(&mut self) {
        self.end(Ending::Abandoned);
    }
}
