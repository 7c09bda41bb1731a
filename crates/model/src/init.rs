//! The protocol of `toft init`, version 1: one connection per operation on a unix socket. The
//! caller sends one JSON frame with an [`InitRequest`]; init answers with frames as each
//! operation says. Spoken by the server (from the host) and by the bridge (inside).

use crate::{
    id::SessionId,
    receipt::{Receipt, ReceiptFor, Tree},
    secret::{Environment, SecretText},
};
use serde::{Deserialize, Serialize};

/// Version of this protocol; a bridge of another version than its init says so and goes on
/// if the other's is lower.
pub const INIT_PROTOCOL: u32 = 1;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum InitRequest {
    /// Answers one [`InitReply::Hello`].
    Hello,
    /// Runs a program. Answers [`InitReply::Started`], then output frames, then
    /// [`InitReply::Exit`]. The caller may send `Stdin` frames and [`InitInput`]s as JSON frames.
    Exec(ExecSpec),
    /// Follows one that was started with an id. Answers as `Exec` does, output from byte `from`.
    Attach {
        /// Its id.
        id: String,
        /// First byte of output wanted; earlier ones are skipped.
        from: u64,
    },
    /// Answers one [`InitReply::List`].
    List,
    /// Ends a program and everything that it started (TERM, then KILL after `grace_ms`), wherever
    /// its children hid. Answers [`InitReply::Done`] once none is left.
    Kill {
        /// Its id.
        id: String,
        /// Milliseconds between TERM and KILL; 0 means KILL at once.
        grace_ms: u64,
    },
    /// Drops what is kept of a program that has ended. Answers [`InitReply::Done`].
    Forget {
        /// Its id.
        id: String,
    },
    /// Programs that are started from now on find these variables, between the machine's own and
    /// those that a request adds. Kept in init's memory only. Answers [`InitReply::Done`].
    SetEnvironment(Environment),
    /// Answers one [`InitReply::Environment`]: at once without `known`, else as soon as there is another
    /// one.
    Environment {
        /// The revision that the caller has.
        known: Option<u64>,
        /// The generation that the caller has; without it, only another revision is another one.
        #[serde(default)]
        generation: Option<u64>,
    },
    /// Answers [`InitReply::Done`] with copies of `InitBoot::gateway_fds` as `SCM_RIGHTS`.
    GatewayListeners,
    /// Answers one [`InitReply::Receipts`]: the newest ones of this conversation.
    Receipts {
        /// Which one.
        session_id: SessionId,
    },
    /// Answers one [`InitReply::ReceiptNews`], as soon as there is news of a receipt with checks.
    ReceiptNews {
        /// What the caller has dealt with. Without it: what the caller before it said last.
        told: Option<u64>,
    },
    /// Reads the project's tree. Answers one [`InitReply::Tree`].
    Tree,
    /// Ends the bridge; init starts it again. Answers [`InitReply::Done`].
    RestartBridge,
    /// Ends everything and exits. Answers [`InitReply::Done`] just before.
    Stop {
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
}

/// A program to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecSpec {
    /// Name to find it again, `[A-Za-z0-9_.:-]{1,128}`. Starting a known id attaches to it instead
    /// (from byte 0): a retried request never runs twice. None: not kept after it ended.
    pub id: Option<String>,
    /// Program and arguments; the program is looked up in `PATH`.
    pub argv: Vec<String>,
    /// Working directory; the project's folder when absent.
    pub cwd: Option<String>,
    /// Added to (and overriding) the machine's work environment.
    pub env: Vec<(String, String)>,
    /// Run it on a terminal of this size.
    pub pty: Option<PtySize>,
    /// One stream for both outputs, in the order they were written. Implied by `pty`.
    pub merge_stderr: bool,
    /// Goes on when the caller's connection ends. Otherwise it is killed then.
    pub detach: bool,
    /// Gets an open, empty standard input when false; otherwise the caller's frames.
    pub stdin: bool,
    /// Keep at most this much of its output on disk; what comes later is still streamed, and its
    /// last 256 KiB are kept in memory. 0 means the default of 64 MiB.
    pub spill_bytes_max: u64,
    /// What people see in the process list; `argv` when absent.
    pub label: Option<String>,
    /// Run it, and all that it starts, where it can change no file: every mount is read-only but empty
    /// ones of their own at `/tmp`, `/var/tmp` and `/dev/shm`, and its environment lacks the project
    /// token. `Failed` with `not_read_only` where [`InitReply::Hello`] does not say that this can be. An
    /// older init takes no notice of it, so ask first.
    pub read_only: bool,
    /// Keep a receipt of it, for this call. An older init takes no notice of it.
    pub receipt: Option<ReceiptFor>,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PtySize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// What a caller may say while a program runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum InitInput {
    /// The terminal has a new size.
    Resize(PtySize),
    /// Send a signal to the program's process group.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// End of standard input.
    CloseStdin,
}

