//! Sleeps until the inspect database was written, or until the state of a service may have changed.

use super::InspectDb;
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use std::{io, os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};
use tokio::{
    net::unix::pipe,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Several statements in a row are one change.
const SETTLE: Duration = Duration::from_millis(100);

/// How often the listeners are looked at while there are services with ports: the kernel tells
/// nobody when a port opens.
const PORTS_INTERVAL: Duration = Duration::from_secs(2);

/// How often the file is looked at when the kernel cannot tell of its changes.
const FALLBACK_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(db: Arc<InspectDb>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = watch(&db) => {}
    }
}

async fn watch(db: &InspectDb) {
    let home = db.path.parent().unwrap_or(Path::new("/"));
    let mut changes = match Changes::new() {
        Ok(changes) => Some(changes),
        Err(err) => {
            tracing::warn!(error = %err, "changes of the inspect database are polled");
            None
        }
    };
    let mut seen = db.board.changes();
    loop {
        seen.mark_unchanged();
        // Again each time: the folder may be another one after a restore.
        let watching = changes.as_ref().is_some_and(|changes| changes.watch(home));
        let services = db.tell().await;
        let changed = async {
            let written = async {
                match changes.as_mut().filter(|_| watching) {
                    Some(changes) => changes.next().await,
                    None => sleep(FALLBACK_INTERVAL).await,
                }
            };
            tokio::select! {
                () = written => {}
                _ = seen.changed() => {}
            }
            sleep(SETTLE).await;
        };
        if services {
            let _ = timeout(PORTS_INTERVAL, changed).await;
        } else {
            changed.await;
        }
    }
}

/// Changes in a folder.
struct Changes {
    /// The inotify queue; it is polled and read like a pipe.
    queue: pipe::Receiver,
    /// The same, to add folders to.
    handle: OwnedFd,
}

impl Changes {
    fn new() -> io::Result<Self> {
        let handle = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let queue = pipe::Receiver::from_owned_fd_unchecked(handle.try_clone()?)?;
        Ok(Self { queue, handle })
    }

    fn watch(&self, folder: &Path) -> bool {
        // Not opening and reading: that is what this bridge does itself.
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        add_watch(&self.handle, folder, flags).is_ok()
    }

    /// Returns after at least one change; what changed is found by looking.
    async fn next(&mut self) {
        let mut buf = [0u8; 4_096];
        loop {
            if self.queue.readable().await.is_err() {
                // Never seen; do not spin.
                sleep(FALLBACK_INTERVAL).await;
                return;
            }
            let mut any = false;
            while let Ok(1..) = self.queue.try_read(&mut buf) {
                any = true;
            }
            if any {
                return;
            }
        }
    }
}
