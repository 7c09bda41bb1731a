//! Counters that slow password guessing down, per account and per address. In memory: a restart
//! forgives, and sign-in links always work.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

/// Wrong passwords for one account before it waits.
const ACCOUNT_FAILURES_MAX: u32 = 5;
/// Wrong passwords from one address before it waits: a household or an office shares one.
const ADDRESS_FAILURES_MAX: u32 = 20;
/// How long failures count, and how long a locked one waits, in milliseconds.
pub(crate) const WINDOW_MS: u64 = 15 * 60 * 1000;
/// Entries kept; beyond this, those whose time is over go, then all of that kind.
const ENTRIES_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    last_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Account(String),
    Address(IpAddr),
}

impl Who {
    fn limit(&self) -> u32 {
        match self {
            Self::Account(_) => ACCOUNT_FAILURES_MAX,
            Self::Address(_) => ADDRESS_FAILURES_MAX,
        }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Lockout {
    counts: Mutex<HashMap<Who, Count>>,
}

impl Lockout {
    /// Counts an attempt as failed before it is judged, so that many at once cannot slip through.
    /// False: it must not be judged at all.
    pub(crate) fn begin(&self, account: &str, address: Option<IpAddr>, now_ms: u64) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= ENTRIES_MAX {
            counts.retain(|_, c| now_ms.saturating_sub(c.last_ms) < WINDOW_MS);
            if counts.len() >= ENTRIES_MAX {
                counts.clear();
            }
        }
        let all = [Some(Who::Account(account.to_lowercase())), address.map(Who::Address)];
        let mut free = true;
        for who in all.into_iter().flatten() {
            let limit = who.limit();
            let count = counts.entry(who).or_insert(Count { failures: 0, last_ms: now_ms });
            if now_ms.saturating_sub(count.last_ms) >= WINDOW_MS {
                count.failures = 0;
            }
            if count.failures >= limit {
                free = false;
            } else {
                count.failures += 1;
                count.last_ms = now_ms;
            }
        }
        free
    }

    /// The attempt was right: the account starts anew, and its own attempt is no failure of the
    /// address.
    pub(crate) fn succeeded(&self, account: &str, address: Option<IpAddr>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(&Who::Account(account.to_lowercase()));
        if let Some(count) = address.and_then(|a| counts.get_mut(&Who::Address(a))) {
            count.failures = count.failures.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    #[test]
    fn an_account_waits_after_five_failures_and_is_free_again_later() {
        let lockout = Lockout::default();
        for _ in 0..5 {
            assert!(lockout.begin("Ada@x", HERE, 0));
        }
        assert!(!lockout.begin("ada@X", HERE, 1));
        assert!(!lockout.begin("ada@x", HERE, WINDOW_MS - 1));
        assert!(lockout.begin("ada@x", HERE, WINDOW_MS));
        lockout.succeeded("ada@x", HERE);
        for _ in 0..5 {
            assert!(lockout.begin("ada@x", None, WINDOW_MS));
        }
    }

    #[test]
    fn an_address_that_tries_many_accounts_waits() {
        let lockout = Lockout::default();
        for n in 0..20 {
            assert!(lockout.begin(&format!("user{n}"), HERE, 0));
        }
        assert!(!lockout.begin("another", HERE, 1));
        assert!(lockout.begin("another", None, 1), "from elsewhere it may");
    }

    #[test]
    fn the_table_cannot_be_filled() {
        let lockout = Lockout::default();
        for n in 0..(ENTRIES_MAX + 10) {
            lockout.begin(&n.to_string(), None, 0);
        }
        assert!(lockout.counts.lock().unwrap().len() <= ENTRIES_MAX);
    }
}
