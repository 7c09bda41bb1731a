//! What a disk says of itself at a bridge's start: it went back to a checkpoint, or it was grown from
//! another project's. Acted on before anything is served; every step may be the last one of this
//! process, and the next bridge goes on from it. The ticket goes last.
//!
//! Restore: of each conversation the longer file stays, and its place moves to where the checkpoint
//! had it. A file is prepared where the restore left it and takes its place in one rename, so that
//! the shorter one tells the place until then.

use super::{AgentRuntime, RuntimeError, blocking, failed, memory::replace_file};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_agent::{
    Conversation,
    session::{Index, Session, SessionError, WentBack},
    shown::Shown,
};
use toft_model::{
    checkpoint::{Place, SESSIONS_BEFORE, TICKET_PATH, Ticket},
    event::{EventBody, Forked, Moved, Restored},
    id::SessionId,
};

/// Closes what the trace was in the middle of.
const WENT_BACK: &str =
    "Cut off here: the project went back to a checkpoint while this was under way.";

/// Closes what the checkpoint was in the middle of.
const CUT_BY_CHECKPOINT: &str = "Not finished: the checkpoint was taken while this was under way, \
                                 and it was not gone on with. Say \"go on\" to continue.";

/// Closes what a fork's origin was in the middle of.
const CUT_BY_FORK: &str = "Not finished: this copy was made while the agent worked, and only the \
                           original went on. Say \"go on\" to continue here.";

/// Extension of a longer file that is no session.
const DAMAGED: &str = "damaged";

/// Beside the log: the ticket that is told, and the last event before.
const SAYING_FILE: &str = "restored.json";

#[derive(Debug, Serialize, Deserialize)]
struct Saying {
    ticket: String,
    after: u64,
}

/// A ticket is a few hundred bytes.
const TICKET_BYTES_MAX: u64 = 64 << 10;

/// The ticket that the disk carries. One that cannot be read is none: those that a host writes are
/// whole on disk before the disk is used. Blocks.
pub(super) fn read(home: &Path) -> io::Result<Option<Ticket>> {
    let path = in_home(home, TICKET_PATH);
    let bytes = match fs::symlink_metadata(&path) {
        Ok(about) if about.is_file() && about.len() <= TICKET_BYTES_MAX => fs::read(&path)?,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(ticket) => Ok(Some(ticket)),
        Err(error) => {
            tracing::warn!(%error, "a ticket that cannot be read is not acted on");
            Ok(None)
        }
    }
}

/// Why work that the disk is in the middle of is closed.
pub(super) fn why_cut(ticket: &Ticket) -> &'static str {
    match ticket {
        Ticket::Restore { .. } => CUT_BY_CHECKPOINT,
        Ticket::Fork { .. } => CUT_BY_FORK,
    }
}

impl AgentRuntime {
    /// Grown from another project: what was cut is closed, and the log begins by saying so. The
    /// history is no news.
    pub(super) async fn begin_fork(&self, ticket: &Ticket) -> Result<(), RuntimeError> {
        let Ticket::Fork { from, seq, checkpoint_id, place, .. } = ticket else { return Ok(()) };
        let dir = self.sessions_dir();
        blocking(move || remove_queues(&dir)).await.map_err(failed("dropping waiting messages"))?;
        self.step();
        self.read_sessions_anew().await?;
        for one in self.list().await? {
            let mark = mark(ticket, place.as_ref().filter(|place| place.session_id == one.id));
            if mark.is_none() && !one.maybe_unfinished {
                continue;
            }
            let now = (self.around.clock)();
            let path = one.path.clone();
            let close = move || {
                let mut session = match Session::open(&path) {
                    // One damaged file must not keep the others from working.
                    Err(SessionError::NoHeader { .. }) => return Ok(()),
                    session => session.map_err(io::Error::other)?,
                };
                if let Some(mark) = mark
                    && session.move_of(&mark.ticket).is_none()
                    && session.leaf().map(|leaf| leaf.id.clone()) != mark.entry_id
                {
                    session.go_back(mark, now).map_err(io::Error::other)?;
                }
                session.close_cut(CUT_BY_FORK, now).map_err(io::Error::other)?;
                session.sync()().map_err(io::Error::other)
            };
            blocking(close).await.map_err(failed("closing a session"))?;
            self.step();
        }
        if self.log.last_seq() == 0 {
            let forked =
                Forked { from: from.clone(), seq: *seq, checkpoint_id: checkpoint_id.clone() };
            self.log.append(None, EventBody::Forked(forked));
            self.log.sync().await;
        }
        self.step();
        Ok(())
    }

