//! One line per connection in the egress log, written once however the connection ends, and the
//! connection among the open ones until then.

use crate::{
    judge::{First, judge},
    machine::{Bytes, Machine, Open},
    records::egress_log::{EgressRecord, Outcome, SECRET_ECHOED, Via},
    records::journal::now_ms,
    state::State,
};
use std::sync::{Arc, Mutex, atomic::Ordering};
use toft_policy::{HostPort, Verdict};
use tokio::time::Instant;

/// Characters of a refusal's words that are kept.
const REASON_CHARS_MAX: usize = 300;

/// An open line.
pub(super) struct Log {
    state: Arc<State>,
    machine: Arc<Machine>,
    began: Instant,
    record: EgressRecord,
    pub(super) bytes: Arc<Bytes>,
    /// What it turned out to be.
    pub(super) first: Arc<Mutex<First>>,
    /// Its number among the open connections, and whom it is to.
    open: Option<(u64, HostPort)>,
    written: bool,
}

impl Log {
    /// A line for what is allowed, and one more open connection.
    pub(super) fn begin(
        state: &Arc<State>,
        machine: &Arc<Machine>,
        target: &HostPort,
        via: Via,
        verdict: &Verdict,
    ) -> Self {
        let mut log = Self::new(state, machine, target.host.to_string(), target.port, via, verdict);
        let open = Open {
            target: target.clone(),
            ts: log.record.ts,
            via,
            rule: verdict.rule.clone(),
            bytes: Arc::clone(&log.bytes),
            first: Arc::clone(&log.first),
        };
        log.open = Some((machine.opened(open), target.clone()));
        log
    }

    /// Writes the line of what is refused.
    pub(super) fn refuse(
        state: &Arc<State>,
        machine: &Arc<Machine>,
        (host, port): (String, u16),
        via: Via,
        verdict: &Verdict,
    ) {
        Self::new(state, machine, host, port, via, verdict).write();
    }

    /// Writes the line of what was allowed, and came to nothing.
    pub(super) fn failed(
        state: &Arc<State>,
        machine: &Arc<Machine>,
        target: &HostPort,
        via: Via,
        error: &str,
    ) {
        let egress = Arc::clone(&machine.egress().borrow());
        let verdict = judge(&state.config(), &egress, target);
        Self::begin(state, machine, target, via, &verdict).finish(Some(error));
    }

    /// Writes at once that a host said a secret's value back.
    pub(super) fn echoed(
        state: &Arc<State>,
        machine: &Arc<Machine>,
        target: &HostPort,
        secret: &str,
    ) {
        let reason = format!("the host said the value of {secret} back: it was taken out");
        let verdict = Verdict::allow(SECRET_ECHOED, reason);
        let place = target.host.to_string();
        let mut log = Self::new(state, machine, place, target.port, Via::Https, &verdict);
        log.record.reason = Some(verdict.reason);
        log.record.secrets = vec![secret.to_owned()];
        log.write();
    }

    fn new(
        state: &Arc<State>,
        machine: &Arc<Machine>,
        host: String,
        port: u16,
        via: Via,
        verdict: &Verdict,
    ) -> Self {
        let mut record = EgressRecord {
            ts: now_ms(),
            last_ts: None,
            count: 1,
            via,
            host,
            port,
            verdict: Outcome::Deny,
            rule: String::new(),
            secrets: Vec::new(),
            reason: None,
            bytes_in: 0,
            bytes_out: 0,
            duration_ms: 0,
            error: None,
        };
        decide(&mut record, verdict);
        Self {
            state: Arc::clone(state),
            machine: Arc::clone(machine),
            began: Instant::now(),
            record,
            bytes: Arc::default(),
            first: Arc::default(),
            open: None,
            written: false,
        }
    }

    /// What was allowed turned out to be refused.
    pub(super) fn overrule(&mut self, verdict: &Verdict) {
        decide(&mut self.record, verdict);
    }

    /// Notes whose values were put in.
    pub(super) fn brokered(&mut self, secrets: Vec<String>) {
        self.record.secrets = secrets;
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

    /// Writes no line: others will say it all.
    pub(super) fn discard(mut self) {
        self.written = true;
        if let Some((id, _)) = self.open.take() {
            self.machine.closed(id);
        }
    }

    fn write(&mut self) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        if let Some((id, _)) = self.open.take() {
            self.machine.closed(id);
        }
        self.record.bytes_in = self.bytes.into_machine.load(Ordering::Relaxed);
        self.record.bytes_out = self.bytes.out_of_machine.load(Ordering::Relaxed);
        let elapsed = self.began.elapsed().as_millis();
        self.record.duration_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
        match self.machine.egress_log(&self.state.egress_logs) {
            Ok(log) => log.add(self.record.clone()),
            Err(error) => {
                tracing::error!(project.id = %self.machine.project, %error, "a line was lost");
            }
        }
    }
}

impl Drop for Log {
    /// Nobody said how it ended: if the level no longer allows it, that is why.
    fn drop(&mut self) {
        if let Some((_, target)) = &self.open {
            let egress = Arc::clone(&self.machine.egress().borrow());
            let verdict = judge(&self.state.config(), &egress, target);
            if !verdict.allowed() {
                self.overrule(&verdict);
                self.fail("egress_denied");
            }
        }
        self.write();
    }
}

fn decide(record: &mut EgressRecord, verdict: &Verdict) {
    record.rule.clone_from(&verdict.rule);
    if verdict.allowed() {
        record.verdict = Outcome::Allow;
        record.reason = None;
    } else {
        record.verdict = Outcome::Deny;
        record.reason = Some(verdict.reason.chars().take(REASON_CHARS_MAX).collect());
    }
}
