//! One program that init runs: its output, its input, its end, and the readers that follow it.
//! Starting it is in `spawn`, ending it with all its children in `end`.

use super::{
    groups::OwnGroup,
    output::{OutputLog, Piece, Stream},
};
use rustix::process::{Pid, Signal, WaitStatus, kill_process_group};
use std::{
    cell::{Cell, RefCell},
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};
use toft_model::{
    frame::{FrameKind, encode},
    init::{ExecExit, ExecStatus, InitReply, PtySize},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::unix::OwnedWriteHalf,
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::timeout,
};

/// Read from a program and put into a frame at once: a pipe's own capacity.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// Output sent to a follower in one write.
const BATCH_BYTES: usize = 128 << 10;

/// A follower of a named program that takes nothing for this long no longer holds the program
/// back, and gets a gap when it comes again. Far above any scheduling delay; a person who looks at
/// a stuck page loses output of the past, the program loses nothing.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// A program.
pub(super) struct Exec {
    /// Its name, or one that init made.
    pub(super) id: String,
    /// Whether a caller named it: then it is kept after its end.
    pub(super) named: bool,
    /// Order of start.
    pub(super) number: u64,
    /// Its pid, which is also its session and process group.
    pub(super) pid: Pid,
    /// What people see.
    pub(super) label: String,
    /// Unix milliseconds.
    pub(super) started_at: u64,
    /// Revision of the environment that it was started with.
    pub(super) environment: u64,
    /// Whether it only reads.
    pub(super) read_only: bool,
    /// The same moment on the clock that only goes forward.
    pub(super) started: Instant,
    /// Whether it runs on a terminal.
    pub(super) pty: bool,
    /// The terminal's master side, while anything has that terminal open.
    pub(super) terminal: RefCell<Option<OwnedFd>>,
    /// The terminal's size.
    pub(super) size: Cell<Option<PtySize>>,
    /// Its own control group, when there is one.
    pub(super) group: Option<OwnGroup>,
    /// What it printed.
    pub(super) output: RefCell<OutputLog>,
    /// How it ended, once all its output is in.
    pub(super) exit: RefCell<Option<ExecExit>>,
    /// Whether its first process was reaped: its pid may belong to another one then.
    pub(super) reaped: Cell<bool>,
    /// Bytes on their way to its standard input.
    pub(super) stdin: RefCell<Option<mpsc::Sender<Vec<u8>>>>,
    /// The task that writes them.
    pub(super) stdin_task: RefCell<Option<AbortHandle>>,
    /// Outputs that are still open.
    pub(super) open_outputs: Cell<u8>,
    /// Output came, an output closed, or the program ended.
    pub(super) changed: Notify,
    /// A follower went on or left.
    pub(super) drained: Notify,
    /// Where its followers are.
    pub(super) cursors: RefCell<Vec<Rc<Cursor>>>,
}

/// Where a follower is.
#[derive(Debug)]
pub(super) struct Cursor {
    at: Cell<u64>,
    slow: Cell<bool>,
}

impl Exec {
    /// Takes output.
    pub(super) fn append(&self, stream: Stream, bytes: &[u8]) {
        self.output.borrow_mut().append(stream, bytes);
        self.changed.notify_waiters();
    }

    /// An output reached its end.
    pub(super) fn output_closed(&self) {
        self.open_outputs.set(self.open_outputs.get().saturating_sub(1));
        if self.open_outputs.get() == 0 {
            self.terminal.borrow_mut().take();
        }
        self.changed.notify_waiters();
    }