    /// Went back to a checkpoint. `told` is what the log says of each conversation.
    pub(super) async fn go_back(
        &self,
        ticket: &Ticket,
        told: &mut HashMap<SessionId, Shown>,
    ) -> Result<(), RuntimeError> {
        let Ticket::Restore { checkpoint_id, label, taken_at, place, .. } = ticket else {
            return Ok(());
        };
        let io = failed("going back in the conversations");
        let (home, dir) = (PathBuf::from(&self.boot.home), self.sessions_dir());
        let before = in_home(&home, SESSIONS_BEFORE);
        let left = {
            let (before, dir) = (before.clone(), dir.clone());
            blocking(move || {
                fs::create_dir_all(&dir)?;
                remove_queues(&dir)?;
                longer_ones(&before, &dir)
            })
            .await
            .map_err(io)?
        };
        self.step();
        for name in left {
            self.take_up(ticket, &before, &dir, &name, told).await?;
        }
        if let Some(place) = place {
            self.go_to(ticket, place, told).await?;
        }
        self.read_sessions_anew().await?;
        if !self.said(ticket).await? {
            let (dir, name) = (dir.clone(), name_of(ticket));
            let sessions = blocking(move || moved(&dir, &name))
                .await
                .map_err(failed("looking where the conversations stand"))?;
            let restored = Restored {
                checkpoint_id: checkpoint_id.clone(),
                label: label.clone(),
                taken_at: *taken_at,
                sessions,
            };
            self.log.append(None, EventBody::Restored(restored));
            self.log.sync().await;
        }
        self.step();
        Ok(())
    }

    /// Whether the log says already that this ticket was acted on; notes where to look for that.
    async fn said(&self, ticket: &Ticket) -> Result<bool, RuntimeError> {
        let path = Path::new(&self.boot.log_dir).join(SAYING_FILE);
        let (log, ticket) = (self.log.clone(), name_of(ticket));
        blocking(move || {
            let before: Option<Saying> =
                fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let mut said = false;
            if let Some(saying) = before.filter(|saying| saying.ticket == ticket) {
                log.visit(saying.after, |event| {
                    said |= matches!(event.body, EventBody::Restored(_));
                })?;
            } else {
                let saying = Saying { ticket, after: log.last_seq() };
                replace_file(&path, &serde_json::to_vec(&saying)?)?;
            }
            Ok(said)
        })
        .await
        .map_err(failed("looking what was told of a restore"))
    }

