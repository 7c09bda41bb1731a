//! One line per connection in the egress log, written once however the connection ends.

use crate::{journal::now_ms, state::State, usage::EgressRecord};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use toft_model::id::ProjectId;
use toft_policy::Verdict;
use tokio::time::Instant;

/// Bytes that passed so far, counted while they pass.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    pub(super) into_machine: AtomicU64,
    pub(super) out_of_machine: AtomicU64,
}

/// An open line.
pub(super) struct Log {
    state: Arc<State>,
    began: Instant,
    record: EgressRecord,
    pub(super) bytes: Arc<Bytes>,
    written: bool,
}

impl Log {
    pub(super) fn begin(
        state: &Arc<State>,
        project: &ProjectId,
        host: String,
        port: u16,
        verdict: &Verdict,
    ) -> Self {
        let record = EgressRecord {
            ts: now_ms(),
            project: project.clone(),
            host,
            port,
            verdict: word(verdict).to_owned(),
            rule: verdict.rule.clone(),
            bytes_in: 0,
            bytes_out: 0,
            duration_ms: 0,
            error: None,
        };
        let (state, began) = (Arc::clone(state), Instant::now());
        Self { state, began, record, bytes: Arc::default(), written: false }
    }

    /// What was allowed turned out to be refused.
    pub(super) fn overrule(&mut self, verdict: &Verdict) {
        word(verdict).clone_into(&mut self.record.verdict);
        self.record.rule.clone_from(&verdict.rule);
    }

    /// Notes what went wrong, for when the line is written.
    pub(super) fn fail(&mut self, error: &str) {
        self.record.error = Some(error.to_owned());
    }

    /// Writes the line.
    pub(super) fn finish(mut self, error: Option<&str>) {
        if let Some(error) = error {
            self.fail(error);
        }
        self.write();
    }

    fn write(&mut self) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        self.record.bytes_in = self.bytes.into_machine.load(Ordering::Relaxed);
        self.record.bytes_out = self.bytes.out_of_machine.load(Ordering::Relaxed);
        let elapsed = self.began.elapsed().as_millis();
        self.record.duration_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.state.egress_log.append(&self.record);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.write();
    }
}

fn word(verdict: &Verdict) -> &'static str {
    if verdict.allowed() { "allow" } else { "deny" }
}
