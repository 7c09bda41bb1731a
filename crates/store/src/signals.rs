//! Waking those who wait for something in the database, in this server and in others on the same database. What is
//! told may be lost: whoever waits also looks by itself now and then.

use crate::error::StoreError;
use async_trait::async_trait;
use tokio::sync::broadcast::{self, error::RecvError};

/// Bytes of a topic. PostgreSQL takes 8,000 with what stands around it.
pub const TOPIC_BYTES_MAX: usize = 256;
/// Signals that wait for a slow listener; then it is told that it missed some.
const WAITING_MAX: usize = 1024;

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Something about this topic has changed.
    Topic(String),
    /// Some were missed: anything may have changed.
    Missed,
}

/// Signals.
#[async_trait]
pub trait Signals: Send + Sync {
    /// Tells all listeners of all servers, after what it is about was committed. Those of this server hear it at once.
    async fn notify(&self, topic: &str) -> Result<(), StoreError>;
    /// Hears everything from now on.
    fn listen(&self) -> Listener;
}

/// Who hears signals.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<Signal>);

impl Listener {
    /// The next one; `None` when the store is gone.
    pub async fn next(&mut self) -> Option<Signal> {
        match self.0.recv().await {
            Ok(signal) => Some(signal),
            Err(RecvError::Lagged(_)) => Some(Signal::Missed),
            Err(RecvError::Closed) => None,
        }
    }
}

/// The listeners of this server.
#[derive(Debug, Clone)]
pub(crate) struct Near(broadcast::Sender<Signal>);

impl Near {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(WAITING_MAX))
    }

    pub(crate) fn tell(&self, signal: Signal) {
        // Nobody listens: nobody misses it.
        let _ = self.0.send(signal);
    }

    pub(crate) fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}
