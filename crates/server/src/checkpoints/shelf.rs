//! What is known of one project's checkpoints beside their rows: whose turn it is, which prompts are
//! waited for, and why the last automatic one was not taken.

use super::{auto::Early, reconcile};
use crate::{api_error::ApiError, machines::Machine, state::App};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::OwnedMutexGuard;

/// See the module. One in each machine.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// Held while rows and copies of disks change together.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Rows and copies were compared, and have agreed since.
    is_in_order: AtomicBool,
    early: Mutex<Vec<Early>>,
    notice: Mutex<Option<String>>,
    /// Pruning is asked for and has not begun.
    pub(super) wants_pruning: AtomicBool,
    /// Held while its checkpoints are pruned.
    pub(super) pruning: tokio::sync::Mutex<()>,
}

/// The turn of a project's checkpoints.
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its end")] OwnedMutexGuard<()>);

impl Shelf {
    /// Waits for the turn, and sees to it that rows and copies agree.
    pub(super) async fn enter(app: &App, machine: &Machine) -> Result<Turn, ApiError> {
        let shelf = &machine.shelf;
        let turn = Turn(Arc::clone(&shelf.turn).lock_owned().await);
        if !shelf.is_in_order.load(Ordering::Acquire) {
            reconcile::compare(app, machine, &turn).await?;
            shelf.is_in_order.store(true, Ordering::Release);
        }
        Ok(turn)
    }

    /// Sees to it that rows and copies agree, unless they are known to.
    pub(crate) async fn in_order(app: &App, machine: &Machine) -> Result<(), ApiError> {
        if !machine.shelf.is_in_order.load(Ordering::Acquire) {
            Self::enter(app, machine).await?;
        }
        Ok(())
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
