//! What a project's agent does, derived from events. Nothing here is asked of the bridge.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Conversations that are told apart; beyond this the settled ones are forgotten.
const SESSIONS_MAX: usize = 256;

/// What an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AgentStatus {
    /// Nothing.
    #[default]
    Idle,
    /// It works.
    Working,
    /// It waits for a person: for an answer, or a word on its plan.
    Waiting,
    /// Its last work failed.
    Error,
}

/// What the agent does in each conversation.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    of: HashMap<String, AgentStatus>,
    /// Where a plan waits for a person.
    propose: HashSet<String>,
    last: AgentStatus,
}

#[derive(Deserialize)]
struct AgentEnd {
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    child_session: Option<String>,
}

#[derive(Deserialize)]
struct RetryStart {
    #[serde(default)]
    asks: bool,
}

#[derive(Deserialize)]
struct RetryEnd {
    success: bool,
}

impl Statuses {
    /// Takes an event into account.
    pub(crate) fn take(&mut self, kind: &str, session: Option<&str>, data: &str) {
        match kind {
            "plan_ready" => self.set_proposes(session.unwrap_or_default(), true),
            // What was said drops it; if it is gone on with, it comes anew.
            "plan_settled" | "agent_start" => {
                self.set_proposes(session.unwrap_or_default(), false);
            }
            _ => {}
        }
        let status = match kind {
            "agent_start" | "answered" => AgentStatus::Working,
            "question" => AgentStatus::Waiting,
            "auto_retry_start" => match serde_json::from_str::<RetryStart>(data) {
                Ok(RetryStart { asks: true }) => AgentStatus::Waiting,
                Ok(_) | Err(_) => return,
            },
            "auto_retry_end" => match serde_json::from_str::<RetryEnd>(data) {
                Ok(RetryEnd { success: true }) => AgentStatus::Working,
                // The end of the work follows.
                Ok(_) | Err(_) => return,
            },
            "agent_end" => match serde_json::from_str::<AgentEnd>(data) {
                Ok(end) if end.reason == "error" || end.reason == "limit" => AgentStatus::Error,
                Ok(end) if end.reason == "waiting" => AgentStatus::Waiting,
                _ => AgentStatus::Idle,
            },
            _ => return,
        };
        if matches!(kind, "question" | "answered")
            && let Ok(Asked { child_session: Some(task) }) = serde_json::from_str(data)
        {
            // A task waits where nobody sees it: it neither works nor ends meanwhile.
            self.set(&task, status);
        }
        self.set(session.unwrap_or_default(), status);
    }

    /// Whether a plan waits for a person there.
    pub(crate) fn set_proposes(&mut self, session: &str, proposes: bool) {
        if !proposes {
            self.propose.remove(session);
        } else if self.propose.len() < SESSIONS_MAX {
            self.propose.insert(session.to_owned());
        }
    }

    pub(crate) fn set(&mut self, session: &str, status: AgentStatus) {
        if self.of.len() >= SESSIONS_MAX && !self.of.contains_key(session) {
            self.of.retain(|_, s| matches!(s, AgentStatus::Working | AgentStatus::Waiting));
            if self.of.len() >= SESSIONS_MAX {
                self.of.clear();
            }
        }
        self.of.insert(session.to_owned(), status);
        self.last = status;
    }

    /// The machine's processes are gone: nothing works any more.
    pub(crate) fn clear(&mut self) {
        self.of.clear();
        self.propose.clear();
        self.last = AgentStatus::Idle;
    }

    /// Whether the agent works in that conversation.
    pub(crate) fn works_in(&self, session: &str) -> bool {
        self.of.get(session) == Some(&AgentStatus::Working)
    }

    /// Whether the one that something was heard of last works.
    pub(crate) fn last_works(&self) -> bool {
        self.last == AgentStatus::Working
    }

    /// Whether anything works in any conversation.
    pub(crate) fn any_works(&self) -> bool {
        self.of.values().any(|status| *status == AgentStatus::Working)
    }

    /// One word for the project: work first, then questions and plans, then how the last work ended.
    pub(crate) fn of_project(&self) -> AgentStatus {
        let any = |status| self.of.values().any(|s| *s == status);
        if any(AgentStatus::Working) {
            AgentStatus::Working
        } else if any(AgentStatus::Waiting) || !self.propose.is_empty() {
            AgentStatus::Waiting
        } else {
            self.last
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_anywhere_is_work_and_the_last_end_counts() {
        let mut all = Statuses::default();
        let mut check = |kind: &str, session: &str, data: &str, want: AgentStatus| {
            all.take(kind, Some(session), data);
            assert_eq!(all.of_project(), want, "{kind} {session}");
        };
        check("agent_start", "a", "{}", AgentStatus::Working);
        check("agent_start", "b", "{}", AgentStatus::Working);
        check("question", "a", "{}", AgentStatus::Working);
        check("agent_end", "b", r#"{"reason":"done"}"#, AgentStatus::Waiting);
        check("answered", "a", "{}", AgentStatus::Working);
        check("agent_start", "task", "{}", AgentStatus::Working);
        check("question", "a", r#"{"childSession":"task"}"#, AgentStatus::Waiting);
        check("answered", "a", r#"{"childSession":"task"}"#, AgentStatus::Working);
        check("agent_end", "task", r#"{"reason":"done"}"#, AgentStatus::Working);
        check("agent_end", "a", r#"{"reason":"error"}"#, AgentStatus::Error);
        check("message_end", "a", "{}", AgentStatus::Error);
        check("agent_start", "a", "{}", AgentStatus::Working);
        check("agent_end", "a", r#"{"reason":"waiting"}"#, AgentStatus::Waiting);
        check("agent_end", "a", "garbage", AgentStatus::Idle);
        check("agent_start", "a", "{}", AgentStatus::Working);
        check("auto_retry_start", "a", r#"{"attempt":1}"#, AgentStatus::Working);
        check("auto_retry_start", "a", r#"{"attempt":1,"asks":true}"#, AgentStatus::Waiting);
        check("auto_retry_end", "a", r#"{"success":true}"#, AgentStatus::Working);
        check("plan_ready", "a", "{}", AgentStatus::Working);
        check("agent_end", "a", r#"{"reason":"done"}"#, AgentStatus::Waiting);
        check("agent_start", "b", "{}", AgentStatus::Working);
        check("agent_end", "b", r#"{"reason":"done"}"#, AgentStatus::Waiting);
        check("plan_settled", "a", "{}", AgentStatus::Idle);
        check("plan_ready", "b", "{}", AgentStatus::Waiting);
        check("agent_start", "b", "{}", AgentStatus::Working);
        check("agent_end", "b", r#"{"reason":"done"}"#, AgentStatus::Idle);
    }
}