    /// A longer file: closes what it was in the middle of, moves its place to where the shorter one
    /// stands, and puts it there.
    async fn take_up(
        &self,
        ticket: &Ticket,
        before: &Path,
        dir: &Path,
        name: &str,
        told: &mut HashMap<SessionId, Shown>,
    ) -> Result<(), RuntimeError> {
        let (there, here) = (before.join(name), dir.join(name));
        let opened = {
            let (there, here) = (there.clone(), here.clone());
            blocking(move || {
                let longer = match Session::open(&there) {
                    // One damaged file must not keep the others from working, nor be lost.
                    Err(SessionError::NoHeader { .. }) => {
                        fs::rename(&there, here.with_extension(DAMAGED))?;
                        return Ok(None);
                    }
                    longer => longer.map_err(io::Error::other)?,
                };
                // What is no session, or not there, says no place.
                let shorter = match Session::open(&here) {
                    Err(SessionError::NoHeader { .. }) => None,
                    Err(_) if !here.exists() => None,
                    shorter => Some(shorter.map_err(io::Error::other)?),
                };
                Ok(Some((longer, shorter)))
            })
        };
        let opened = opened.await.map_err(failed("opening a session"))?;
        let Some((longer, shorter)) = opened else { return Ok(()) };
        let id = longer.id().clone();
        // The newest entry of the checkpoint's branch that the longer file has too.
        let to = shorter
            .as_ref()
            .and_then(|s| s.ancestors().find(|entry| longer.entry(&entry.id).is_some()))
            .map(|entry| entry.id.clone());
        let stands = longer.leaf().map(|leaf| leaf.id.clone());
        let place = Place { session_id: id.clone(), leaf_entry_id: to.clone() };
        if stands != to
            && let Some(mut mark) = mark(ticket, Some(&place))
        {
            mark.from = stands;
            let conversation = self.apart(longer, told)?;
            conversation.go_back(mark, WENT_BACK).await?;
            self.step();
            told.insert(id, conversation.told());
        }
        blocking(move || {
            File::open(&there)?.sync_data()?;
            fs::rename(&there, &here)?;
            let _ = fs::remove_file(there.with_extension("queue.json"));
            File::open(here.parent().unwrap_or(Path::new("/")))?.sync_all()
        })
        .await
        .map_err(failed("putting a session in its place"))?;
        self.step();
        Ok(())
    }

    /// Moves the conversation that is to stand elsewhere than the checkpoint has it.
    async fn go_to(
        &self,
        ticket: &Ticket,
        place: &Place,
        told: &mut HashMap<SessionId, Shown>,
    ) -> Result<(), RuntimeError> {
        self.read_sessions_anew().await?;
        let Some(one) = self.list().await?.into_iter().find(|one| one.id == place.session_id)
        else {
            return Ok(());
        };
        let path = one.path;
        let session = blocking(move || Ok(Session::open(&path)))
            .await
            .map_err(failed("opening a session"))??;
        let known = place.leaf_entry_id.as_ref().is_none_or(|id| session.entry(id).is_some());
        let stands = session.leaf().map(|leaf| leaf.id.clone());
        // A move that was made already shows the wanted place in the newest mark.
        let there = session.move_of(&name_of(ticket)).map(|(_, went)| went.entry_id);
        if !known || stands == place.leaf_entry_id || there.as_ref() == Some(&place.leaf_entry_id) {
            return Ok(());
        }
        let Some(mut mark) = mark(ticket, Some(place)) else { return Ok(()) };
        mark.from = there.is_none().then_some(stands).flatten();
        let conversation = self.apart(session, told)?;
        conversation.close(WENT_BACK).await?;
        let now = (self.around.clock)();
        conversation.session().go_back(mark, now)?;
        let sync = conversation.session().sync();
        blocking(move || Ok(sync())).await.map_err(failed("putting a session on disk"))??;
        told.insert(one.id, conversation.told());
        self.step();
        Ok(())
    }

    /// A conversation that has no actor.
    fn apart(
        &self,
        session: Session,
        told: &HashMap<SessionId, Shown>,
    ) -> Result<Arc<Conversation>, RuntimeError> {
        let shown = told.get(session.id()).cloned().unwrap_or_default();
        let conversation = Conversation::new(session, shown, Arc::clone(&self.around))
            .map_err(failed("reading waiting messages"))?;
        Ok(Arc::new(conversation))
    }

    /// Files took other files' places: what was known of them is not looked at.
    async fn read_sessions_anew(&self) -> Result<(), RuntimeError> {
        let (index, dir) = (Arc::clone(&self.index), self.sessions_dir());
        blocking(move || {
            Index::forget(&dir)?;
            *index.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Index::open(&dir);
            Ok(())
        })
        .await
        .map_err(failed("reading the sessions anew"))
    }

