//! One connection: one request of the init protocol and its answer.

use super::{
    Init, Refusal,
    end::{Target, end},
    exec::{Exec, raw, reply},
    spawn, tree, trust,
};
use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::Signal,
};
use std::{io, mem::MaybeUninit, os::fd::AsFd as _, path::Path, rc::Rc, time::Duration};
use toft_model::{
    frame::{Decoder, FrameKind},
    init::{INIT_PROTOCOL, InitInput, InitReply, InitRequest},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest, Ready},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{sleep, timeout},
};

/// A caller that says nothing for this long is let go.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Between TERM and KILL for a program whose caller left: it can still remove a lock file.
const LEFT_GRACE: Duration = Duration::from_millis(300);

/// How often a caller whose input cannot be taken is looked at: it may have left.
const STALLED_LOOK: Duration = Duration::from_millis(250);

/// Frames of a caller are small, but for input.
const READ_BYTES: usize = 16 << 10;

/// Gateway listeners of a machine; two today.
const FDS_MAX: usize = 8;

/// Serves one connection.
pub(super) async fn serve(init: Rc<Init>, stream: UnixStream) {
    let (read, write) = stream.into_split();
    let mut caller = Caller { read, write, decoder: Decoder::default() };
    let request = match timeout(REQUEST_TIMEOUT, caller.request()).await {
        Ok(Ok(Some(request))) => request,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(refusal)) => {
            let _ = caller.say(&refusal.into_reply()).await;
            return;
        }
    };
    if let Err(refusal) = answer(&init, &mut caller, request).await {
        let _ = caller.say(&refusal.into_reply()).await;
    }
}

async fn answer(init: &Rc<Init>, caller: &mut Caller, request: InitRequest) -> Result<(), Refusal> {
    let answer = match request {
        InitRequest::Hello => InitReply::Hello {
            protocol: INIT_PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            bridge_pid: init.bridge.pid().map(raw),
            bridge_starts: init.bridge.starts(),
            read_only: init.read_only.is_some(),
        },
        InitRequest::Exec(spec) => {
            let known = spec.id.as_deref().and_then(|id| init.table.get(id));
            let attached = known.is_some();
            let detach = spec.detach;
            let exec = known.map_or_else(|| spawn::start(init, spec), Ok)?;
            let whole = caller.attend(&exec, 0, attached).await;
            if !whole && !attached && !detach {
                leave(init, &exec).await;
            }
            return Ok(());
        }
        InitRequest::Attach { id, from } => {
            let exec = init.known(&id)?;
            caller.attend(&exec, from, true).await;
            return Ok(());
        }
        InitRequest::List => InitReply::List { execs: init.table.list() },
        InitRequest::Kill { id, grace_ms } => {
            let exec = init.known(&id)?;
            end(init, Target::Exec(&exec), Duration::from_millis(grace_ms)).await?;
            InitReply::Done
        }
        InitRequest::Forget { id } => {
            let exec = init.known(&id)?;
            if !exec.ended() {
                return Err(Refusal::new(
                    "invalid",
                    format!("`{id}` still runs: end it before it is forgotten"),
                ));
            }
            init.table.drop(&exec);
            InitReply::Done
        }
        InitRequest::SetEnvironment(environment) => {
            let written = environment.authority.as_deref().map(|authority| {
                let log = (&*init.log.dir, &*init.log.shown);
                // Elsewhere that folder is not the machine's own.
                let own = (std::process::id() == 1).then_some(Path::new(trust::OWN));
                trust::write(own, log, &init.work_env, authority)
            });
            let trust = written.transpose().unwrap_or_else(|error| {
                // Its disk may be full: the rest counts all the same.
                tracing::warn!(%error, "programs will not trust the project's authority");
                None
            });
            init.environment.set(environment, trust.unwrap_or_default());
            InitReply::Done
        }
        InitRequest::Environment { known, generation } => {
            let Caller { read, .. } = caller;
            tokio::select! {
                (environment, generation) = init.environment.other_than(known, generation) => {
                    let before = init.environment.before();
                    InitReply::Environment { environment, generation: Some(generation), before }
                }
                () = left(read) => return Ok(()),
            }
        }
        InitRequest::Receipts { session_id } => {
            InitReply::Receipts { receipts: init.receipts.of(&session_id) }
        }
        InitRequest::ReceiptNews { told } => {
            let Caller { read, .. } = caller;
            tokio::select! {
                (told, receipts) = init.receipts.news(told) => InitReply::ReceiptNews { told, receipts },
                () = left(read) => return Ok(()),
            }
        }
        InitRequest::Tree => InitReply::Tree { tree: tree::look(init).await.map(|seen| seen.tree) },
        InitRequest::GatewayListeners => return caller.hand_over(init).await,
        InitRequest::RestartBridge => {
            init.bridge.end(init).await;
            InitReply::Done
        }
        InitRequest::Stop { grace_ms } => {
            init.stop(Duration::from_millis(grace_ms)).await;
            let said = caller.say(&InitReply::Done).await;
            init.stopped.notify_one();
            return said;
        }
    };
    caller.say(&answer).await
}

/// The caller of a program that is not detached has left.
async fn leave(init: &Rc<Init>, exec: &Rc<Exec>) {
    if !exec.ended()
        && let Err(refusal) = end(init, Target::Exec(exec), LEFT_GRACE).await
    {
        tracing::warn!(exec.id = %exec.id, "a program outlives its caller: {}", refusal.message);
    }
}

