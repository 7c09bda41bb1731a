//! Speaks `toft_model::init` over a connected socket: one connection per operation. Used by the
//! server (from the host) and by the bridge (inside). Does not know how a connection is made, and
//! retries nothing.

use bytes::Bytes;
use std::{collections::VecDeque, io, os::fd::OwnedFd, sync::Arc, time::Duration};
use toft_model::{
    frame::{Decoder, FrameError, FrameKind, encode},
    id::SessionId,
    init::{ExecExit, ExecSpec, ExecStatus, InitInput, InitReply, InitRequest, PtySize},
    receipt::{Receipt, Tree},
    secret::{Environment, SecretText},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Mutex,
    time::timeout,
};

/// How long init may take to answer what it does at once. It is one thread that never blocks for
/// long; a frozen or dead machine does not answer at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What `Kill` and `Stop` may take beyond their grace: the KILL rounds and the reaping.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// Reading a large project's tree anew.
const TREE_TIMEOUT: Duration = Duration::from_secs(20);

/// Read at once: as much as init puts into one frame.
const READ_BYTES: usize = 64 << 10;

/// Standard input goes out in pieces of this size, so that a frame never reaches its limit.
const STDIN_BYTES: usize = 64 << 10;

/// Descriptors taken in one message; a machine has two gateway listeners.
const FDS_MAX: usize = 8;

/// An operation failed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Init said no.
    #[error("{message}")]
    Refused {
        /// `not_found`, `invalid`, `spawn`, `io`.
        code: String,
        /// What happened and what to do.
        message: String,
    },
    /// The connection broke.
    #[error("the connection to the machine's init broke: {0}")]
    Io(#[from] io::Error),
    /// It ended before the answer.
    #[error("the machine's init closed the connection without an answer")]
    Closed,
    /// No answer in time.
    #[error("the machine's init did not answer within {0:?}")]
    TimedOut(Duration),
    /// Bytes that are no frame.
    #[error("the machine's init sent a bad frame: {0}")]
    Frame(#[from] FrameError),
    /// A frame that is no reply, or not one to this request.
    #[error("the machine's init sent an answer that does not fit: {0}")]
    Unexpected(String),
}

impl InitError {
    /// Stable code: init's own, or `lost` when it was not reached.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Io(_) | Self::Closed | Self::TimedOut(_) => "lost",
            Self::Frame(_) | Self::Unexpected(_) => "io",
        }
    }
}

/// Answer of [`hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Version of the protocol.
    pub protocol: u32,
    /// Version of the binary.
    pub version: String,
    /// Pid of the bridge inside the machine, when it runs.
    pub bridge_pid: Option<u32>,
    /// How often the bridge was started.
    pub bridge_starts: u32,
    /// Whether it starts programs that only read.
    pub read_only: bool,
}

/// What a program does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEvent {
    /// Standard output, both outputs merged, or the terminal.
    Stdout(Bytes),
    /// Standard error.
    Stderr(Bytes),
    /// Output up to this byte is no longer kept and was skipped.
    Gap(u64),
    /// It ended; nothing follows.
    Exit(ExecExit),
}

/// A program that was started, or attached to. Dropping it (and every [`ExecInput`]) ends the
/// connection; a program that is not detached is killed then.
#[derive(Debug)]
pub struct ExecHandle {
    /// Its id.
    pub id: String,
    /// Its pid inside the machine.
    pub pid: u32,
    /// Whether it ran already.
    pub attached: bool,
    /// Revision of the environment that it was started with.
    pub environment: u64,
    reader: Reader<OwnedReadHalf>,
    input: ExecInput,
}