/// What init says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum InitReply {
    /// Who it is.
    Hello {
        /// [`INIT_PROTOCOL`].
        protocol: u32,
        /// Version of the binary.
        version: String,
        /// Pid of the bridge inside the machine, when it runs.
        bridge_pid: Option<u32>,
        /// How often the bridge was started.
        bridge_starts: u32,
        /// Whether it starts programs as [`ExecSpec::read_only`]. An older init says no.
        #[serde(default)]
        read_only: bool,
    },
    /// The program runs (or ran: an `Exit` follows its output).
    Started {
        /// Its id, made by init when none was given.
        id: String,
        /// Pid inside the machine.
        pid: u32,
        /// Whether the id was known and this attached to it.
        attached: bool,
        /// Revision of the environment that it was started with.
        #[serde(default)]
        environment: u64,
    },
    /// Output that is no longer kept was skipped.
    Gap {
        /// First byte that follows.
        to: u64,
    },
    /// It ended, and all kept output was sent.
    Exit(ExecExit),
    /// See [`InitRequest::List`].
    List {
        /// Running ones and kept ended ones, oldest first.
        execs: Vec<ExecStatus>,
    },
    /// See [`InitRequest::Environment`].
    Environment {
        /// What programs get.
        #[serde(flatten)]
        environment: Environment,
        /// Another one with each that is set, also at the same revision. An older init says none.
        #[serde(default)]
        generation: Option<u64>,
        /// What programs got before, as far as it is known: still secret. An older init says none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        before: Vec<(String, SecretText)>,
    },
    /// See [`InitRequest::Receipts`].
    Receipts {
        /// Oldest first.
        receipts: Vec<Receipt>,
    },
    /// See [`InitRequest::ReceiptNews`].
    ReceiptNews {
        /// To be said next time.
        told: u64,
        /// In the order in which they came to be as they are.
        receipts: Vec<Receipt>,
    },
    /// See [`InitRequest::Tree`].
    Tree {
        /// How it is now; `None`: it could not be read.
        tree: Option<Tree>,
    },
    /// Done, nothing more to say.
    Done,
    /// It could not be done.
    Failed {
        /// `not_found`, `invalid`, `spawn`, `not_executable`, `not_read_only`, `process_limit`, `io`.
        code: String,
        /// What happened and what to do.
        message: String,
    },
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecExit {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Signal number that ended it.
    pub signal: Option<i32>,
    /// Bytes of output in all.
    pub output_bytes: u64,
    /// Whether not all of it was kept on disk.
    pub truncated: bool,
    /// File with the kept output (merged in order of arrival), as seen inside the machine.
    pub output_path: Option<String>,
    /// Milliseconds it ran.
    pub duration_ms: u64,
}

/// One program in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecStatus {
    /// Its id.
    pub id: String,
    /// Pid inside the machine.
    pub pid: u32,
    /// What people see.
    pub label: String,
    /// Whether it has a terminal.
    pub pty: bool,
    /// Size of the terminal now, if it has one.
    #[serde(default)]
    pub size: Option<PtySize>,
    /// Whether it can be given input. An older init says none.
    #[serde(default)]
    pub stdin: bool,
    /// Whether it can change no file ([`ExecSpec::read_only`]).
    #[serde(default)]
    pub read_only: bool,
    /// Unix milliseconds.
    pub started_at: u64,
    /// Bytes of output so far.
    pub output_bytes: u64,
    /// Revision of the environment that it was started with.
    #[serde(default)]
    pub environment: u64,
    /// How it ended, if it did.
    pub exit: Option<ExecExit>,
}
