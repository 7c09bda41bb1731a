//! When the work of a prompt stands still because it needs a person: that is not time that the prompt takes.
//! Told from entries, so that it counts across the end of this process.

use crate::{
    conversation::Conversation,
    session::{Body, Entry, Extra, Session, custom},
};
use serde_json::json;

/// The pauses of the current prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    /// Milliseconds of those that are over.
    pub(crate) ms: u64,
    /// Whether one goes on.
    pub(crate) open: bool,
}

impl Pauses {
    /// From a pause to its end; what is said or done ends it too.
    pub(crate) fn of(session: &Session) -> Self {
        let (ms, open) = Self::read(session);
        Self { ms, open: open.is_some() }
    }

    /// Whether one goes on, and for this.
    fn is_for(session: &Session, what: &str) -> bool {
        Self::read(session).1 == Some(what)
    }

    /// Milliseconds of those that are over, and what the one is for that goes on.
    fn read(session: &Session) -> (u64, Option<&str>) {
        let mut ms = 0;
        let mut began: Option<(&str, u64)> = None;
        for entry in session.prompt_entries() {
            match (in_entry(entry), began) {
                (Some((of, false)), None) => began = Some((of, entry.at_ms)),
                (Some((of, true)), Some((open, since))) if of == open => {
                    ms += entry.at_ms.saturating_sub(since);
                    began = None;
                }
                (None, Some((_, since))) if matches!(entry.body, Body::Message(_)) => {
                    ms += entry.at_ms.saturating_sub(since);
                    began = None;
                }
                _ => {}
            }
        }
        (ms, began.map(|(of, _)| of))
    }
}

/// What a pause is for, and whether it is over.
fn in_entry(entry: &Entry) -> Option<(&str, bool)> {
    match &entry.body {
        Body::Custom { custom_type, data } if custom_type == custom::PAUSE => {
            Some((data["of"].as_str()?, data["over"] == true))
        }
        _ => None,
    }
}

impl Conversation {
    /// The work stands still for this, unless it does so already.
    pub(crate) fn pause(&self, of: &str) {
        let is_open = Pauses::of(&self.session()).open;
        if !is_open {
            self.keep_pause(of, false);
        }
    }

    /// The work goes on.
    pub(crate) fn go_on(&self, of: &str) {
        let is_open = Pauses::is_for(&self.session(), of);
        if is_open {
            self.keep_pause(of, true);
        }
    }

    fn keep_pause(&self, of: &str, over: bool) {
        let data = json!({ "of": of, "over": over });
        let body = Body::Custom { custom_type: custom::PAUSE.into(), data };
        // Without it the time counts: nothing else is lost.
        if let Err(error) = self.append(body, Extra::default()) {
            tracing::warn!(%error, "a pause could not be kept");
        }
    }
}
