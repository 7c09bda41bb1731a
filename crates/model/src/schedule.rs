//! Schedules of projects: their ids, and what is said of them. Not when they are due, nor what runs.

use crate::id::{SessionId, id_type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

id_type! {
    /// Public id of a schedule: `[a-z][a-z0-9]{11}`, unique on its server.
    random ScheduleId, "schedule id"
}

/// When it is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, untagged)]
pub enum When {
    /// By a cron line.
    Cron {
        /// Five fields, as crontab(5) has them.
        cron: String,
        /// A name of the tz database; UTC when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timezone: Option<String>,
    },
    /// Again and again, counted from when it was made.
    Every {
        /// Seconds between two.
        #[serde(rename = "everyS")]
        every_s: u64,
    },
    /// Once.
    Once {
        /// Unix milliseconds.
        at: u64,
    },
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, untagged)]
pub enum Work {
    /// A shell command in the project's folder.
    Command {
        /// A line for the shell, as `exec` takes it.
        command: String,
    },
    /// A prompt for the agent.
    Prompt {
        /// The text.
        prompt: String,
        /// In which conversation; a new one each time when absent.
        #[serde(default, rename = "sessionId", skip_serializing_if = "Option::is_none")]
        session_id: Option<SessionId>,
    },
}

/// What becomes of slots whose time passed while nobody could start them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// The latest is started late, those before it are skipped.
    #[default]
    Latest,
    /// All are skipped.
    None,
    /// The latest ones, as many as the schedule says, are started one after the other; those before
    /// them are skipped.
    All,
}

impl CatchUp {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::None => "none",
            Self::All => "all",
        }
    }
}

/// What becomes of a slot that is due while the one before still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It is suppressed.
    #[default]
    Skip,
    /// It waits for the other's end (one waits at most; further ones are suppressed).
    Queue,
    /// The other is ended, and it starts then.
    Cancel,
    /// It starts beside the other.
    Allow,
}

impl Overlap {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Cancel => "cancel",
            Self::Allow => "allow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn when_and_work_are_told_apart_by_their_fields() {
        let when = |json| serde_json::from_value::<When>(json);
        let cron = json!({"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"});
        assert!(matches!(when(cron.clone()).unwrap(), When::Cron { timezone: Some(_), .. }));
        assert_eq!(serde_json::to_value(when(cron.clone()).unwrap()).unwrap(), cron);
        assert_eq!(when(json!({"everyS": 60})).unwrap(), When::Every { every_s: 60 });
        assert_eq!(when(json!({"at": 5})).unwrap(), When::Once { at: 5 });
        for bad in
            [json!({}), json!({"every": 5}), json!({"at": 5, "everyS": 5}), json!({"at": -1})]
        {
            assert!(when(bad.clone()).is_err(), "{bad}");
        }
        let work = |json| serde_json::from_value::<Work>(json);
        assert!(matches!(work(json!({"command": "ls"})).unwrap(), Work::Command { .. }));
        let prompt = json!({"prompt": "look", "sessionId": "s1"});
        assert_eq!(serde_json::to_value(work(prompt.clone()).unwrap()).unwrap(), prompt);
        for bad in [
            json!({}),
            json!({"command": "a", "prompt": "b"}),
            json!({"command": "a", "sessionId": "s"}),
        ] {
            assert!(work(bad.clone()).is_err(), "{bad}");
        }
    }
}