impl ExecHandle {
    /// What comes next; `None` after [`ExecEvent::Exit`]. Losing the connection before that is an
    /// error. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<ExecEvent>, InitError> {
        if self.reader.done {
            return Ok(None);
        }
        let (kind, payload) = self.reader.frame().await?;
        let event = match kind {
            FrameKind::Stdout => ExecEvent::Stdout(payload.into()),
            FrameKind::Stderr => ExecEvent::Stderr(payload.into()),
            FrameKind::Stdin => return Err(InitError::Unexpected("a frame of input".to_owned())),
            FrameKind::Json => match parse(&payload)? {
                InitReply::Gap { to } => ExecEvent::Gap(to),
                InitReply::Exit(exit) => {
                    self.reader.done = true;
                    ExecEvent::Exit(exit)
                }
                other => return Err(unexpected(&other)),
            },
        };
        Ok(Some(event))
    }

    /// The other direction; clones share it.
    pub fn input(&self) -> ExecInput {
        self.input.clone()
    }
}

/// Speaks to a running program.
#[derive(Debug, Clone)]
pub struct ExecInput(Arc<Mutex<OwnedWriteHalf>>);

impl ExecInput {
    /// Writes to its standard input (or its terminal). Waits while the program does not read.
    pub async fn stdin(&self, bytes: &[u8]) -> Result<(), InitError> {
        for piece in bytes.chunks(STDIN_BYTES) {
            self.send(&encode(FrameKind::Stdin, piece)).await?;
        }
        Ok(())
    }

    /// Ends its standard input.
    pub async fn close_stdin(&self) -> Result<(), InitError> {
        self.say(&InitInput::CloseStdin).await
    }

    /// Gives its terminal another size.
    pub async fn resize(&self, size: PtySize) -> Result<(), InitError> {
        self.say(&InitInput::Resize(size)).await
    }

    /// Sends a signal to its process group.
    pub async fn signal(&self, signal: i32) -> Result<(), InitError> {
        self.say(&InitInput::Signal { signal }).await
    }

    async fn say(&self, input: &InitInput) -> Result<(), InitError> {
        self.send(&encode(FrameKind::Json, &json(input))).await
    }

    async fn send(&self, frame: &[u8]) -> Result<(), InitError> {
        Ok(self.0.lock().await.write_all(frame).await?)
    }
}

/// Asks init who it is.
pub async fn hello(stream: UnixStream) -> Result<Hello, InitError> {
    match ask(stream, &InitRequest::Hello, ANSWER_TIMEOUT).await? {
        InitReply::Hello { protocol, version, bridge_pid, bridge_starts, read_only } => {
            Ok(Hello { protocol, version, bridge_pid, bridge_starts, read_only })
        }
        other => Err(unexpected(&other)),
    }
}

/// Runs a program, or attaches to the one with the same id (from its first byte).
pub async fn exec(stream: UnixStream, spec: ExecSpec) -> Result<ExecHandle, InitError> {
    follow(stream, &InitRequest::Exec(spec)).await
}

/// Follows a program from byte `from` of its output; a `from` beyond what it will ever print
/// follows only its end.
pub async fn attach(stream: UnixStream, id: &str, from: u64) -> Result<ExecHandle, InitError> {
    follow(stream, &InitRequest::Attach { id: id.to_owned(), from }).await
}

/// Running programs and kept ended ones, oldest first.
pub async fn list(stream: UnixStream) -> Result<Vec<ExecStatus>, InitError> {
    match ask(stream, &InitRequest::List, ANSWER_TIMEOUT).await? {
        InitReply::List { execs } => Ok(execs),
        other => Err(unexpected(&other)),
    }
}

/// Ends a program and everything that it started; returns when none is left.
pub async fn kill(stream: UnixStream, id: &str, grace_ms: u64) -> Result<(), InitError> {
    let request = InitRequest::Kill { id: id.to_owned(), grace_ms };
    let limit = END_TIMEOUT + Duration::from_millis(grace_ms);
    done(&ask(stream, &request, limit).await?)
}

/// Drops what is kept of an ended program.
pub async fn forget(stream: UnixStream, id: &str) -> Result<(), InitError> {
    let request = InitRequest::Forget { id: id.to_owned() };
    done(&ask(stream, &request, ANSWER_TIMEOUT).await?)
}

/// Gives programs that are started from now on another environment.
pub async fn set_environment(
    stream: UnixStream,
    environment: &Environment,
) -> Result<(), InitError> {
    let request = InitRequest::SetEnvironment(environment.clone());
    done(&ask(stream, &request, ANSWER_TIMEOUT).await?)
}

