//! What a disk says of itself at a bridge's start: it went back to a checkpoint, or it was grown from
//! another project's. Acted on before anything is served; every step may be the last one of this
//! process, and the next bridge goes on from it. The ticket goes last.

mod files;
mod restore;

use super::{AgentRuntime, RuntimeError, blocking, failed};
use files::remove_queues;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_agent::session::{Index, Session, SessionError, WentBack};
use toft_model::{
    checkpoint::{Place, SESSIONS_BEFORE, TICKET_PATH, Ticket},
    event::{EventBody, Forked},
};

/// Closes what the checkpoint was in the middle of.
const CUT_BY_CHECKPOINT: &str = "Not finished: the checkpoint was taken while this was under way, \
                                 and it was not gone on with. Say \"go on\" to continue.";

/// Closes what a fork's origin was in the middle of.
const CUT_BY_FORK: &str = "Not finished: this copy was made while the agent worked, and only the \
                           original went on. Say \"go on\" to continue here.";

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
    pub(super) fn step(&self) {
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
