//! A connection that is closed after an answer while its program may still be sending the request that
//! was answered. Closing it then would throw the answer away: the system resets a connection whose
//! other end still sends, and many programs write all of a request before they read. So its end is said, and what
//! still comes is read and thrown away for a while.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// Bytes of a request that are thrown away: twice the largest that is taken.
const BYTES_MAX: usize = 64 << 20;

/// How long that may take: the largest request at 9 Mbit/s.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A program that sends nothing for so long does not send any more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// See the module.
pub struct Lingering<S> {
    stream: S,
    ending: Option<Ending>,
}

/// Its own end was said.
struct Ending {
    bytes: usize,
    until: Instant,
    idle: Pin<Box<Sleep>>,
}

impl<S> Lingering<S> {
    /// Wraps a connection.
    pub fn new(stream: S) -> Self {
        Self { stream, ending: None }
    }
}

impl Ending {
    fn new() -> Self {
        let idle = Box::pin(tokio::time::sleep(IDLE_TIMEOUT));
        Self { bytes: 0, until: Instant::now() + TIMEOUT, idle }
    }

    /// Reads on until the other side has ended, too, or it was enough.
    fn poll<S: AsyncRead + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        let mut chunk = [0; CHUNK];
        loop {
            let mut into = ReadBuf::new(&mut chunk);
            match Pin::new(&mut *stream).poll_read(cx, &mut into) {
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {
                    self.bytes += into.filled().len();
                    if self.bytes > BYTES_MAX || Instant::now() > self.until {
                        return Poll::Ready(());
                    }
                    self.idle.as_mut().reset((Instant::now() + IDLE_TIMEOUT).min(self.until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.idle.as_mut().poll(cx),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ending.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        ready!(this.ending.get_or_insert_with(Ending::new).poll(&mut this.stream, cx));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test(start_paused = true)]
    async fn what_still_comes_is_read_up_to_an_end() {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let mut near = Lingering::new(near);
        near.write_all(b"no").await.unwrap();
        let closing = tokio::spawn(async move { near.shutdown().await });
        far.write_all(&vec![0; 1 << 20]).await.unwrap();
        let mut answer = String::new();
        far.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "no");
        drop(far);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_for_ever_or_nothing_is_left() {
        for pause in [Duration::from_secs(1), Duration::MAX] {
            let (near, mut far) = tokio::io::duplex(1 << 10);
            let mut near = Lingering::new(near);
            let sending = tokio::spawn(async move {
                while far.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            });
            let began = Instant::now();
            near.shutdown().await.unwrap();
            assert!(began.elapsed() <= TIMEOUT + IDLE_TIMEOUT);
            sending.abort();
        }
    }
}
