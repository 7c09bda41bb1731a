//! Room beyond a bound, lent for as long as a machine's walls are put up.

use std::io;
use toft_jail::quota::{Group, Quotas};

/// What putting a machine's walls up takes, many times over: the kernel makes the folders that overlays
/// work in anew at each mount, and mounts them read-only where it cannot; its first processes say where
/// they listen.
const START_BYTES: u64 = 16 << 20;

/// Room beyond a group's bound while nothing but Toft writes to what is in it. What is made then takes
/// the place of what was there before, so the group does not grow by it.
#[derive(Debug)]
pub(crate) struct Lent {
    quotas: Quotas,
    group: Group,
    bound: u64,
}

impl Lent {
    /// Lends a group that is full what a start takes. `None`: there is room, or no bound. A server that
    /// is killed meanwhile leaves the bound too high until the next start, with nothing running.
    pub(crate) fn to(quotas: &Quotas, group: Group) -> io::Result<Option<Self>> {
        let bound = match quotas.bound(group) {
            // Nothing counts it; that there is nothing to count shows in the next step.
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            bound => bound?,
        };
        let Some(bound) = bound else { return Ok(None) };
        let taken = quotas.used(group)?.saturating_add(quotas.reserved(group)?);
        if bound.saturating_sub(taken) >= START_BYTES {
            return Ok(None);
        }
        quotas.limit(group, Some(bound.max(taken).saturating_add(START_BYTES)))?;
        Ok(Some(Self { quotas: quotas.clone(), group, bound }))
    }

    /// Before any program of the machine runs. Done twice does no harm.
    pub(crate) fn take_back(&self) -> io::Result<()> {
        self.quotas.limit(self.group, Some(self.bound))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Ok(Some(bound)) = self.quotas.bound(self.group) else { return };
        if bound != self.bound
            && let Err(e) = self.take_back()
        {
            tracing::warn!("a bound on disk stays {} MiB too high: {e}", START_BYTES >> 20);
        }
    }
}
