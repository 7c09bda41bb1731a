//! One of several backends: open, or opened by whoever needs it first. One that could not be opened is not tried at
//! every call.

use super::{Lazy, Open, absent::Absent};
use crate::backend::{Backend, MachineError, Room};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use toft_model::{event::LimitHit, id::ProjectId};
use tokio::sync::{Mutex as AsyncMutex, broadcast, watch};

/// Opening one tries its walls, which takes up to a second: between two tries.
const AGAIN: Duration = Duration::from_secs(5);

type Hits = broadcast::Sender<(ProjectId, LimitHit)>;

/// See the module.
pub(super) struct Member {
    pub(super) name: &'static str,
    /// `None` of the server's own, which is always there.
    pub(super) place: Option<PathBuf>,
    open: Option<Result<Open, String>>,
    opened: OnceLock<Arc<dyn Backend>>,
    /// Who opens it just now.
    turn: AsyncMutex<()>,
    failed: Mutex<Option<(Instant, String)>>,
    absent: Absent,
}

impl Member {
    pub(super) fn opened(
        own: Arc<dyn Backend>,
        hits: &Hits,
        room: &Arc<watch::Sender<Room>>,
    ) -> Self {
        let name = own.name();
        follow(&*own, hits, room);
        Self {
            name,
            place: None,
            open: None,
            opened: OnceLock::from(own),
            turn: AsyncMutex::default(),
            failed: Mutex::default(),
            absent: Absent::new(name, PathBuf::new()),
        }
    }

    pub(super) fn lazy(lazy: Lazy) -> Self {
        Self {
            name: lazy.name,
            absent: Absent::new(lazy.name, lazy.place.join("logs")),
            place: Some(lazy.place),
            open: Some(lazy.open),
            opened: OnceLock::new(),
            turn: AsyncMutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Whether projects may be made of it.
    pub(super) fn is_offered(&self) -> bool {
        !matches!(self.open, Some(Err(_)))
    }

    /// Whether its machines are at somebody else's.
    pub(super) fn is_far(&self) -> bool {
        self.now().map_or(self.name == "e2b", |open| !open.far().is_empty())
    }

    /// If it is open.
    pub(super) fn now(&self) -> Option<&Arc<dyn Backend>> {
        self.opened.get()
    }

    /// What there is to ask without waiting.
    pub(super) fn seen(&self) -> &dyn Backend {
        match self.opened.get() {
            Some(open) => &**open,
            None => &self.absent,
        }
    }

    /// Whether it was used once: then it has a folder for machines.
    pub(super) fn was_used(&self) -> bool {
        self.now().is_some() || self.place.as_ref().is_some_and(|at| at.join("run/m").is_dir())
    }

    pub(super) async fn get(
        &self,
        hits: &Hits,
        room: &Arc<watch::Sender<Room>>,
    ) -> Result<Arc<dyn Backend>, MachineError> {
        if let Some(open) = self.now() {
            return Ok(Arc::clone(open));
        }
        let _turn = self.turn.lock().await;
        if let Some(open) = self.now() {
            return Ok(Arc::clone(open));
        }
        let refused = |why: String| MachineError::Unable { what: self.absent.what(), why };
        let open = match &self.open {
            Some(Ok(open)) => open,
            Some(Err(why)) => return Err(refused(why.clone())),
            None => return Err(refused("it is gone".to_owned())),
        };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, why)) = failed.take_if(|(at, _)| at.elapsed() < AGAIN) {
            return Err(refused(why));
        }
        match open().await {
            Ok(backend) => {
                follow(&*backend, hits, room);
                tracing::info!(backend = self.name, "a backend was opened");
                Ok(Arc::clone(self.opened.get_or_init(|| backend)))
            }
            Err(error) => {
                tracing::warn!(backend = self.name, %error, "a backend could not be opened");
                let why = error.to_string();
                let now = Some((Instant::now(), why.clone()));
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = now;
                Err(refused(why))
            }
        }
    }
}

/// Passes on what one tells of all its machines, as long as it is there.
fn follow(backend: &dyn Backend, hits: &Hits, room: &Arc<watch::Sender<Room>>) {
    let (mut from, to) = (backend.limit_hits(), hits.clone());
    tokio::spawn(async move {
        loop {
            match from.recv().await {
                // Nobody listens: nobody misses it.
                Ok(hit) => drop(to.send(hit)),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    });
    let (mut from, to) = (backend.room(), Arc::clone(room));
    tokio::spawn(async move {
        while from.changed().await.is_ok() {
            let now = *from.borrow_and_update();
            to.send_replace(now);
        }
    });
}
