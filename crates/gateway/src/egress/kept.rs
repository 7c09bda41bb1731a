//! The connection to the last host, and what is counted of what is sent on it.

use super::tasks::Owner;
use crate::{
    machine,
    tap::{Ending, Tap, Tapped},
};
use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use toft_policy::HostPort;

/// What is sent to a host.
pub(super) type RequestBody = Tapped<Incoming, Counter>;

/// The connection to the last host, used again for the next request of the same client connection
/// to the same target, and no longer open than that.
#[derive(Default)]
pub(super) struct Kept {
    upstream: Mutex<Option<Upstream>>,
    /// Held while one is opened: requests that come side by side share it.
    pub(super) opening: tokio::sync::Mutex<()>,
}

struct Upstream {
    target: HostPort,
    /// Taken while a request is being sent.
    sender: Option<Sender>,
    /// Those that end with it: of HTTP/2 also connections that take no new request, and still answer.
    connections: Vec<Owner>,
}

/// Where requests go in.
pub(super) enum Sender {
    /// One after the other.
    Http1(http1::SendRequest<RequestBody>),
    /// Side by side.
    Http2(http2::SendRequest<RequestBody>),
}

impl Sender {
    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }
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
            let target = target.clone();
            *upstream = Some(Upstream { target, sender: None, connections: Vec::new() });
        }
    }

    /// A connection to it is there; what was there before ends, once it has answered what it was asked.
    pub(super) fn hold(&self, target: &HostPort, owner: Owner) {
        self.aim(target);
        if let Some(upstream) = self.lock().as_mut() {
            upstream.connections.retain(|connection| !connection.is_over());
            upstream.connections.push(owner);
        }
    }

    /// Nothing is kept any more: what is on its way ends.
    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Upstream>> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_sender(&self, target: &HostPort) -> Option<Sender> {
        let mut upstream = self.lock();
        let kept = &mut upstream.as_mut().filter(|u| u.target == *target)?.sender;
        match kept {
            Some(Sender::Http2(shared)) if shared.is_closed() => kept.take().and(None),
            Some(Sender::Http2(shared)) => Some(Sender::Http2(shared.clone())),
            Some(Sender::Http1(_)) | None => kept.take(),
        }
    }

    pub(super) fn give_back(&self, sender: Sender) {
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
