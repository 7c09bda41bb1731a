//! Going back to a checkpoint: of each conversation the longer file stays, and its place moves to where the
//! checkpoint had it. A file is prepared where the restore left it and takes its place in one rename, so
//! that the shorter one tells the place until then.

use super::{
    files::{longer_ones, moved, remove_queues},
    in_home, mark, name_of,
};
use crate::runtime::{AgentRuntime, RuntimeError, blocking, failed, memory::replace_file};
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
    session::{Session, SessionError},
    shown::Shown,
};
use toft_model::{
    checkpoint::{Place, SESSIONS_BEFORE, Ticket},
    event::{EventBody, Restored},
    id::SessionId,
};

/// Closes what the trace was in the middle of.
const WENT_BACK: &str =
    "Cut off here: the project went back to a checkpoint while this was under way.";

/// Extension of a longer file that is no session.
const DAMAGED: &str = "damaged";

/// Beside the log: the ticket that is told, and the last event before.
const SAYING_FILE: &str = "restored.json";

#[derive(Debug, Serialize, Deserialize)]
struct Saying {
    ticket: String,
    after: u64,
}

impl AgentRuntime {
    /// Went back to a checkpoint. `told` is what the log says of each conversation.
    pub(in crate::runtime) async fn go_back(
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
}
