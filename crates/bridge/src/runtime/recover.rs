//! After a start: the log is brought up to the session files, what was shown and never became whole
//! is voided, and work that was cut goes on.
//!
//! `told.json` beside the log says what was told up to a number, so that only newer lines of the
//! log are read. Without it the whole log is.

use super::{
    AgentRuntime, RuntimeError, blocking, failed, intents::IntentFiles, memory::replace_file,
    tickets,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_agent::{
    Command,
    session::{Listed, Step},
    shown::Shown,
};
use toft_model::{
    checkpoint::Ticket,
    event::{BridgeStarted, EventBody},
    id::SessionId,
};

const TOLD_FILE: &str = "told.json";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Told {
    seq: u64,
    sessions: HashMap<SessionId, Shown>,
}

impl AgentRuntime {
    /// See the module.
    pub(super) async fn recover(self: &Arc<Self>) -> Result<(), RuntimeError> {
        let home = PathBuf::from(&self.boot.home);
        let ticket =
            blocking(move || tickets::read(&home)).await.map_err(failed("reading the ticket"))?;
        let forked = matches!(ticket, Some(Ticket::Fork { .. }));
        // Until its ticket is gone a fork has told nothing of its conversations.
        let fresh_log = self.log.last_seq() == 0 || forked;
        if let Some(ticket) = &ticket {
            self.begin_fork(ticket).await?;
        }
        let (log, path) = (self.log.clone(), self.told_path());
        let mut told = blocking(move || read_told(&log, &path))
            .await
            .map_err(failed("reading the event log"))?;
        if let Some(ticket) = &ticket {
            self.go_back(ticket, &mut told).await?;
        }
        let why_cut = ticket.as_ref().map(tickets::why_cut);
        let listed = self.list().await?;
        if fresh_log {
            // A new log beside old sessions (a fork, a restore elsewhere): their history comes from
            // their messages and is no news. One without messages was just made.
            for one in listed.iter().filter(|one| one.message_count > 0) {
                told.entry(one.id.clone()).or_default().settle(one.lines);
            }
        }
        let mut resumed = Vec::new();
        let mut keep: Vec<String> = Vec::new();
        let mut tasks = Vec::new();
        {
            let mut open = self.open.lock().await;
            for one in &listed {
                let shown = told.remove(&one.id).unwrap_or_default();
                if let Some(handle) = self.bring_up(&mut open, one, shown, why_cut).await? {
                    keep.push(format!("{}.", one.id));
                    match &one.task {
                        // A task goes on when its call does.
                        Some(task) => tasks.push((task.clone(), handle)),
                        None => resumed.push((one.id.clone(), handle)),
                    }
                }
            }
            if self.memory.current().is_none() {
                self.another_in(&mut open).await?;
            }
        }
        let listed = self.list().await?;
        let sessions: BTreeMap<String, u64> =
            listed.iter().map(|one| (one.id.to_string(), one.lines)).collect();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let started = EventBody::BridgeStarted(BridgeStarted { version, sessions });
        let seq = self.log.append(None, started);
        let kept = self.keep_told(seq, &listed).await;
        if ticket.is_some() && kept {
            self.cut_runs().await?;
            self.drop_ticket().await?;
        }

        let log_dir = PathBuf::from(&self.boot.log_dir);
        let sweep = move || {
            IntentFiles::sweep(&log_dir, |run_id| keep.iter().any(|id| run_id.starts_with(id)))
        };
        if let Err(error) = blocking(sweep).await {
            tracing::warn!(%error, "old intents cannot be removed");
        }
        for (task, handle) in tasks {
            let parent = resumed.iter().find(|(id, _)| *id == task.parent);
            let open = parent.is_some_and(|(_, parent)| {
                let (_, calls) = parent.conversation().session().open_calls();
                calls.iter().any(|(_, call)| call.id == task.call_id)
            });
            if !open {
                // Its call was closed without it. Nobody waits for the end of what it left.
                tokio::spawn(async move {
                    let abort = |reply| Command::Abort { clear_queue: true, reply };
                    if let Err(error) = handle.ask(abort).await {
                        tracing::warn!(%error, "a task whose call is over could not be closed");
                    }
                });
            }
        }
        for (id, handle) in resumed {
            if let Err(error) = handle.resume().await {
                tracing::warn!(session = %id, %error, "a session cannot be gone on with");
            }
        }
        Ok(())
    }

    /// Opens a session if there is something to tell of it or to go on with; tells it. With
    /// `why_cut` nothing is gone on with: what was cut is closed, and says so.
    async fn bring_up(
        &self,
        open: &mut HashMap<SessionId, toft_agent::Handle>,
        one: &Listed,
        mut shown: Shown,
        why_cut: Option<&str>,
    ) -> Result<Option<toft_agent::Handle>, RuntimeError> {
        // A file that lost lines, for example one removed inside before a restore brought it back.
        shown.lines = shown.lines.min(one.lines);
        let news = shown.lines < one.lines || shown.is_open() || !shown.created;
        let waiting = one.path.with_extension("queue.json").exists();
        if !news && !one.maybe_unfinished && !waiting {
            return Ok(None);
        }
        self.told().insert(one.id.clone(), shown);
        let handle = match self.open_in(open, &one.id).await {
            Ok(handle) => handle,
            Err(error) => {
                // One damaged file must not keep the others from working.
                tracing::warn!(session = %one.id, %error, "a session cannot be opened");
                return Ok(None);
            }
        };
        let conversation = handle.conversation();
        if let Some(why) = why_cut {
            // Not closed it would be gone on with: then the next start tries again.
            conversation.close(why).await?;
            conversation.settle();
            return Ok(None);
        }
        conversation.catch_up();
        let told = conversation.told();
        conversation.settle();
        let unfinished = conversation.session().step() != Step::Rest;
        Ok((unfinished || told.is_open() || waiting).then_some(handle))
    }

    /// Keeps what was told up to `seq`. Says whether it is on disk.
    async fn keep_told(&self, seq: u64, listed: &[Listed]) -> bool {
        let mut sessions = HashMap::new();
        let open = self.open.lock().await;
        for one in listed {
            let shown = if let Some(handle) = open.get(&one.id) {
                handle.conversation().told()
            } else {
                let mut shown = Shown::default();
                shown.settle(one.lines);
                shown
            };
            sessions.insert(one.id.clone(), shown);
        }
        drop(open);
        let path = self.told_path();
        let write = move || replace_file(&path, &serde_json::to_vec(&Told { seq, sessions })?);
        let kept = blocking(write).await;
        if let Err(error) = &kept {
            tracing::warn!(%error, "the next start will read more of the event log");
        }
        kept.is_ok()
    }

    fn told_path(&self) -> PathBuf {
        Path::new(&self.boot.log_dir).join(TOLD_FILE)
    }
}

fn read_told(
    log: &crate::log::EventLog,
    path: &Path,
) -> std::io::Result<HashMap<SessionId, Shown>> {
    let told: Told = std::fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        // Newer than the log: the log lost its end with the power, and the file is not about it.
        .filter(|told: &Told| told.seq <= log.last_seq())
        .unwrap_or_default();
    let mut sessions = told.sessions;
    log.visit(told.seq, |event| {
        if let Some(session) = &event.session {
            sessions.entry(session.clone()).or_default().take(&event.body);
        }
    })?;
    Ok(sessions)
}
