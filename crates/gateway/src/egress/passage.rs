//! One connection on its way out, whoever asked for it: judged, dialled, metered, logged, and cut when
//! the level no longer allows it. The fronts (the proxy, connections without one) say where it is to go.

use super::{
    bulk::Pipes,
    denied, dial,
    first::First,
    http_inside,
    log::Log,
    relay::{self, End},
};
use crate::{
    api_error::ApiError,
    egress_log::Via,
    machine::Machine,
    state::{Config, State},
};
use std::sync::{Arc, Mutex, PoisonError};
use toft_policy::{Egress, Host, HostPort, Verdict};
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
            Err(End::Broken) => self.log.finish(Some("cut")),
            Err(End::Idle) => self.log.finish(Some("idle_timeout")),
            Err(End::Denied(verdict)) => {
                self.log.overrule(&verdict);
                self.log.finish(Some("egress_denied"));
            }
            Err(End::Http(seen)) => {
                let Self { state, machine, target, upstream, log } = self;
                // Each of its requests has a line of its own.
                log.discard();
                http_inside::serve(state, machine, target, client, seen, upstream).await;
            }
        }
    }

    /// The name that the first bytes must be for.
    fn expected(&self) -> Option<Host> {
        expected(&self.machine.egress().borrow(), &self.target).cloned()
    }
}

/// Begins the line of an allowed target; the line of a refused one is written.
pub(super) fn admit(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    target: &HostPort,
    via: Via,
) -> Result<Log, ApiError> {
    let egress = Arc::clone(&machine.egress().borrow());
    let verdict = judge(&state.config(), &egress, target);
    if verdict.allowed() {
        return Ok(Log::begin(state, machine, target, via, &verdict));
    }
    let place = (target.host.to_string(), target.port);
    Log::refuse(state, machine, place, via, &verdict);
    Err(denied(&verdict))
}

/// Resolves, checks, connects; given up when the level is tightened meanwhile.
pub(super) async fn connect(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    target: &HostPort,
    log: &mut Log,
) -> Result<TcpStream, ApiError> {
    let config = state.config();
    let first = Arc::clone(&log.first);
    let resolver = state.lookups.within(machine.lookups());
    let dialled = tokio::select! {
        biased;
        verdict = tightened(state, machine, target, &first) => Err(dial::Refused::Denied(verdict)),
        dialled = dial::dial(&resolver, &config.allow_private, target) => dialled,
    };
    dialled.map_err(|refused| refused.told(log))
}

/// Resolves when the level no longer allows the target, or what the connection turned out to be.
async fn tightened(
    state: &State,
    machine: &Machine,
    target: &HostPort,
    first: &Mutex<First>,
) -> Verdict {
    let mut level = machine.egress();
    loop {
        let egress = Arc::clone(&level.borrow_and_update());
        let seen = first.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(verdict) = no_longer(&state.config(), &egress, target, &seen) {
            return verdict;
        }
        if level.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Why a connection that is open may not go on at this level.
pub(super) fn no_longer(
    config: &Config,
    egress: &Egress,
    target: &HostPort,
    first: &First,
) -> Option<Verdict> {
    let verdict = judge(config, egress, target);
    if !verdict.allowed() {
        return Some(verdict);
    }
    expected(egress, target).and_then(|host| first.passed_for_another(host))
}

/// The name that what is said in a connection must be for: only where names decide.
fn expected<'a>(egress: &Egress, target: &'a HostPort) -> Option<&'a Host> {
    match &target.host {
        name @ Host::Name(_) if egress.names_decide() => Some(name),
        Host::Name(_) | Host::Address(_) => None,
    }
}

/// The level's decision; for tests an address may be opened that no level opens.
pub(crate) fn judge(config: &Config, egress: &Egress, target: &HostPort) -> Verdict {
    if let Host::Address(ip) = target.host
        && config.allow_private.contains(&(ip, target.port).into())
        && egress.is_open()
    {
        return Verdict::allow("test-address", "opened for a test");
    }
    egress.decide(&target.host, target.port)
}
