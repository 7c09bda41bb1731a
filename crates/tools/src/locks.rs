//! One change at a time per file: calls of one message run side by side.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Forgotten locks are cleared away once there are this many.
const SWEEP_AT: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct FileLocks {
    files: Mutex<HashMap<PathBuf, Weak<AsyncMutex<()>>>>,
}

impl FileLocks {
    /// Waits until nobody else changes any of these files. Always in the same order, so that two
    /// calls never wait for each other.
    pub(crate) async fn lock_all(&self, paths: &[&Path]) -> Vec<OwnedMutexGuard<()>> {
        let mut paths = paths.to_vec();
        paths.sort_unstable();
        paths.dedup();
        let mut guards = Vec::with_capacity(paths.len());
        for path in paths {
            guards.push(self.lock(path).await);
        }
        guards
    }

    /// Waits until nobody else changes this file; held until dropped.
    async fn lock(&self, path: &Path) -> OwnedMutexGuard<()> {
        let mutex = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            if files.len() >= SWEEP_AT {
                files.retain(|_, lock| lock.strong_count() > 0);
            }
            if let Some(mutex) = files.get(path).and_then(Weak::upgrade) {
                mutex
            } else {
                let mutex = Arc::new(AsyncMutex::new(()));
                files.insert(path.to_owned(), Arc::downgrade(&mutex));
                mutex
            }
        };
        mutex.lock_owned().await
    }
}
