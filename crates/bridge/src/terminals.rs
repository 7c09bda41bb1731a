//! Terminals: programs on a pty in init, with ids `term-…`. They outlive the bridge; a new one
//! finds them in init's list. What is kept of their output is shown again on attach.

use crate::{
    answer::{Failure, Refused, done},
    asked::Named,
    body::{BODY_BYTES_MAX, body},
    log::EventLog,
    shell::InitShell,
};
use axum::{
    Router,
    extract::{
        DefaultBodyLimit, Request, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
    routing::{delete, get},
};
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitStream};
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};
use toft_machine::init_client::{ExecEvent, ExecHandle, ExecInput};
use toft_model::{
    event::EventBody,
    id::random_hex,
    init::{ExecExit, ExecSpec, ExecStatus, PtySize},
};
use toft_tools::host::{Shell as _, ShellError};

/// How ids of terminals begin.
pub(crate) const ID_PREFIX: &str = "term-";

/// Terminals open at once; a screen holds a dozen.
const TERMINALS_MAX: usize = 64;

/// Output shown again on attach: what init keeps in memory (`docs/http-api.md`).
const REPLAY_BYTES: u64 = 256 << 10;

/// Output of terminals kept on disk: only enough to bridge a replay.
const SPILL_BYTES_MAX: u64 = 1 << 20;

/// Between TERM and KILL when a terminal is closed.
const CLOSE_GRACE_MS: u64 = 200;

/// The person's shell, or the next best one: a small image may have no bash.
const PERSONS_SHELL: &str = "command -v \"${SHELL:-bash}\" >/dev/null && exec \"${SHELL:-bash}\" -l; \
     command -v bash >/dev/null && exec bash -l; exec sh -l";

/// Largest size that programs cope with.
const SIDE_MAX: u16 = 1_000;

/// What may be pasted into a terminal at once.
const INPUT_BYTES_MAX: usize = 1 << 20;

/// See the module.
pub(crate) struct Terminals {
    shell: InitShell,
    log: EventLog,
    /// Those whose end is waited for.
    watched: Mutex<HashSet<String>>,
}

impl Terminals {
    pub(crate) fn new(shell: InitShell, log: EventLog) -> Arc<Self> {
        Arc::new(Self { shell, log, watched: Mutex::new(HashSet::new()) })
    }

    /// Finds the terminals that an earlier bridge opened, those that ended meanwhile included.
    pub(crate) async fn adopt(self: &Arc<Self>) {
        match self.shell.list().await {
            Ok(all) => {
                for exec in all.into_iter().filter(|e| e.id.starts_with(ID_PREFIX)) {
                    self.watch(exec.id);
                }
            }
            Err(err) => tracing::warn!(error = %err, "open terminals could not be listed"),
        }
    }

    async fn open(self: &Arc<Self>, request: Open) -> Result<String, Refused> {
        let command = "open_terminal";
        let running = self.running().await.map_err(|err| Failure::machine(&err).of(command))?;
        if running.len() >= TERMINALS_MAX {
            return Err(Failure::conflict(format!(
                "{TERMINALS_MAX} terminals are open; close one first"
            ))
            .of(command));
        }
        let id = format!("{ID_PREFIX}{}", random_hex(4));
        let (how, script, label) = match request.command {
            Some(text) => ("-lc", text.clone(), text),
            None => ("-c", PERSONS_SHELL.to_owned(), "shell".to_owned()),
        };
        let argv = vec!["sh".to_owned(), how.to_owned(), script];
        let spec = ExecSpec {
            id: Some(id.clone()),
            argv,
            cwd: request.cwd,
            env: Vec::new(),
            pty: Some(size(request.cols, request.rows)),
            merge_stderr: true,
            detach: true,
            stdin: true,
            spill_bytes_max: SPILL_BYTES_MAX,
            label: Some(label.clone()),
            read_only: false,
            receipt: None,
        };
        self.shell.exec(spec).await.map_err(|err| Failure::machine(&err).of(command))?;
        self.log.append(None, EventBody::TerminalOpened { id: id.clone(), label });
        self.watch(id.clone());
        Ok(id)
    }

    async fn running(&self) -> Result<Vec<ExecStatus>, ShellError> {
        let mut all = self.shell.list().await?;
        all.retain(|e| e.id.starts_with(ID_PREFIX) && e.exit.is_none());
        Ok(all)
    }

    /// Waits for the end in the background, tells of it, and lets init forget the terminal.
    fn watch(self: &Arc<Self>, id: String) {
        if !self.watched().insert(id.clone()) {
            return;
        }
        let this = Arc::clone(self);
        // Ends with the terminal, or with the link to init, which is as long as the bridge.
        tokio::spawn(async move {
            let ended = this.ended(&id).await;
            this.watched().remove(&id);
            if ended {
                this.log.append(None, EventBody::TerminalClosed { id: id.clone() });
                if let Err(err) = this.shell.forget(&id).await {
                    tracing::debug!(error = %err, exec.id = %id, "a terminal was forgotten already");
                }
            }
        });
    }

