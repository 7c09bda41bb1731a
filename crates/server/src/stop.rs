//! Ending a server: with its machines or without. Not how it is done: `run` does it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio_util::sync::CancellationToken;

/// Ends the server. Clones end the same one.
#[derive(Debug, Clone)]
pub struct Stop {
    token: CancellationToken,
    machines: Arc<AtomicBool>,
}

impl Stop {
    pub(crate) fn new(token: CancellationToken) -> Self {
        Self { token, machines: Arc::default() }
    }

    /// Closes listeners and streams and writes what is not yet written. With `stop_machines` it
    /// also ends every machine and the gateway; they wake at the next request after a new start.
    pub fn stop(&self, stop_machines: bool) {
        if stop_machines {
            self.machines.store(true, Ordering::Relaxed);
        }
        self.token.cancel();
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    pub(crate) fn wants_machines_stopped(&self) -> bool {
        self.machines.load(Ordering::Relaxed)
    }
}