/// An environment as init told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldEnvironment {
    /// What programs get.
    pub environment: Environment,
    /// Which one it is of those that init was given; an older init does not say.
    pub generation: Option<u64>,
    /// What programs got before, as far as init knows.
    pub before: Vec<(String, SecretText)>,
}

/// The environment that programs get now.
pub async fn environment(stream: UnixStream) -> Result<ToldEnvironment, InitError> {
    let request = InitRequest::Environment { known: None, generation: None };
    told_environment(ask(stream, &request, ANSWER_TIMEOUT).await?)
}

/// The environment that init is given next after the one it told as `known`, however long that takes.
pub async fn next_environment(
    mut stream: UnixStream,
    known: &ToldEnvironment,
) -> Result<ToldEnvironment, InitError> {
    let (revision, generation) = (Some(known.environment.revision), known.generation);
    send(&mut stream, &InitRequest::Environment { known: revision, generation }).await?;
    told_environment(Reader::new(stream).reply().await?)
}

fn told_environment(reply: InitReply) -> Result<ToldEnvironment, InitError> {
    match reply {
        InitReply::Environment { environment, generation, before } => {
            Ok(ToldEnvironment { environment, generation, before })
        }
        InitReply::Failed { code, message } => Err(InitError::Refused { code, message }),
        other => Err(unexpected(&other)),
    }
}

/// The newest receipts of a conversation, oldest first.
pub async fn receipts(stream: UnixStream, session: &SessionId) -> Result<Vec<Receipt>, InitError> {
    let request = InitRequest::Receipts { session_id: session.clone() };
    match ask(stream, &request, ANSWER_TIMEOUT).await? {
        InitReply::Receipts { receipts } => Ok(receipts),
        other => Err(unexpected(&other)),
    }
}

/// What is new of receipts with checks, however long that takes, and what to say as `told` next time.
pub async fn receipt_news(
    mut stream: UnixStream,
    told: Option<u64>,
) -> Result<(u64, Vec<Receipt>), InitError> {
    send(&mut stream, &InitRequest::ReceiptNews { told }).await?;
    match Reader::new(stream).reply().await? {
        InitReply::ReceiptNews { told, receipts } => Ok((told, receipts)),
        InitReply::Failed { code, message } => Err(InitError::Refused { code, message }),
        other => Err(unexpected(&other)),
    }
}

/// The project's tree as it is now; `None`: it could not be read.
pub async fn tree(stream: UnixStream) -> Result<Option<Tree>, InitError> {
    match ask(stream, &InitRequest::Tree, TREE_TIMEOUT).await? {
        InitReply::Tree { tree } => Ok(tree),
        other => Err(unexpected(&other)),
    }
}

/// Ends the bridge; init starts it again.
pub async fn restart_bridge(stream: UnixStream) -> Result<(), InitError> {
    done(&ask(stream, &InitRequest::RestartBridge, ANSWER_TIMEOUT).await?)
}

/// Ends every process of the machine, init at last.
pub async fn stop(stream: UnixStream, grace_ms: u64) -> Result<(), InitError> {
    let limit = END_TIMEOUT + Duration::from_millis(grace_ms);
    done(&ask(stream, &InitRequest::Stop { grace_ms }, limit).await?)
}

/// Copies of the machine's gateway listeners, in the order of `InitBoot::gateway_fds`.
pub async fn gateway_listeners(mut stream: UnixStream) -> Result<Vec<OwnedFd>, InitError> {
    let work = async {
        send(&mut stream, &InitRequest::GatewayListeners).await?;
        let mut decoder = Decoder::default();
        let mut fds = Vec::new();
        loop {
            let mut buf = [0u8; 512];
            let read = stream
                .async_io(Interest::READABLE, || receive(&stream, &mut buf, &mut fds))
                .await?;
            if read == 0 {
                return Err(InitError::Closed);
            }
            decoder.push(&buf[..read]);
            if let Some((_, payload)) = decoder.next_frame()? {
                done(&parse(&payload)?)?;
                return Ok(fds);
            }
        }
    };
    within(ANSWER_TIMEOUT, work).await
}

