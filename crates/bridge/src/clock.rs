//! The time of day, given from outside so that tests can say what it is; and the time that nobody sets,
//! for what server and bridge agree on.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells Unix milliseconds.
pub type Clock = toft_agent::surroundings::Clock;

/// The operating system's [`Clock`].
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds of the kernel's clock that counts from its start: the same for every process on a host.
pub(crate) fn monotonic_ms() -> u64 {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (s, ms) = (u64::try_from(at.tv_sec), u64::try_from(at.tv_nsec / 1_000_000));
    s.unwrap_or(0).saturating_mul(1000).saturating_add(ms.unwrap_or(0))
}
