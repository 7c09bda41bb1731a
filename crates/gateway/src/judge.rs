//! What a level says of a target, and of a connection that is open.

mod first;

pub(crate) use first::{FIRST_BYTES_MAX, First};

use crate::understood::Config;
use toft_policy::{Egress, Host, HostPort, Verdict};

/// Why a connection that is open may not go on at this level.
pub(crate) fn no_longer(
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
pub(crate) fn expected<'a>(egress: &Egress, target: &'a HostPort) -> Option<&'a Host> {
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
