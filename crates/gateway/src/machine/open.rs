//! A connection of a machine that is open.

use crate::{
    judge::{First, no_longer},
    records::egress_log::{OpenConnection, Via},
    understood::Config,
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use toft_policy::{Egress, HostPort};

/// Bytes that passed so far, counted while they pass.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) into_machine: AtomicU64,
    pub(crate) out_of_machine: AtomicU64,
}

/// Of an open connection, what others may see of it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) target: HostPort,
    pub(crate) ts: u64,
    pub(crate) via: Via,
    pub(crate) rule: String,
    pub(crate) bytes: Arc<Bytes>,
    /// What it turned out to be.
    pub(crate) first: Arc<Mutex<First>>,
}

impl Open {
    /// Whether it may go on at this level.
    pub(crate) fn may_go_on(&self, config: &Config, egress: &Egress) -> bool {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        no_longer(config, egress, &self.target, &first).is_none()
    }

    pub(crate) fn shown(&self, id: u64) -> OpenConnection {
        OpenConnection {
            id,
            ts: self.ts,
            via: self.via,
            host: self.target.host.to_string(),
            port: self.target.port,
            rule: self.rule.clone(),
            bytes_in: self.bytes.into_machine.load(Ordering::Relaxed),
            bytes_out: self.bytes.out_of_machine.load(Ordering::Relaxed),
        }
    }
}