    /// Returns when every output is closed.
    pub(super) async fn outputs_closed(&self) {
        loop {
            let changed = self.changed.notified();
            if self.open_outputs.get() == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Holds the reading of output while a live follower would lose some of it.
    pub(super) async fn wait_for_followers(&self) {
        loop {
            let drained = self.drained.notified();
            let Some(cursor) = self.behind() else { return };
            if !self.named {
                // Nobody but its caller ever sees this output, and the program dies with the
                // caller: wait as long as it takes.
                drained.await;
                continue;
            }
            let at = cursor.at.get();
            if timeout(SLOW_AFTER, drained).await.is_err() && cursor.at.get() == at {
                cursor.slow.set(true);
            }
        }
    }

    /// A follower that would lose output if a piece were read now.
    fn behind(&self) -> Option<Rc<Cursor>> {
        let cursors = self.cursors.borrow();
        if cursors.is_empty() {
            return None;
        }
        let output = self.output.borrow();
        cursors
            .iter()
            .find(|c| !c.slow.get() && output.would_lose(c.at.get(), PIECE_BYTES as u64))
            .cloned()
    }

    /// The program's process ended and its output is in, or was waited for long enough.
    pub(super) fn finish(&self, status: WaitStatus, ran: Duration) -> ExecExit {
        let mut output = self.output.borrow_mut();
        let exit = ExecExit {
            code: status.exit_status(),
            signal: status.terminating_signal(),
            output_bytes: output.total(),
            truncated: output.truncated(),
            output_path: output.path().map(|p| p.to_string_lossy().into_owned()),
            duration_ms: u64::try_from(ran.as_millis()).unwrap_or(u64::MAX),
        };
        *self.exit.borrow_mut() = Some(exit.clone());
        self.stdin.borrow_mut().take();
        if let Some(task) = self.stdin_task.borrow_mut().take() {
            task.abort();
        }
        output.settle();
        drop(output);
        self.changed.notify_waiters();
        exit
    }

    /// Whether it ended.
    pub(super) fn ended(&self) -> bool {
        self.exit.borrow().is_some()
    }

    /// Its line in the list.
    pub(super) fn status(&self) -> ExecStatus {
        ExecStatus {
            id: self.id.clone(),
            pid: raw(self.pid),
            label: self.label.clone(),
            pty: self.pty,
            size: self.size.get(),
            stdin: self.stdin.borrow().is_some(),
            started_at: self.started_at,
            output_bytes: self.output.borrow().total(),
            environment: self.environment,
            read_only: self.read_only,
            exit: self.exit.borrow().clone(),
        }
    }

    /// Signals its process group, while that is surely its own.
    pub(super) fn signal(&self, signal: Signal) {
        if !self.reaped.get() {
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Gives its terminal another size.
    pub(super) fn resize(&self, size: PtySize) {
        if let Some(terminal) = &*self.terminal.borrow() {
            let _ = rustix::termios::tcsetwinsize(terminal, window(size));
            self.size.set(Some(size));
        }
    }

    /// Sends output from byte `from` on, then the end. Returns when the end was sent.
    pub(super) async fn follow(
        self: &Rc<Self>,
        from: u64,
        to: &mut OwnedWriteHalf,
    ) -> std::io::Result<()> {
        let follower = Follower::new(self, from);
        // A program that has ended may have left children that still print: what they said until
        // now is shown, what they will say does not hold back the end.
        let shown_until = self.ended().then(|| self.output.borrow().total());
        let mut batch = Vec::new();
        loop {
            let changed = self.changed.notified();
            batch.clear();
            let ended = self.fill(&follower.0, shown_until, &mut batch);
            if batch.is_empty() {
                changed.await;
                continue;
            }
            to.write_all(&batch).await?;
            self.drained.notify_waiters();
            if ended {
                return Ok(());
            }
        }
    }

    /// Appends frames with what comes next, and says whether the end was among them.
    fn fill(&self, cursor: &Cursor, shown_until: Option<u64>, batch: &mut Vec<u8>) -> bool {
        let output = self.output.borrow();
        let exit = self.exit.borrow();
        let until = shown_until.or(exit.as_ref().map(|e| e.output_bytes)).unwrap_or(u64::MAX);
        while batch.len() < BATCH_BYTES {
            let at = cursor.at.get();
            let max =
                PIECE_BYTES.min(usize::try_from(until.saturating_sub(at)).unwrap_or(PIECE_BYTES));
            let head = batch.len();
            batch.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
            let piece = if max == 0 { Piece::Nothing } else { output.read(at, max, batch) };
            match piece {
                Piece::Bytes(stream, n) => {
                    write_head(&mut batch[head..], stream, n);
                    cursor.at.set(at + n as u64);
                }
                Piece::Gap(to) => {
                    batch.truncate(head);
                    batch.extend_from_slice(&reply(&InitReply::Gap { to }));
                    cursor.at.set(to);
                }
                Piece::Nothing => {
                    batch.truncate(head);
                    cursor.slow.set(false);
                    let Some(exit) = exit.as_ref() else { return false };
                    batch.extend_from_slice(&reply(&InitReply::Exit(exit.clone())));
                    return true;
                }
            }
        }
        false
    }
}

/// A follower's place among the cursors, given up when it leaves.
struct Follower<'a>(Rc<Cursor>, &'a Exec);

impl<'a> Follower<'a> {
    fn new(exec: &'a Exec, from: u64) -> Self {
        let cursor = Rc::new(Cursor { at: Cell::new(from), slow: Cell::new(false) });
        exec.cursors.borrow_mut().push(Rc::clone(&cursor));
        Self(cursor, exec)
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.1.cursors.borrow_mut().retain(|c| !Rc::ptr_eq(c, &self.0));
        self.1.drained.notify_waiters();
    }
}

/// Length and kind of a frame (`toft_model::frame`), written in front of bytes that are in place.
const FRAME_HEAD_BYTES: usize = 5;

fn write_head(at: &mut [u8], stream: Stream, payload: usize) {
    let kind = match stream {
        Stream::Out => FrameKind::Stdout,
        Stream::Err => FrameKind::Stderr,
    };
    let mut head = encode(kind, &[]);
    let len = u32::try_from(payload + 1).expect("a piece is at most PIECE_BYTES");
    head[..4].copy_from_slice(&len.to_be_bytes());
    at[..FRAME_HEAD_BYTES].copy_from_slice(&head);
}

/// A reply as a frame.
pub(super) fn reply(reply: &InitReply) -> Vec<u8> {
    encode(FrameKind::Json, &serde_json::to_vec(reply).expect("replies hold only JSON-able data"))
}

/// A terminal's size as the kernel has it.
pub(super) fn window(size: PtySize) -> rustix::termios::Winsize {
    rustix::termios::Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 }
}

/// A pid as the protocol has it.
pub(super) fn raw(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
