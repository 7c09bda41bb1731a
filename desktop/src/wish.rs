//! What a person can ask of the thread that keeps to the server. Not the thread.

use std::sync::mpsc::Sender;

/// What a person can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Retry,
    End,
}

/// Asks the thread for another try.
#[derive(Clone)]
pub(crate) struct Retry(Sender<Wish>);

impl Retry {
    pub(crate) fn through(wishes: Sender<Wish>) -> Self {
        Self(wishes)
    }

    /// Does nothing while all is well.
    pub(crate) fn now(&self) {
        // A keeper that has ended has nothing to try.
        let _ = self.0.send(Wish::Retry);
    }
}
