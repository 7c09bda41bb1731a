//! One connection on its way out, whoever asked for it: judged, dialled, metered, logged, and cut when
//! the level no longer allows it. The fronts (the proxy, connections without one) say where it is to go.

use super::{
    admit::{admit, connect, tightened},
    bulk::Pipes,
    connection::Inside,
    http_inside, https_inside,
    log::Log,
    relay::{self, End, Expected},
};
use crate::{
    api_error::ApiError, judge::expected, machine::Machine, records::egress_log::Via, state::State,
};
use std::sync::Arc;
use toft_policy::HostPort;
use tokio::net::TcpStream;

/// A connection whose far end is connected.
pub(crate) struct Passage {
    state: Arc<State>,
    machine: Arc<Machine>,
    target: HostPort,
    upstream: TcpStream,
    log: Log,
}

impl Passage {
    /// Judges the target and connects to it. A refusal is in the log when this returns.
    pub(crate) async fn open(
        state: &Arc<State>,
        machine: &Arc<Machine>,
        target: HostPort,
        via: Via,
    ) -> Result<Self, ApiError> {
        let mut log = admit(state, machine, &target, via)?;
        let upstream = connect(state, machine, &target, &mut log).await?;
        Ok(Self { state: Arc::clone(state), machine: Arc::clone(machine), target, upstream, log })
    }

    /// Carries bytes both ways until both ends are done, or something ends it; then writes the line.
    /// `early`: what the client has sent already.
    pub(crate) async fn carry(mut self, client: TcpStream, early: bytes::Bytes) {
        let first = Arc::clone(&self.log.first);
        let pipes = Pipes { all: Arc::clone(&self.state.pipes), own: self.machine.pipes() };
        let carried = tokio::select! {
            carried = relay::relay(
                &client, &self.upstream, early, &self.log.bytes, &pipes, &first, || self.expected(),
            ) => carried,
            verdict = tightened(&self.state, &self.machine, &self.target, &first) => {
                Err(End::Denied(verdict))
            }
        };
        match carried {
            Ok(()) => self.log.finish(None),
            Err(End::Http(seen)) => http_inside::serve(self.inside(client, seen)).await,
            Err(End::Tls(seen)) => https_inside::serve(self.inside(client, seen)).await,
            Err(end) => {
                if let End::Denied(verdict) = &end {
                    self.log.overrule(verdict);
                }
                self.log.finish(Some(end.code()));
            }
        }
    }

    /// From here on each of its requests has a line of its own.
    fn inside(self, client: TcpStream, seen: Vec<u8>) -> Inside {
        let Self { state, machine, target, upstream, log } = self;
        log.discard();
        Inside { state, machine, target, client, seen, upstream }
    }

    /// What the first bytes must be.
    fn expected(&self) -> Option<Expected> {
        let reads = self.machine.broker().reads(&self.target).is_some();
        let named = expected(&self.machine.egress().borrow(), &self.target).cloned();
        let host = named.or_else(|| reads.then(|| self.target.host.clone()))?;
        Some(Expected { host, reads })
    }
}
