//! Messages that wait: for the end of the running tool (steering) or of the work (follow-up).
//! Kept in a file beside the session, on disk before anybody is told that they wait. Each has the
//! id of the entry that it will become, so one that was delivered is known by that entry.

use crate::{
    session::{QueuedAs, Session},
    surroundings::QueueMode,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
};
use toft_model::{event::QueueUpdate, message::UserContent};

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Waiting {
    /// Id of the entry that it will be.
    pub(crate) id: String,
    pub(crate) content: UserContent,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lists {
    steering: Vec<Waiting>,
    follow_up: Vec<Waiting>,
}

/// Both queues of a session.
#[derive(Debug)]
pub(crate) struct Queues {
    path: PathBuf,
    lists: Lists,
}

/// Messages that may wait in one queue: far more than people type, few enough to keep in memory.
pub(crate) const WAITING_MAX: usize = 256;

impl Queues {
    /// Where a session's queues lie.
    pub(crate) fn path_of(session: &Session) -> PathBuf {
        session.path().with_extension("queue.json")
    }

    /// Reads what waits, without what is already in the session. Blocks.
    pub(crate) fn open(session: &Session) -> io::Result<Self> {
        let path = Self::path_of(session);
        let lists: Lists = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Lists::default(),
            Err(error) => return Err(error),
        };
        let mut queues = Self { path, lists };
        queues.drop_said(session);
        Ok(queues)
    }

    /// Drops what is already in the session, in memory: the next write of the file leaves it out.
    pub(crate) fn drop_said(&mut self, session: &Session) {
        let waits = |waiting: &Waiting| session.entry(&waiting.id).is_none();
        self.lists.steering.retain(waits);
        self.lists.follow_up.retain(waits);
    }

    /// Texts of both, as people see them.
    pub(crate) fn texts(&self) -> QueueUpdate {
        let texts = |list: &[Waiting]| list.iter().map(|w| w.content.text()).collect();
        QueueUpdate {
            steering: texts(&self.lists.steering),
            follow_up: texts(&self.lists.follow_up),
        }
    }

    /// Whether one queue holds nothing.
    pub(crate) fn is_empty(&self, which: QueuedAs) -> bool {
        self.list(which).is_empty()
    }

    /// In which queue a message waits, if it does.
    pub(crate) fn holds(&self, id: &str) -> Option<QueuedAs> {
        [QueuedAs::Steer, QueuedAs::FollowUp]
            .into_iter()
            .find(|which| self.list(*which).iter().any(|waiting| waiting.id == id))
    }

    /// Those to deliver next; they stay until they are said.
    pub(crate) fn next(&self, which: QueuedAs, mode: QueueMode) -> Vec<Waiting> {
        let list = self.list(which);
        match mode {
            QueueMode::OneAtATime => list.first().cloned().into_iter().collect(),
            QueueMode::All => list.to_vec(),
        }
    }

    /// Adds one at the end; on disk when this returns. Full: `false`.
    pub(crate) async fn push(&mut self, which: QueuedAs, waiting: Waiting) -> io::Result<bool> {
        if self.list(which).len() >= WAITING_MAX {
            return Ok(false);
        }
        let mut lists = self.lists.clone();
        match which {
            QueuedAs::Steer => lists.steering.push(waiting),
            QueuedAs::FollowUp => lists.follow_up.push(waiting),
        }
        self.store(lists).await?;
        Ok(true)
    }

    /// Puts on disk what [`Queues::drop_said`] left.
    pub(crate) async fn save(&self) -> io::Result<()> {
        self.write(self.lists.clone()).await
    }

    /// Replaces all; texts that were there keep their images. Too many: `false`, and nothing changes.
    pub(crate) async fn replace(
        &mut self,
        steering: Vec<String>,
        follow_up: Vec<String>,
        mut fresh_id: impl FnMut() -> String,
    ) -> io::Result<bool> {
        if steering.len().max(follow_up.len()) > WAITING_MAX {
            return Ok(false);
        }
        let mut old: Vec<Waiting> =
            self.lists.steering.iter().chain(&self.lists.follow_up).cloned().collect();
        let mut make = |texts: Vec<String>| -> Vec<Waiting> {
            let made = texts.into_iter().map(|text| {
                match old.iter().position(|w| w.content.text() == text) {
                    Some(at) => old.remove(at),
                    None => Waiting { id: fresh_id(), content: UserContent::Text(text) },
                }
            });
            made.collect()
        };
        let lists = Lists { steering: make(steering), follow_up: make(follow_up) };
        self.store(lists).await?;
        Ok(true)
    }

    /// Drops all.
    pub(crate) async fn clear(&mut self) -> io::Result<()> {
        self.store(Lists::default()).await
    }

    fn list(&self, which: QueuedAs) -> &[Waiting] {
        match which {
            QueuedAs::Steer => &self.lists.steering,
            QueuedAs::FollowUp => &self.lists.follow_up,
        }
    }

    /// Puts the lists on disk, then makes them the current ones: an error leaves the old.
    async fn store(&mut self, lists: Lists) -> io::Result<()> {
        if lists == self.lists {
            return Ok(());
        }
        self.write(lists.clone()).await?;
        self.lists = lists;
        Ok(())
    }

    async fn write(&self, lists: Lists) -> io::Result<()> {
        let path = self.path.clone();
        let bytes = serde_json::to_vec(&lists)?;
        let empty = lists == Lists::default();
        let work = move || if empty { remove_file(&path) } else { replace_file(&path, &bytes) };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}

/// Writes a small file whole: beside it, synced, renamed, folder synced. Blocks.
pub(crate) fn replace_file(path: &std::path::Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&beside, path)?;
    sync_folder(path)
}

fn remove_file(path: &std::path::Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.and_then(|()| sync_folder(path)),
    }
}

fn sync_folder(path: &std::path::Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