/// Reads bytes and the descriptors that came with them.
fn receive(stream: &UnixStream, buf: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(stream, &mut [io::IoSliceMut::new(buf)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok(got.bytes)
}

async fn follow(mut stream: UnixStream, request: &InitRequest) -> Result<ExecHandle, InitError> {
    let work = async {
        send(&mut stream, request).await?;
        let (read, write) = stream.into_split();
        let mut reader = Reader::new(read);
        match reader.reply().await? {
            InitReply::Started { id, pid, attached, environment } => Ok(ExecHandle {
                id,
                pid,
                attached,
                environment,
                reader,
                input: ExecInput(Arc::new(Mutex::new(write))),
            }),
            InitReply::Failed { code, message } => Err(InitError::Refused { code, message }),
            other => Err(unexpected(&other)),
        }
    };
    within(ANSWER_TIMEOUT, work).await
}

/// One request, one answer.
async fn ask(
    mut stream: UnixStream,
    request: &InitRequest,
    limit: Duration,
) -> Result<InitReply, InitError> {
    let work = async {
        send(&mut stream, request).await?;
        match Reader::new(stream).reply().await? {
            InitReply::Failed { code, message } => Err(InitError::Refused { code, message }),
            other => Ok(other),
        }
    };
    within(limit, work).await
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, InitError>>,
) -> Result<T, InitError> {
    timeout(limit, work).await.map_err(|_| InitError::TimedOut(limit))?
}

async fn send(stream: &mut UnixStream, request: &InitRequest) -> Result<(), InitError> {
    Ok(stream.write_all(&encode(FrameKind::Json, &json(request))).await?)
}

/// Frames from a socket.
#[derive(Debug)]
struct Reader<R> {
    from: R,
    decoder: Decoder,
    /// Frames decoded from the last read.
    ready: VecDeque<(FrameKind, Vec<u8>)>,
    buf: Vec<u8>,
    done: bool,
}

impl<R: tokio::io::AsyncRead + Unpin> Reader<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            decoder: Decoder::default(),
            ready: VecDeque::new(),
            buf: Vec::new(),
            done: false,
        }
    }

    async fn frame(&mut self) -> Result<(FrameKind, Vec<u8>), InitError> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(frame);
            }
            self.buf.clear();
            self.buf.reserve(READ_BYTES);
            if self.from.read_buf(&mut self.buf).await? == 0 {
                return Err(InitError::Closed);
            }
            self.decoder.push(&self.buf);
            while let Some(frame) = self.decoder.next_frame()? {
                self.ready.push_back(frame);
            }
        }
    }

    async fn reply(&mut self) -> Result<InitReply, InitError> {
        match self.frame().await? {
            (FrameKind::Json, payload) => parse(&payload),
            (kind, _) => Err(InitError::Unexpected(format!("a frame of {kind:?}"))),
        }
    }
}

fn parse(payload: &[u8]) -> Result<InitReply, InitError> {
    serde_json::from_slice(payload).map_err(|err| InitError::Unexpected(err.to_string()))
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("requests hold only JSON-able data")
}

fn done(reply: &InitReply) -> Result<(), InitError> {
    match reply {
        InitReply::Done => Ok(()),
        InitReply::Failed { code, message } => {
            Err(InitError::Refused { code: code.clone(), message: message.clone() })
        }
        other => Err(unexpected(other)),
    }
}

fn unexpected(reply: &InitReply) -> InitError {
    let name = match reply {
        InitReply::Hello { .. } => "hello",
        InitReply::Started { .. } => "started",
        InitReply::Gap { .. } => "gap",
        InitReply::Exit(_) => "exit",
        InitReply::List { .. } => "list",
        InitReply::Environment { .. } => "environment",
        InitReply::Receipts { .. } => "receipts",
        InitReply::ReceiptNews { .. } => "receipt_news",
        InitReply::Tree { .. } => "tree",
        InitReply::Done => "done",
        InitReply::Failed { .. } => "failed",
    };
    InitError::Unexpected(format!("`{name}`"))
}
