//! A connection that is read although it takes nothing more. Who refuses a request may answer before all of its body
//! came, and close: what was said must not be lost for what could not be written.

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use std::{
    io::{ErrorKind, IoSlice, Result},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::net::UnixStream;

/// See the module.
pub(super) struct ReadsOn(TokioIo<UnixStream>);

impl ReadsOn {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self(TokioIo::new(stream))
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut TokioIo<UnixStream>> {
        Pin::new(&mut self.get_mut().0)
    }
}

/// What nobody reads any more counts as written: the answer, or its absence, says what became of it.
fn unread<T>(written: Result<T>, all: T) -> Result<T> {
    match written {
        Err(error)
            if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
        {
            Ok(all)
        }
        written => written,
    }
}

impl Read for ReadsOn {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<Result<()>> {
        self.inner().poll_read(cx, buf)
    }
}

impl Write for ReadsOn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = ready!(self.inner().poll_write(cx, buf));
        Poll::Ready(unread(written, buf.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = ready!(self.inner().poll_write_vectored(cx, bufs));
        Poll::Ready(unread(written, bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = ready!(self.inner().poll_flush(cx));
        Poll::Ready(unread(flushed, ()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}

impl Connection for ReadsOn {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, StatusCode};
    use http_body_util::{BodyExt as _, StreamBody};
    use hyper::{body::Frame, client::conn::http1::handshake};
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// A body that goes on after the other side has answered and gone away.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_answer_that_came_before_the_body_had_ended_is_read() {
        for _ in 0..50 {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let refusing = tokio::spawn(async move {
                let mut head = [0; 512];
                assert!(theirs.read(&mut head).await.unwrap() > 0);
                let answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno";
                theirs.write_all(answer.as_bytes()).await.unwrap();
            });
            let body = StreamBody::new(async_stream::stream! {
                let piece = || Ok::<_, Infallible>(Frame::data(bytes::Bytes::from(vec![7; 65_536])));
                yield piece();
                // What is there by now is sent, and then it goes on in a turn that has looked for an answer before
                // there was one.
                tokio::task::yield_now().await;
                while !refusing.is_finished() {
                    std::hint::spin_loop();
                }
                for _ in 0..4 {
                    yield piece();
                }
            });
            let (mut sender, connection) = handshake(ReadsOn::new(ours)).await.unwrap();
            tokio::spawn(connection);
            let request = Request::put("/").body(Box::pin(body)).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
            assert_eq!(&answer.into_body().collect().await.unwrap().to_bytes()[..], b"no");
        }
    }

    #[tokio::test]
    async fn who_goes_away_without_an_answer_has_said_nothing() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let (mut sender, connection) = handshake(ReadsOn::new(ours)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::put("/").body("whole".to_owned()).unwrap();
        assert!(sender.send_request(request).await.is_err());
    }
}
