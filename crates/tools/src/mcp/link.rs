//! The streams of a server's program, as bytes that are read and written. Dropping it ends the program.

use super::part::{LAST_WORD, SIGN_IN};
use crate::host::{Shell, ShellError, ShellEvent};
use futures_util::StreamExt as _;
use std::{
    io::Cursor,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use toft_model::init::ExecSpec;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, DuplexStream, duplex},
    time::timeout,
};
use tokio_util::{io::StreamReader, sync::CancellationToken, task::AbortOnDropHandle};

/// Bytes on their way to a server.
const INPUT_BYTES: usize = 64 * 1024;

/// Bytes of the end of what it printed.
const TAIL_BYTES: usize = 4_096;

/// How long a last word is waited for after a connection broke.
const LAST_WORD_MAX: Duration = Duration::from_secs(1);

/// Why a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// A person is to sign in.
    pub(super) sign_in: bool,
}

impl Word {
    pub(super) fn plain(text: String) -> Self {
        Self { text, sign_in: false }
    }
}

/// What a program printed last.
type Tail = Arc<Mutex<Vec<u8>>>;

/// A program that runs.
pub(super) struct Link {
    shell: Arc<dyn Shell>,
    id: String,
    tail: Tail,
    /// Cancelled when it has ended.
    pub(super) ended: CancellationToken,
    _writer: AbortOnDropHandle<()>,
}

impl Link {
    /// Starts it. Its streams are to be given to whoever speaks with it.
    pub(super) async fn open(
        shell: &Arc<dyn Shell>,
        spec: ExecSpec,
    ) -> Result<
        (Self, impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static),
        ShellError,
    > {
        let run = shell.start(spec).await?;
        let (tail, ended) = (Tail::default(), CancellationToken::new());
        let (heard, over) = (Arc::clone(&tail), ended.clone());
        let bytes = run.events.filter_map(move |event| {
            let piece = match event {
                ShellEvent::Output(bytes) | ShellEvent::Errors(bytes) => {
                    let mut tail = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    tail.extend_from_slice(&bytes);
                    let more = tail.len().saturating_sub(TAIL_BYTES);
                    tail.drain(..more);
                    Some(Ok::<_, std::io::Error>(Cursor::new(bytes)))
                }
                // What is missing cannot be made up for.
                ShellEvent::Gap(_) | ShellEvent::Lost | ShellEvent::Exit(_) => {
                    over.cancel();
                    Some(Err(std::io::ErrorKind::UnexpectedEof.into()))
                }
            };
            std::future::ready(piece)
        });
        let (write, read) = duplex(INPUT_BYTES);
        let writer = tokio::spawn(carry(Arc::clone(shell), run.id.clone(), read));
        let link = Self {
            shell: Arc::clone(shell),
            id: run.id,
            tail,
            ended,
            _writer: AbortOnDropHandle::new(writer),
        };
        Ok((link, StreamReader::new(Box::pin(bytes)), write))
    }

    /// Ends it with all that it started.
    pub(super) async fn end(&self) {
        // One that is not known has ended.
        let _ = self.shell.kill(&self.id, 0).await;
    }

    /// Why it ended, in its own words.
    pub(super) fn last_word(&self) -> Option<Word> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&tail);
        let (_, word) = text.rsplit_once(LAST_WORD)?;
        let (sign_in, word) = match word.trim().strip_prefix(SIGN_IN) {
            Some(word) => (true, word),
            None => (false, word.trim()),
        };
        (!word.is_empty()).then(|| Word { text: word.to_owned(), sign_in })
    }

    /// The same, if it comes in the next moment: what it says and its end come one after the other.
    pub(super) async fn last_word_soon(&self) -> Option<Word> {
        let _ = timeout(LAST_WORD_MAX, self.ended.cancelled()).await;
        self.last_word()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let (shell, id) = (Arc::clone(&self.shell), std::mem::take(&mut self.id));
        // With the event loop its connection ends, and the program with that.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let _ = shell.kill(&id, 0).await;
            let _ = shell.forget(&id).await;
        });
    }
}

async fn carry(shell: Arc<dyn Shell>, id: String, mut read: DuplexStream) {
    let mut piece = vec![0; INPUT_BYTES];
    while let Ok(n @ 1..) = read.read(&mut piece).await {
        if shell.input(&id, &piece[..n], false).await.is_err() {
            return;
        }
    }
}
