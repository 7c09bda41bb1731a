//! Something that a conversation's work stands still for: an answer of a person, a provider that is back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// See the module. Its time is none that the work takes.
#[derive(Debug, Default)]
pub(crate) struct Need {
    /// For calls of its own.
    pub(crate) own: AtomicBool,
    /// How many of its tasks stand still for it.
    pub(crate) tasks: AtomicUsize,
}

impl Need {
    /// Whether anything stands still for it.
    pub(crate) fn is_there(&self) -> bool {
        self.own.load(Ordering::Acquire) || self.tasks.load(Ordering::Acquire) > 0
    }
}