struct Caller {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    decoder: Decoder,
}

impl Caller {
    async fn say(&mut self, answer: &InitReply) -> Result<(), Refusal> {
        self.write
            .write_all(&reply(answer))
            .await
            .map_err(|err| Refusal::new("io", err.to_string()))
    }

    /// The first frame; `None` when the caller said nothing.
    async fn request(&mut self) -> Result<Option<InitRequest>, Refusal> {
        let invalid = |err: &dyn std::fmt::Display| {
            Refusal::new("invalid", format!("this is no request of the init protocol: {err}"))
        };
        let mut buf = Vec::with_capacity(READ_BYTES);
        loop {
            match self.decoder.next_frame().map_err(|err| invalid(&err))? {
                Some((FrameKind::Json, payload)) => {
                    return serde_json::from_slice(&payload).map(Some).map_err(|err| invalid(&err));
                }
                Some(_) => return Err(invalid(&"bytes came before it")),
                None => {}
            }
            buf.clear();
            match self.read.read_buf(&mut buf).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => self.decoder.push(&buf),
            }
        }
    }

    /// Sends what the program prints and takes what the caller says; true when the end was told,
    /// false when the caller left before.
    async fn attend(&mut self, exec: &Rc<Exec>, from: u64, attached: bool) -> bool {
        let started = InitReply::Started {
            id: exec.id.clone(),
            pid: raw(exec.pid),
            attached,
            environment: exec.environment,
        };
        let Self { read, write, decoder } = self;
        let output = async {
            write.write_all(&reply(&started)).await?;
            exec.follow(from, write).await
        };
        tokio::select! {
            // The end is looked at first: a caller that leaves right after it has seen it all.
            biased;
            sent = output => sent.is_ok(),
            () = take_input(read, decoder, exec) => false,
        }
    }

    /// Sends copies of the gateway's listeners.
    async fn hand_over(&mut self, init: &Init) -> Result<(), Refusal> {
        let bytes = reply(&InitReply::Done);
        let fds: Vec<_> = init.gateway_fds.iter().take(FDS_MAX).map(|fd| fd.as_fd()).collect();
        let stream: &UnixStream = self.write.as_ref();
        let sent = stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !fds.is_empty() {
                    control.push(SendAncillaryMessage::ScmRights(&fds));
                }
                let slices = [io::IoSlice::new(&bytes)];
                Ok(sendmsg(stream, &slices, &mut control, SendFlags::NOSIGNAL)?)
            })
            .await
            .map_err(|err| Refusal::new("io", err.to_string()))?;
        if sent < bytes.len() {
            let rest = self.write.write_all(&bytes[sent..]).await;
            rest.map_err(|err| Refusal::new("io", err.to_string()))?;
        }
        Ok(())
    }
}

/// Resolves when the caller has left; what it still says is nothing to us.
async fn left(read: &mut OwnedReadHalf) {
    let mut buf = [0u8; 64];
    while matches!(read.read(&mut buf).await, Ok(1..)) {}
}

/// Takes frames until the caller leaves (or says what nobody understands).
async fn take_input(read: &mut OwnedReadHalf, decoder: &mut Decoder, exec: &Rc<Exec>) {
    let mut buf = Vec::new();
    loop {
        loop {
            match decoder.next_frame() {
                Ok(Some((FrameKind::Stdin, bytes))) => {
                    if !give(read, exec, bytes).await {
                        return;
                    }
                }
                Ok(Some((FrameKind::Json, payload))) => match serde_json::from_slice(&payload) {
                    Ok(input) => obey(exec, &input),
                    Err(_) => return,
                },
                Ok(Some((FrameKind::Stdout | FrameKind::Stderr, _))) | Err(_) => return,
                Ok(None) => break,
            }
        }
        buf.clear();
        buf.reserve(READ_BYTES);
        match read.read_buf(&mut buf).await {
            Ok(0) | Err(_) => return,
            Ok(_) => decoder.push(&buf),
        }
    }
}

/// Hands input to the program; false when the caller left while the program took none.
async fn give(read: &OwnedReadHalf, exec: &Exec, bytes: Vec<u8>) -> bool {
    let Some(queue) = exec.stdin.borrow().clone() else { return true };
    loop {
        tokio::select! {
            place = queue.reserve() => {
                if let Ok(place) = place {
                    place.send(bytes);
                }
                return true;
            }
            () = sleep(STALLED_LOOK) => {
                let now = read.as_ref().ready(Interest::READABLE | Interest::WRITABLE).await;
                if now.is_ok_and(Ready::is_write_closed) {
                    return false;
                }
            }
        }
    }
}

fn obey(exec: &Exec, input: &InitInput) {
    match input {
        InitInput::Resize(size) => exec.resize(*size),
        InitInput::Signal { signal } => {
            if let Some(signal) = Signal::from_named_raw(*signal) {
                exec.signal(signal);
            }
        }
        InitInput::CloseStdin => {
            if exec.pty {
                // A terminal has no end; Ctrl-D is how it says one.
                if let Some(queue) = &*exec.stdin.borrow() {
                    let _ = queue.try_send(vec![END_OF_INPUT]);
                }
            } else {
                exec.stdin.borrow_mut().take();
            }
        }
    }
}

/// Ctrl-D.
const END_OF_INPUT: u8 = 4;
