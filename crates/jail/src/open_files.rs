//! How many files a process may have open. A server has as many as it has clients; what it starts has the usual
//! number, since programs loop over all that they might have, or break above 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// As this process was started with.
static USUAL: OnceLock<Option<u64>> = OnceLock::new();

/// Lets this process have more, as far as it may; how many that is (`u64::MAX`: as many as it likes).
pub fn raise(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    USUAL.get_or_init(|| limit.current);
    let wanted = limit.maximum.map_or(wanted, |most| most.min(wanted));
    if limit.current.is_some_and(|current| current < wanted) {
        // Refused, it is as it was.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What this process was started with, if it raised that since.
pub fn usual() -> Option<u64> {
    USUAL.get().copied().flatten()
}

/// Gives this process the usual number again.
pub(crate) fn restore(usual: Option<u64>) {
    let limit = getrlimit(Resource::Nofile);
    if let Some(usual) = usual
        && limit.maximum.is_none_or(|most| usual <= most)
    {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(usual), ..limit });
    }
}
