//! The project's own check of what a plan became, told from a session's entries: what ran of it, and what is
//! due. Two kinds of lines: that a run begins, and, as a message to the model, how it ended.

use super::{
    entry::{Body, Entry, custom},
    file::Session,
};
use serde::Deserialize as _;
use toft_model::{
    message::{CustomMessage, Message},
    plan::{AutoCheck, CheckStatus},
};

/// Times that the model is asked to mend what the check says.
pub(crate) const REPAIRS_MAX: u32 = 2;

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckDue {
    Nothing,
    /// A run, after so many repairs. The command, if it ran before.
    Begin {
        attempt: u32,
        command: Option<String>,
    },
    /// The end of one that began, by its line.
    Finish {
        entry_id: String,
        check: AutoCheck,
    },
}

impl Entry {
    /// What it says of the check.
    pub fn check(&self) -> Option<AutoCheck> {
        let data = match &self.body {
            Body::Custom { custom_type, data } if custom_type == custom::CHECK => data,
            Body::Message(Message::Custom(CustomMessage { custom_type, details, .. }))
                if custom_type == custom::CHECK =>
            {
                details.as_ref()?
            }
            _ => return None,
        };
        AutoCheck::deserialize(data).ok()
    }

    /// The line with which the run began that it tells the end of.
    pub(crate) fn check_of(&self) -> Option<&str> {
        match &self.body {
            Body::Message(Message::Custom(m)) if m.custom_type == custom::CHECK => {
                m.details.as_ref()?["of"].as_str()
            }
            _ => None,
        }
    }

    /// Whether the model is to mend what the check says.
    pub(super) fn wants_repair(&self) -> bool {
        self.check().is_some_and(|check| check.status == CheckStatus::FixAttempt)
    }
}

impl Session {
    /// What is due when the work rests: only after a plan that a person approved was carried out.
    pub(crate) fn check_due(&self) -> CheckDue {
        let mut begun = None;
        let mut result: Option<AutoCheck> = None;
        let mut worked = false;
        for entry in self.ancestors() {
            match entry.check() {
                Some(check) if check.status == CheckStatus::Started => {
                    if result.is_none() && begun.is_none() {
                        begun = Some((entry.id.clone(), check));
                    }
                }
                Some(check) => {
                    result.get_or_insert(check);
                }
                None => match &entry.body {
                    Body::Message(Message::ToolResult(_)) => worked = true,
                    Body::Message(Message::User(_)) if entry.extra.queued.is_none() => {
                        if entry.extra.approves.is_none() {
                            return CheckDue::Nothing;
                        }
                        break;
                    }
                    _ => {}
                },
            }
        }
        if let Some((entry_id, check)) = begun {
            return CheckDue::Finish { entry_id, check };
        }
        match result {
            Some(AutoCheck { status: CheckStatus::FixAttempt, attempt, command, .. }) => {
                CheckDue::Begin { attempt, command: Some(command) }
            }
            // A plan that nothing was done about has nothing to check.
            None if worked => CheckDue::Begin { attempt: 0, command: None },
            Some(_) | None => CheckDue::Nothing,
        }
    }
}
