//! Several backends in one: each call goes to the one that its project is of. The server's own is open from the
//! beginning, the others when they are needed first. Each has a folder of its own below the data folder, so none
//! ever sees what another keeps.
//!
//! Which one a project is of says whoever keeps projects, by [`Backend::assign`]; nothing here is on disk.

mod absent;
mod calls;
mod part;

use crate::{
    backend::{Backend, MachineError, Part, Room, no_such},
    error::step,
    steps,
};
use futures_util::future::BoxFuture;
use part::Member;
use std::{
    collections::HashMap,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};
use toft_model::{event::LimitHit, id::ProjectId};
use tokio::{
    sync::{broadcast, watch},
    time::timeout,
};

/// Makes a backend, each time it is called.
pub type Open =
    Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Backend>, MachineError>> + Send + Sync>;

/// What opens a backend of this configuration.
pub fn opening<C, B, F>(config: C, open: impl Fn(C) -> F + Send + Sync + 'static) -> Open
where
    C: Clone + Send + Sync + 'static,
    B: Backend + 'static,
    F: Future<Output = Result<B, MachineError>> + Send + 'static,
{
    Box::new(move || -> BoxFuture<'static, Result<Arc<dyn Backend>, MachineError>> {
        let opening = open(config.clone());
        Box::pin(async move { Ok(Arc::new(opening.await?) as Arc<dyn Backend>) })
    })
}

/// A backend that is opened when it is needed.
pub struct Lazy {
    /// Its name.
    pub name: &'static str,
    /// Its folder; there once it was used.
    pub place: PathBuf,
    /// How it is opened; or why the server does not offer it, and what to do.
    pub open: Result<Open, String>,
}

/// Copying a big tree file by file, twice, or once over a line to another continent.
const CARRY_TIMEOUT: Duration = Duration::from_mins(30);
/// Limits that wait for a slow reader, of all backends: as many as of one.
const HITS: usize = 256;

/// See the module.
pub struct Several {
    /// The server's own first.
    all: Vec<Arc<Member>>,
    of: RwLock<HashMap<ProjectId, usize>>,
    /// See [`Backend::called`] and [`Backend::fenced`]: for those that are opened later.
    called: OnceLock<String>,
    fences: RwLock<HashMap<ProjectId, u64>>,
    hits: broadcast::Sender<(ProjectId, LimitHit)>,
    room: Arc<watch::Sender<Room>>,
}

impl Several {
    /// The server's own, and the others that it knows by name.
    pub fn new(own: Arc<dyn Backend>, others: Vec<Lazy>) -> Self {
        let hits = broadcast::Sender::new(HITS);
        let room = Arc::new(watch::Sender::default());
        let mut all = vec![Arc::new(Member::opened(own, &hits, &room))];
        all.extend(others.into_iter().map(|lazy| Arc::new(Member::lazy(lazy))));
        let (called, fences) = (OnceLock::new(), RwLock::default());
        Self { all, of: RwLock::default(), called, fences, hits, room }
    }

    fn index(&self, project: &ProjectId) -> Option<usize> {
        self.of.read().unwrap_or_else(PoisonError::into_inner).get(project).copied()
    }

    /// The one that a project is of, open or not.
    fn member(&self, project: &ProjectId) -> &Arc<Member> {
        &self.all[self.index(project).unwrap_or(0)]
    }

    fn put(&self, project: &ProjectId, index: usize) {
        self.of.write().unwrap_or_else(PoisonError::into_inner).insert(project.clone(), index);
    }

    fn forget(&self, project: &ProjectId) {
        self.fences.write().unwrap_or_else(PoisonError::into_inner).remove(project);
        self.of.write().unwrap_or_else(PoisonError::into_inner).remove(project);
    }

    fn named(&self, name: &str) -> Result<usize, MachineError> {
        self.all.iter().position(|one| one.name == name).ok_or_else(|| no_such(name))
    }

    async fn open(&self, member: &Arc<Member>) -> Result<Arc<dyn Backend>, MachineError> {
        let backend = member.get(&self.hits, &self.room).await?;
        if let Some(installation) = self.called.get() {
            backend.called(installation);
        }
        Ok(backend)
    }

    /// The one that a project is of, opened.
    async fn at(&self, project: &ProjectId) -> Result<Arc<dyn Backend>, MachineError> {
        let backend = self.open(self.member(project)).await?;
        let fence =
            self.fences.read().unwrap_or_else(PoisonError::into_inner).get(project).copied();
        if let Some(fence) = fence {
            backend.fenced(project, fence);
        }
        Ok(backend)
    }

    /// Those that have something here, as far as they can be opened.
    fn used(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.all.iter().filter(|one| one.is_offered() && one.was_used())
    }

    /// Those that are open, with their places in the list.
    fn opened(&self) -> impl Iterator<Item = (usize, &Arc<dyn Backend>)> {
        self.all.iter().enumerate().filter_map(|(at, one)| Some((at, one.now()?)))
    }

    /// Those that are open, other than a project's.
    fn others(&self, project: &ProjectId) -> Vec<Arc<dyn Backend>> {
        let own = self.index(project).unwrap_or(0);
        self.opened().filter(|(at, _)| *at != own).map(|(_, one)| Arc::clone(one)).collect()
    }
}

const CARRYING: &str = "carrying the project to another backend";

/// Makes the disk of what is the same everywhere. A half that an earlier try has left goes first.
async fn carry(
    from: &dyn Backend,
    to: &dyn Backend,
    project: &ProjectId,
) -> Result<(), MachineError> {
    let unable = |why| MachineError::Unable { what: "carrying the project there", why };
    from.carries().and_then(|()| to.carries()).map_err(unable)?;
    to.leave(project).await?;
    let made = async {
        to.create(project).await?;
        steps::reached("move.made");
        for part in Part::ALL {
            let (read, write) = io::pipe().map_err(step(project, "making a pipe"))?;
            let (packed, unpacked) = tokio::join!(
                from.pack(project, part, OwnedFd::from(write)),
                to.unpack(project, part, OwnedFd::from(read)),
            );
            // When nobody reads, the writer fails too: who reads knows the reason. The other way round a cut
            // archive is no news.
            match (packed, unpacked) {
                (Ok(()), Ok(())) => {}
                (_, Err(error)) | (Err(error), Ok(())) => return Err(error),
            }
            steps::reached("move.part");
        }
        // Only what sleeps is kept by whoever's disk it is, should its host fail.
        to.rest(project).await?;
        if to.is_made(project).await? {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "the new disk is gone again"))
            .map_err(step(project, CARRYING))
    };
    let slow = || {
        let minutes = CARRY_TIMEOUT.as_secs() / 60;
        step(project, CARRYING)(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it did not come to its end within {minutes} minutes"),
        ))
    };
    let made = timeout(CARRY_TIMEOUT, made).await.unwrap_or_else(|_| Err(slow()));
    if let Err(error) = from.rest(project).await {
        tracing::warn!(project.id = %project, %error, "what was awake to be carried stays so for a while");
    }
    if made.is_err()
        && let Err(error) = to.leave(project).await
    {
        tracing::warn!(project.id = %project, %error, "half a disk stays until the next start");
    }
    made
}

#[cfg(test)]
mod tests;
