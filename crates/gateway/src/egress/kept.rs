//! The connection to the last host, and what is counted of what is sent on it.

use crate::{
    machine,
    tap::{Ending, Tap, Tapped},
};
use bytes::Bytes;
use hyper::{body::Incoming, client::conn::http1};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use toft_policy::HostPort;
use tokio_util::task::AbortOnDropHandle;

/// What is sent to a host.
pub(super) type RequestBody = Tapped<Incoming, Counter>;

/// The connection to the last host, used again for the next request of the same client connection
/// to the same target, and no longer open than that.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Upstream>>);

struct Upstream {
    target: HostPort,
    /// Taken while a request is being sent.
    sender: Option<http1::SendRequest<RequestBody>>,
    /// None before there is one.
    _connection: Option<AbortOnDropHandle<()>>,
}

impl Kept {
    /// Whom it is to.
    pub(super) fn target(&self) -> Option<HostPort> {
        self.lock().as_ref().map(|upstream| upstream.target.clone())
    }

    /// From now on it is for this target; a connection to another one ends. Called before the target is
    /// judged: whoever tightens the level after that finds it here.
    pub(super) fn aim(&self, target: &HostPort) {
        let mut upstream = self.lock();
        if upstream.as_ref().is_none_or(|upstream| upstream.target != *target) {
            *upstream = Some(Upstream { target: target.clone(), sender: None, _connection: None });
        }
    }

    /// A connection to it is there; what was there before ends.
    pub(super) fn hold(&self, target: &HostPort, driver: AbortOnDropHandle<()>) {
        *self.lock() =
            Some(Upstream { target: target.clone(), sender: None, _connection: Some(driver) });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Upstream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_sender(&self, target: &HostPort) -> Option<http1::SendRequest<RequestBody>> {
        self.lock().as_mut().filter(|u| u.target == *target)?.sender.take()
    }

    pub(super) fn give_back(&self, sender: http1::SendRequest<RequestBody>) {
        if let Some(upstream) = self.lock().as_mut() {
            upstream.sender = Some(sender);
        }
    }
}

/// Counts what leaves the machine.
pub(super) struct Counter(pub(super) Arc<machine::Bytes>);

impl Tap for Counter {
    fn data(&mut self, data: Bytes) -> Bytes {
        add(&self.0.out_of_machine, data.len());
        data
    }

    fn end(&mut self, _ending: Ending) {}
}

/// Adds bytes to a count.
pub(super) fn add(count: &AtomicU64, bytes: usize) {
    count.fetch_add(bytes as u64, Ordering::Relaxed);
}
