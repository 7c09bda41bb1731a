//! Whether a target may be reached, and the connection to it.

use super::{dial, log::Log, refused::denied};
use crate::{
    api_error::ApiError,
    judge::{First, judge, no_longer},
    machine::Machine,
    records::egress_log::Via,
    resolve::Named,
    state::State,
};
use std::sync::{Arc, Mutex, PoisonError};
use toft_policy::{HostPort, Verdict};
use tokio::net::TcpStream;

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
    let resolver = Named { names: &config.names, others: state.lookups.within(machine.lookups()) };
    let dialled = tokio::select! {
        biased;
        verdict = tightened(state, machine, target, &first) => Err(dial::Refused::Denied(verdict)),
        dialled = dial::dial(&resolver, &config.allow_private, target) => dialled,
    };
    dialled.map_err(|refused| refused.told(log))
}

/// Resolves when the level no longer allows the target, or what the connection turned out to be.
pub(super) async fn tightened(
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
