//! How far the making of an image is, seen from outside, and the wish to stop it. Not kept anywhere.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;

/// Shared by who makes an image and who asks about it.
#[derive(Debug, Default)]
pub struct Progress {
    stage: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
    ended: Notify,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// In words: `pulling`, `unpacking`, `set-up`.
    pub stage: &'static str,
    /// Bytes that are done.
    pub done_bytes: u64,
    /// Of how many; 0 when nobody knows.
    pub total_bytes: u64,
}

impl Progress {
    /// Begins something of so many bytes.
    pub fn begin(&self, stage: &'static str, total_bytes: u64) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total_bytes, Ordering::Relaxed);
    }

    /// So much more is done.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What is being done now.
    pub fn seen(&self) -> Seen {
        Seen {
            stage: *self.stage.lock().unwrap_or_else(PoisonError::into_inner),
            done_bytes: self.done.load(Ordering::Relaxed),
            total_bytes: self.total.load(Ordering::Relaxed),
        }
    }

    /// Asks for an end.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.ended.notify_waiters();
    }

    /// Whether an end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Waits until an end is asked for.
    pub(crate) async fn cancelled(&self) {
        let mut told = std::pin::pin!(self.ended.notified());
        // Before the look: what is told after it wakes.
        told.as_mut().enable();
        if !self.is_cancelled() {
            told.await;
        }
    }

    /// An error when an end was asked for.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.is_cancelled() {
            return Err(io::Error::other("it was deleted while it was made"));
        }
        Ok(())
    }
}
