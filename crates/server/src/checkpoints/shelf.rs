//! What is known of one project's checkpoints beside their rows: whose turn it is, which prompts are
//! waited for, and why the last automatic one was not taken.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use toft_model::{checkpoint::CheckpointId, id::SessionId};
use tokio::sync::OwnedMutexGuard;

/// See the module. One in each machine.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// Held while rows and copies of disks change together.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Rows and copies were compared, and have agreed since.
    is_in_order: Arc<AtomicBool>,
    /// Copies that have no row, and are in use.
    kept: Arc<Mutex<Vec<CheckpointId>>>,
    early: Mutex<Vec<Early>>,
    notice: Mutex<Option<String>>,
    /// Pruning is asked for and has not begun.
    pub(super) wants_pruning: AtomicBool,
    /// Held while its checkpoints are pruned.
    pub(super) pruning: tokio::sync::Mutex<()>,
}

/// A checkpoint that was taken before a prompt, until its message comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Early {
    pub(super) id: CheckpointId,
    /// None: whichever is current.
    pub(super) session: Option<SessionId>,
    pub(super) taken_at: u64,
}

/// The turn of a project's checkpoints.
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its end")] OwnedMutexGuard<()>);

/// A copy without a row stays until this is dropped. Unless it is said to be gone, it is looked for then.
#[derive(Debug)]
pub(super) struct Kept {
    id: CheckpointId,
    all: Arc<Mutex<Vec<CheckpointId>>>,
    is_in_order: Arc<AtomicBool>,
    is_gone: AtomicBool,
}

impl Kept {
    pub(super) fn id(&self) -> &CheckpointId {
        &self.id
    }

    pub(super) fn is_gone(&self) {
        self.is_gone.store(true, Ordering::Release);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|id| *id != self.id);
        if !self.is_gone.load(Ordering::Acquire) {
            self.is_in_order.store(false, Ordering::Release);
        }
    }
}

impl Shelf {
    /// A copy that will have no row is not taken for what a killed server left.
    pub(super) fn keep(&self, id: CheckpointId) -> Kept {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        let (all, is_in_order) = (Arc::clone(&self.kept), Arc::clone(&self.is_in_order));
        Kept { id, all, is_in_order, is_gone: AtomicBool::new(false) }
    }

    pub(super) fn is_kept(&self, id: &CheckpointId) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Waits for the turn. Rows and copies agree then only if [`Shelf::is_in_order`] says so.
    pub(super) async fn turn(&self) -> Turn {
        Turn(Arc::clone(&self.turn).lock_owned().await)
    }

    /// Whether rows and copies are known to agree.
    pub(super) fn is_in_order(&self) -> bool {
        self.is_in_order.load(Ordering::Acquire)
    }

    /// They were compared, and agree from now on.
    pub(super) fn compared(&self) {
        self.is_in_order.store(true, Ordering::Release);
    }

    /// Something failed half-way: they are compared again before the next use.
    pub(super) fn doubt(&self) {
        self.is_in_order.store(false, Ordering::Release);
    }

    pub(super) fn early(&self) -> MutexGuard<'_, Vec<Early>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the last automatic one was not taken, if it was not.
    pub(crate) fn notice(&self) -> Option<String> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was said of the last one is about another rule.
    pub(crate) fn forget_notice(&self) {
        self.set_notice(None);
    }

    pub(super) fn set_notice(&self, why: Option<String>) {
        *self.notice.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}
