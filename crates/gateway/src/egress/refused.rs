//! What is told of a request that does not go out.

use super::log::Log;
use crate::{
    api_error::{ApiError, Code},
    brokered::{NotBound, refuse_plain},
    machine::Machine,
    records::egress_log::Via,
    state::State,
};
use http::Request;
use hyper::body::Incoming;
use std::sync::Arc;
use toft_policy::Verdict;

/// Writes the line of what never became a target; the answer to it.
pub(crate) fn refuse(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    place: (String, u16),
    via: Via,
    verdict: &Verdict,
) -> ApiError {
    Log::refuse(state, machine, place, via, verdict);
    denied(verdict)
}

/// Refuses a request without TLS that a program meant to go out with a secret.
pub(super) fn without_placeholder(request: &Request<Incoming>, log: Log) -> Result<Log, ApiError> {
    match refuse_plain(request.uri(), request.headers()) {
        Ok(()) => Ok(log),
        Err(why) => Err(not_bound(&why, log)),
    }
}

/// Writes the line of a request whose placeholder stands where it may not; the answer to it.
pub(super) fn not_bound(why: &NotBound, mut log: Log) -> ApiError {
    let code = Code::SecretNotBound;
    log.overrule(&why.verdict());
    log.finish(Some(code.as_str()));
    ApiError::new(code, format!("Toft did not send the request: {why}."))
}

/// The answer to what the level does not allow.
pub(super) fn denied(verdict: &Verdict) -> ApiError {
    ApiError::new(Code::EgressDenied, format!("Toft did not connect: {}.", verdict.reason))
}
