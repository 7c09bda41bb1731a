//! What must be known of a call before it is done: what it is about, for rules, and whether it can be done
//! again when nobody knows how it ended. Each tool says so of itself, because only it knows how it
//! understands its arguments.

use crate::arguments::peek;
use serde_json::Value;

/// What a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// It runs this line in a shell.
    Command(String),
    /// It reads or changes these paths, as they were given.
    Paths(Vec<String>),
    /// Anything else.
    Text(String),
}

impl About {
    /// The path of a call that has one; the project's folder without.
    pub(crate) fn path(arguments: &Value) -> Self {
        Self::Paths(vec![peek(arguments, &["path"]).unwrap_or_else(|| ".".into())])
    }

    /// One argument of a call.
    pub(crate) fn argument(arguments: &Value, name: &'static [&'static str; 1]) -> Self {
        Self::Text(peek(arguments, name).unwrap_or_default())
    }
}

/// Whether a call that began, and whose end nobody knows, is to be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It changes nothing, or keeps itself from changing anything twice.
    Safe,
    /// It runs a program under the call's run id: as long as the machine lives, that one is found again.
    Attaches,
    /// Only a person can say. That it begins is written down before it does.
    Unsure,
}