    async fn ended(&self, id: &str) -> bool {
        // From a byte that never comes: only the end is of interest.
        let Ok(mut handle) = self.shell.attach(id, u64::MAX).await else { return false };
        loop {
            match handle.next().await {
                Ok(Some(ExecEvent::Exit(_))) => return true,
                Ok(Some(ExecEvent::Stdout(_) | ExecEvent::Stderr(_) | ExecEvent::Gap(_))) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Routes below `/toft`.
pub(crate) fn router(terminals: Arc<Terminals>) -> Router {
    Router::new()
        .route("/terminals", get(list).post(open))
        .route("/terminals/{id}", delete(close).get(attach))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(terminals)
}

async fn list(State(terminals): State<Arc<Terminals>>) -> Result<Response, Refused> {
    let command = "list_terminals";
    let running = terminals.running().await.map_err(|err| Failure::machine(&err).of(command))?;
    let terminals: Vec<_> = running
        .iter()
        .map(|e| {
            json!({
                "id": e.id, "label": e.label, "pid": e.pid, "startedAt": e.started_at,
                "cols": e.size.map(|s| s.cols), "rows": e.size.map(|s| s.rows),
            })
        })
        .collect();
    Ok(done(command, json!({ "terminals": terminals })))
}

/// Body of `POST terminals`.
#[derive(Deserialize)]
struct Open {
    cols: u16,
    rows: u16,
    cwd: Option<String>,
    command: Option<String>,
}

async fn open(
    State(terminals): State<Arc<Terminals>>,
    request: Request,
) -> Result<Response, Refused> {
    let command = "open_terminal";
    let wish: Open = body(request).await.map_err(|failure| failure.of(command))?;
    let id = terminals.open(wish).await?;
    Ok(done(command, json!({ "id": id })))
}

async fn close(
    State(terminals): State<Arc<Terminals>>,
    Named(id): Named,
) -> Result<Response, Refused> {
    let command = "close_terminal";
    check_id(command, &id)?;
    let killed = terminals.shell.kill(&id, CLOSE_GRACE_MS).await;
    killed.map_err(|err| Failure::machine(&err).of(command))?;
    Ok(done(command, json!({})))
}

async fn attach(
    State(terminals): State<Arc<Terminals>>,
    Named(id): Named,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Refused> {
    let command = "attach_terminal";
    check_id(command, &id)?;
    let upgrade = upgrade.map_err(|_| {
        Failure::invalid("a terminal is spoken to over a WebSocket: ask for an upgrade").of(command)
    })?;
    let all = terminals.shell.list().await.map_err(|err| Failure::machine(&err).of(command))?;
    let exec = all.into_iter().find(|e| e.id == id).ok_or_else(|| unknown(command))?;
    let from = exec.output_bytes.saturating_sub(REPLAY_BYTES);
    let handle = terminals.shell.attach(&id, from).await;
    let handle = handle.map_err(|err| Failure::machine(&err).of(command))?;
    Ok(upgrade.max_message_size(INPUT_BYTES_MAX).on_upgrade(move |socket| talk(socket, handle)))
}

fn check_id(command: &'static str, id: &str) -> Result<(), Refused> {
    if id.starts_with(ID_PREFIX) { Ok(()) } else { Err(unknown(command)) }
}

fn unknown(command: &'static str) -> Refused {
    Failure::not_found("there is no such terminal; it may have ended. Open a new one").of(command)
}

/// Carries bytes both ways until the terminal ends or the person leaves.
async fn talk(socket: WebSocket, mut handle: ExecHandle) {
    let input = handle.input();
    let (mut to, from) = socket.split();
    let output = async {
        loop {
            match handle.next().await {
                Ok(Some(ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes))) => {
                    if to.send(Message::Binary(bytes)).await.is_err() {
                        return;
                    }
                }
                Ok(Some(ExecEvent::Gap(_))) => {}
                Ok(Some(ExecEvent::Exit(exit))) => {
                    let _ = to.send(Message::Text(ending(&exit).into())).await;
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        let _ = to.close().await;
    };
    tokio::select! {
        // Output first: the last words of a shell are sent before its end closes the socket.
        biased;
        () = output => {}
        () = listen(from, input) => {}
    }
}

fn ending(exit: &ExecExit) -> String {
    json!({"type": "exit", "code": exit.code, "signal": exit.signal}).to_string()
}

/// What a client may say in text.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Said {
    /// The window has another size.
    Resize { cols: u16, rows: u16 },
}

async fn listen(mut from: SplitStream<WebSocket>, input: ExecInput) {
    while let Some(Ok(message)) = from.next().await {
        let taken = match message {
            Message::Binary(bytes) => input.stdin(&bytes).await,
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(Said::Resize { cols, rows }) => input.resize(size(cols, rows)).await,
                // Text that is no command is not typed either: it was meant to be one.
                Err(_) => Ok(()),
            },
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => return,
        };
        if taken.is_err() {
            return;
        }
    }
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { cols: cols.clamp(1, SIDE_MAX), rows: rows.clamp(1, SIDE_MAX) }
}
