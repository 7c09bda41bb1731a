//! Whom a run waits for, told from its conversation's events: a person who is asked, or whoever answers for a model. Two
//! helpers of one agent may do both at once.

use std::collections::HashSet;
use toft_model::{
    event::{Answered, RetryStart},
    run::WaitsFor,
};
use toft_store::NewEvent;

/// Open questions of which is known: far more than any agent asks at once.
const QUESTIONS_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Questions that nobody has answered.
    questions: HashSet<String>,
    /// What a call of a model waits for.
    of_model: Option<WaitsFor>,
}

impl Waiting {
    /// Takes an event in. Whether it says who is waited for, or not any more.
    pub(super) fn hear(&mut self, event: &NewEvent) -> bool {
        match event.kind.as_str() {
            "question" | "answered" => {
                // Both name it in the same way.
                let Ok(of) = serde_json::from_str::<Answered>(&event.data) else { return false };
                let key = of.id.unwrap_or(of.tool_call_id);
                if event.kind == "answered" {
                    self.questions.remove(&key);
                } else if self.questions.len() < QUESTIONS_MAX {
                    self.questions.insert(key);
                }
                true
            }
            "auto_retry_start" => {
                let Ok(retry) = serde_json::from_str::<RetryStart>(&event.data) else {
                    return false;
                };
                // A budget that is spent is raised by a person.
                let what = if retry.asks { WaitsFor::Answer } else { WaitsFor::Provider };
                let waits = retry.asks || retry.waits;
                self.of_model = waits.then_some(what).or(self.of_model);
                waits
            }
            "auto_retry_end" => {
                self.of_model = None;
                true
            }
            "agent_end" => {
                *self = Self::default();
                false
            }
            _ => false,
        }
    }

    /// Whoever is waited for; a person before a model.
    pub(super) fn whom(&self) -> Option<WaitsFor> {
        if self.questions.is_empty() { self.of_model } else { Some(WaitsFor::Answer) }
    }
}
