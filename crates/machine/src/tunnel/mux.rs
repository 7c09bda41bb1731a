//! Channels on one line, by Yamux: each has its own window, so that one that nobody reads stops no other.

use std::{future::poll_fn, io, task::Poll, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use yamux::{Config, Connection, DEFAULT_CREDIT, Mode, Stream};

/// Channels at once: those of a dashboard with all its panels open, and of what the machine asks models.
const CHANNELS_MAX: usize = 256;
/// What may lie unread at one end: each channel's first window, and no more.
const UNREAD_BYTES_MAX: usize = CHANNELS_MAX * DEFAULT_CREDIT as usize;
/// Channels that were opened by the other end, and that nobody took yet.
const UNTAKEN_MAX: usize = 64;
/// Wishes for a channel that wait.
const WISHES_QUEUED: usize = 64;
/// A line that opens no channel in this time is full or dead.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// One connection on the line.
pub(crate) type Channel = Compat<Stream>;

type Wish = oneshot::Sender<Channel>;

/// Opens channels. The line ends when nobody has one any more.
#[derive(Debug, Clone)]
pub(crate) struct Opener(mpsc::Sender<Wish>);

impl Opener {
    /// A channel; what it is must be said on it next.
    pub(crate) async fn open(&self) -> io::Result<Channel> {
        let (wish, granted) = oneshot::channel();
        let opening = async {
            self.0.send(wish).await.map_err(|_| broken())?;
            granted.await.map_err(|_| broken())
        };
        match timeout(OPEN_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the line takes no more channels"))
            }
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the line to the machine broke")
}

/// Which end this is. Each has its own numbers of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Server,
    Machine,
}

/// Makes channels of a line. The future carries it: it ends when the line does.
pub(crate) fn begin<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    line: T,
    end: End,
) -> (Opener, mpsc::Receiver<Channel>, impl Future<Output = io::Result<()>> + Send) {
    let mut config = Config::default();
    // In this order: each holds the other to its bound.
    config.set_max_num_streams(CHANNELS_MAX);
    config.set_max_connection_receive_window(Some(UNREAD_BYTES_MAX));
    let mode = match end {
        End::Server => Mode::Client,
        End::Machine => Mode::Server,
    };
    let connection = Connection::new(line.compat(), config, mode);
    let (wishes, wanted) = mpsc::channel(WISHES_QUEUED);
    let (untaken, incoming) = mpsc::channel(UNTAKEN_MAX);
    (Opener(wishes), incoming, carry(connection, wanted, untaken))
}

async fn carry<T: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Connection<Compat<T>>,
    mut wanted: mpsc::Receiver<Wish>,
    untaken: mpsc::Sender<Channel>,
) -> io::Result<()> {
    let mut wish: Option<Wish> = None;
    poll_fn(|cx| {
        loop {
            if wish.is_none() {
                match wanted.poll_recv(cx) {
                    Poll::Ready(Some(next)) => wish = Some(next),
                    // Nobody is left who could open one.
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => {}
                }
            }
            if wish.is_some() {
                match connection.poll_new_outbound(cx) {
                    Poll::Ready(Ok(stream)) => {
                        // Who wished for it may be gone: then it is closed again.
                        let _ = wish.take().map(|wish| wish.send(stream.compat()));
                        continue;
                    }
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(io::Error::other(e))),
                    Poll::Pending => {}
                }
            }
            match connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    // With too many waiting it is refused by being dropped.
                    let _ = untaken.try_send(stream.compat());
                }
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Err(io::Error::other(e))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn channels_go_both_ways_and_one_that_is_not_read_stops_no_other() {
        let (near, far) = duplex(4096);
        let (server, mut from_machine, carrying) = begin(near, End::Server);
        let near = tokio::spawn(carrying);
        let (machine, mut from_server, carrying) = begin(far, End::Machine);
        tokio::spawn(carrying);

        let mut full = server.open().await.unwrap();
        let piece = vec![7; 4096];
        let filling = async {
            loop {
                full.write_all(&piece).await.unwrap();
            }
        };
        assert!(
            timeout(Duration::from_millis(300), filling).await.is_err(),
            "its window is bounded"
        );
        let unread = from_server.recv().await.unwrap();

        let mut asked = machine.open().await.unwrap();
        asked.write_all(b"from inside").await.unwrap();
        asked.shutdown().await.unwrap();
        let mut said = String::new();
        from_machine.recv().await.unwrap().read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "from inside");
        drop((unread, full, asked));
        drop(server);
        near.await.unwrap().unwrap();
        // The other end finds out a moment later.
        let gone = async {
            while machine.open().await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(OPEN_TIMEOUT, gone).await.expect("the line is gone");
    }
}