    /// The ticket was acted on, and all of it is on disk.
    pub(super) async fn drop_ticket(&self) -> Result<(), RuntimeError> {
        let home = PathBuf::from(&self.boot.home);
        self.step();
        blocking(move || {
            match fs::remove_dir_all(in_home(&home, SESSIONS_BEFORE)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            fs::remove_file(in_home(&home, TICKET_PATH))?;
            File::open(&home)?.sync_all()
        })
        .await
        .map_err(failed("removing the ticket"))?;
        self.step();
        Ok(())
    }

    /// Between two steps that may each be this process' last one.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests end the process here"))]
    fn step(&self) {
        #[cfg(test)]
        self.log.meet_fate_at_step();
    }
}

/// A path that is told from a machine's root, in the bridge's home.
fn in_home(home: &Path, path: &str) -> PathBuf {
    home.join(Path::new(path).file_name().unwrap_or_default())
}

/// The same for the same ticket.
fn name_of(ticket: &Ticket) -> String {
    match ticket {
        Ticket::Restore { checkpoint_id, at, .. } => format!("restore:{checkpoint_id}@{at}"),
        Ticket::Fork { from, at, .. } => format!("fork:{from}@{at}"),
    }
}

fn mark(ticket: &Ticket, place: Option<&Place>) -> Option<WentBack> {
    let entry_id = place?.leaf_entry_id.clone();
    let (checkpoint_id, label, taken_at, at) = match ticket {
        Ticket::Restore { checkpoint_id, label, at, taken_at, .. } => {
            (Some(checkpoint_id.clone()), label.clone(), Some(*taken_at), *at)
        }
        Ticket::Fork { checkpoint_id, at, .. } => (checkpoint_id.clone(), None, None, *at),
    };
    let ticket = name_of(ticket);
    Some(WentBack { entry_id, from: None, ticket, checkpoint_id, label, taken_at, at, cut: false })
}

/// Names of session files, in the order of names.
fn sessions_in(dir: &Path) -> io::Result<Vec<String>> {
    let folder = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for file in folder {
        let file = file?;
        if let Ok(name) = file.file_name().into_string()
            && Path::new(&name).extension().is_some_and(|ext| ext == "jsonl")
            && file.file_type()?.is_file()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Those of the trace before that are longer than what the checkpoint has.
fn longer_ones(before: &Path, dir: &Path) -> io::Result<Vec<String>> {
    let mut longer = Vec::new();
    for name in sessions_in(before)? {
        let here = match fs::symlink_metadata(dir.join(&name)) {
            Ok(about) => Some(about.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let there = fs::symlink_metadata(before.join(&name))?.len();
        if here.is_none_or(|here| here < there) {
            longer.push(name);
        }
    }
    Ok(longer)
}

/// Nothing that waited when a checkpoint was taken is delivered after it.
fn remove_queues(dir: &Path) -> io::Result<()> {
    let folder = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for file in folder {
        let file = file?;
        if file.file_name().to_string_lossy().ends_with(".queue.json") {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// The conversations that a ticket moved, as their files say.
fn moved(dir: &Path, ticket: &str) -> io::Result<Vec<Moved>> {
    let mut all = Vec::new();
    for name in sessions_in(dir)? {
        let path = dir.join(name);
        let bytes = fs::read(&path)?;
        if !bytes.windows(ticket.len()).any(|w| w == ticket.as_bytes()) {
            continue;
        }
        let Ok(session) = Session::open(&path) else { continue };
        let marks: Vec<WentBack> = session
            .entries()
            .iter()
            .filter_map(|entry| WentBack::of(entry).filter(|went| went.ticket == ticket))
            .collect();
        let (Some(first), Some(last)) = (marks.first(), marks.last()) else { continue };
        all.push(Moved {
            session_id: session.id().clone(),
            from_entry_id: first.from.clone(),
            to_message_id: session.message_at(last.entry_id.as_deref()),
            to_entry_id: last.entry_id.clone(),
        });
    }
    Ok(all)
}
