//! The time of day, given from outside so that tests can move it; and the time that nobody sets, for what
//! server and bridges agree on.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Tells Unix milliseconds.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// The operating system's.
    pub fn system() -> Self {
        Self::new(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
        })
    }

    /// Another one.
    pub fn new(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The same of the clock that goes on while the host sleeps, too.
pub(crate) fn since_boot_ms() -> u64 {
    ms_of(rustix::time::ClockId::Boottime)
}

/// Milliseconds of the kernel's clock that counts from its start: the same for every process on a host.
pub(crate) fn monotonic_ms() -> u64 {
    ms_of(rustix::time::ClockId::Monotonic)
}

fn ms_of(clock: rustix::time::ClockId) -> u64 {
    let at = rustix::time::clock_gettime(clock);
    let (s, ms) = (u64::try_from(at.tv_sec), u64::try_from(at.tv_nsec / 1_000_000));
    s.unwrap_or(0).saturating_mul(1000).saturating_add(ms.unwrap_or(0))
}
