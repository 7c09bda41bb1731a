//! What is kept of one run: what was ordered, how far it is, and how it ended. Not where that lies (see
//! [`super::book`]), and nothing that its conversation's file says better.

use serde::{Deserialize, Serialize};
use toft_model::{
    id::SessionId,
    run::{Commit, Phase, RunOrder, RunStatus, WaitsFor},
};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    pub(super) fence: u64,
    pub(super) attempt: u32,
    /// Of the order: another one under the same id is told from the same one.
    pub(super) digest: String,
    pub(super) session: SessionId,
    /// The conversation is made for it.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(super) own: bool,
    pub(super) phase: Phase,
    /// When the phase began, in Unix milliseconds.
    pub(super) since: u64,
    /// Milliseconds of the phase in which a person was waited for, without the wait that goes on.
    #[serde(default)]
    pub(super) waited_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) waits: Option<Wait>,
    /// The entry of its prompt, once that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) said: Option<String>,
    /// The entry of its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) plan_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<Commit>,
    /// How it ends, from the moment in which that is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ending: Option<Ending>,
    /// The answer in whose place the model is to be asked for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retries: Option<String>,
    /// The log's last number before its first event.
    pub(super) after_seq: u64,
    /// The log's last number before the step that it is at was told.
    pub(super) mark: u64,
    /// The number under which that step was told. Absent: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) told: Option<u64>,
}

/// A person is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wait {
    #[serde(rename = "for")]
    pub(super) what: WaitsFor,
    /// Unix milliseconds.
    pub(super) since: u64,
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ending {
    pub(super) status: RunStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// The phase in which it was decided.
    pub(super) phase: Phase,
    /// What works for it has to be stopped.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(super) stops: bool,
    /// The answer that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_not(flag: &bool) -> bool {
    !*flag
}

impl State {
    /// Of a run that was ordered now. `seq`: the log's last number.
    pub(super) fn new(order: &RunOrder, session: SessionId, now_ms: u64, seq: u64) -> Self {
        Self {
            fence: order.fence,
            attempt: order.attempt,
            digest: order.digest(),
            session,
            own: order.session_id.is_none(),
            phase: if order.plan { Phase::Plan } else { Phase::Build },
            since: now_ms,
            waited_ms: 0,
            waits: None,
            said: None,
            plan_id: None,
            commit: None,
            ending: None,
            retries: None,
            after_seq: seq,
            mark: seq,
            told: None,
        }
    }

    /// Nothing will be done any more, and that was told.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over && self.told.is_some()
    }

    /// It goes a step, which is still to be told.
    pub(super) fn step(&mut self, phase: Phase, now_ms: u64, seq: u64) {
        if self.phase != phase {
            (self.since, self.waited_ms, self.waits) = (now_ms, 0, None);
        }
        (self.phase, self.mark, self.told) = (phase, seq, None);
    }

    /// The same, unless it was decided meanwhile that it ends.
    pub(super) fn advance(&mut self, phase: Phase, now_ms: u64, seq: u64) {
        if self.ending.is_none() {
            self.step(phase, now_ms, seq);
        }
    }

    /// A person or a provider is waited for, or is not any more.
    pub(super) fn wait_for(&mut self, what: Option<WaitsFor>, now_ms: u64) {
        if self.waits.map(|wait| wait.what) == what {
            return;
        }
        if let Some(wait) = self.waits.take() {
            self.waited_ms += now_ms.saturating_sub(wait.since);
        }
        self.waits = what.map(|what| Wait { what, since: now_ms });
    }

    /// It ends so, unless it ends otherwise already.
    pub(super) fn end(&mut self, ending: Ending) {
        if self.phase != Phase::Over {
            self.ending.get_or_insert(ending);
        }
    }

    /// It is tried again, from the phase in which it failed.
    pub(super) fn reopen(&mut self, order: &RunOrder, now_ms: u64, seq: u64) {
        let Some(ending) = self.ending.take() else { return };
        (self.fence, self.attempt) = (order.fence, order.attempt);
        self.retries = ending.failed;
        self.commit = None;
        self.step(ending.phase, now_ms, seq);
    }

    /// Milliseconds that the phase may still take.
    pub(super) fn left_ms(&self, order: &RunOrder, now_ms: u64) -> u64 {
        let seconds = match self.phase {
            Phase::Plan => order.plan_timeout_s,
            Phase::Build => order.build_timeout_s,
            // Git has a limit of its own.
            Phase::Commit | Phase::Over => return u64::MAX,
        };
        let waits = self.waits.map_or(0, |wait| now_ms.saturating_sub(wait.since));
        let took = now_ms.saturating_sub(self.since);
        let worked = took.saturating_sub(self.waited_ms.saturating_add(waits));
        seconds.saturating_mul(1_000).saturating_sub(worked)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in crate::runtime::runs) fn order() -> RunOrder {
        let order = json!({
            "fence": 1, "prompt": "go", "plan": true, "commit": false,
            "planTimeoutS": 10, "buildTimeoutS": 20,
        });
        serde_json::from_value(order).unwrap()
    }

    #[test]
    fn time_in_which_a_person_is_waited_for_does_not_count() {
        let order = order();
        let mut state = State::new(&order, SessionId::at(1), 1_000, 7);
        assert_eq!(state.left_ms(&order, 4_000), 7_000);
        state.wait_for(Some(WaitsFor::Answer), 4_000);
        assert_eq!(state.left_ms(&order, 1_000_000), 7_000);
        state.wait_for(Some(WaitsFor::Answer), 500_000);
        state.wait_for(None, 1_000_000);
        assert_eq!(state.left_ms(&order, 1_001_000), 6_000);
        state.step(Phase::Build, 1_002_000, 9);
        assert_eq!((state.left_ms(&order, 1_002_000), state.told), (20_000, None));
        assert_eq!(state.left_ms(&order, u64::MAX), 0);
    }

    #[test]
    fn the_first_end_counts_and_another_attempt_begins_where_it_was() {
        let mut order = order();
        let mut state = State::new(&order, SessionId::at(1), 0, 0);
        let end = |status, failed: &str| Ending {
            status,
            error: None,
            phase: Phase::Plan,
            stops: false,
            failed: Some(failed.to_owned()),
        };
        state.end(end(RunStatus::Error, "one"));
        state.end(end(RunStatus::Cancelled, "two"));
        assert_eq!(state.ending.as_ref().map(|end| end.status), Some(RunStatus::Error));
        state.step(Phase::Over, 5, 3);
        (order.fence, order.attempt) = (2, 2);
        state.reopen(&order, 9, 4);
        assert_eq!((state.phase, state.since, state.mark), (Phase::Plan, 9, 4));
        assert_eq!((state.retries.as_deref(), state.ending), (Some("one"), None));
    }
}
