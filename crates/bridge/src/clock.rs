//! The time of day, given from outside so that tests can say what it is. Not for measuring durations.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells Unix milliseconds.
pub type Clock = toft_agent::surroundings::Clock;

/// The operating system's [`Clock`].
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
