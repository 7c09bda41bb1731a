//! What hooks said, as entries of the session: written before it takes effect, so that after a crash nobody is asked
//! again. One entry for all hooks of one event.

use super::event::HookEvent;
use crate::session::{Body, Entry, Session, custom};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use toft_model::message::{CustomMessage, Message, UserContent};

/// Bytes of one message of an extension; about 4,000 tokens.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Said {
    /// When they were asked.
    pub(crate) event: HookEvent,
    /// About what: a call's id, or the entry of a message.
    pub(crate) of: String,
    /// Why the call is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<Words>,
    /// The arguments with which the call is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Map<String, Value>>,
    /// Who changed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) changed_by: Vec<String>,
    /// Parts of the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) prompts: Vec<Words>,
    /// For the model, before it is asked next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) messages: Vec<Words>,
}

/// What one of them said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Words {
    pub(crate) extension: String,
    pub(crate) text: String,
}

impl Words {
    pub(crate) fn new(extension: &str, text: &str) -> Self {
        Self { extension: extension.to_owned(), text: text.to_owned() }
    }
}

impl Said {
    pub(crate) fn new(event: HookEvent, of: &str) -> Self {
        Self {
            event,
            of: of.to_owned(),
            refused: None,
            input: None,
            changed_by: Vec::new(),
            prompts: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Its line.
    pub(crate) fn body(&self) -> Body {
        Body::Custom { custom_type: custom::HOOK.into(), data: json!(self) }
    }

    fn in_entry(entry: &Entry) -> Option<Self> {
        match &entry.body {
            Body::Custom { custom_type, data } if custom_type == custom::HOOK => {
                Self::deserialize(data).ok()
            }
            _ => None,
        }
    }
}

/// A message of an extension to the model. With `turn` it is to answer.
pub(crate) fn message(of: &str, words: &Words, turn: bool, timestamp: u64) -> Body {
    let Words { extension, text } = words;
    let cut = &text[..text.floor_char_boundary(MESSAGE_BYTES_MAX)];
    let rest =
        if cut.len() < text.len() { "\n[the rest was left out: it is too long]" } else { "" };
    Body::Message(Message::Custom(CustomMessage {
        custom_type: custom::EXTENSION.into(),
        content: UserContent::Text(format!("[From the extension {extension}] {cut}{rest}")),
        display: true,
        details: Some(json!({ "of": of, "extension": extension, "turn": turn })),
        timestamp,
    }))
}

impl Session {
    /// What hooks said of that, if they were asked. Looks back as far as the entry `from`.
    pub(crate) fn said(&self, event: HookEvent, of: &str, from: &str) -> Option<Said> {
        let since = self.ancestors().take_while(|entry| entry.id != from);
        since.filter_map(Said::in_entry).find(|said| said.event == event && said.of == of)
    }

    /// Messages of the current prompt that the model was not given yet, oldest first, each with the entry that has
    /// it. Of two entries about the same thing the newer one counts.
    pub(crate) fn unsaid(&self) -> Vec<(String, HookEvent, Words)> {
        let entries = self.prompt_entries();
        let given = |id: &str, words: &Words| {
            let mut details = entries.iter().filter_map(|entry| entry.of_extension());
            details.any(|details| details["of"] == id && details["extension"] == words.extension)
        };
        let said = |entry: &&Entry| Some((entry.id.clone(), Said::in_entry(entry)?));
        let said: Vec<(String, Said)> = entries.iter().filter_map(said).collect();
        let mut unsaid = Vec::new();
        for (n, (id, one)) in said.iter().enumerate() {
            let newer =
                |(_, other): &(String, Said)| other.event == one.event && other.of == one.of;
            if said[n + 1..].iter().any(newer) {
                continue;
            }
            let words = one.messages.iter().filter(|words| !given(id, words));
            unsaid.extend(words.map(|words| (id.clone(), one.event, words.clone())));
        }
        unsaid
    }

    /// How often extensions had the agent go on in the current prompt.
    pub(crate) fn gone_on(&self) -> usize {
        let said = self.prompt_entries().into_iter().filter_map(Said::in_entry);
        said.filter(|said| said.event == HookEvent::AgentEnd && !said.messages.is_empty()).count()
    }
}

impl Entry {
    /// The details of a message of an extension.
    fn of_extension(&self) -> Option<&Value> {
        match &self.body {
            Body::Message(Message::Custom(m)) if m.custom_type == custom::EXTENSION => {
                m.details.as_ref()
            }
            _ => None,
        }
    }

    /// Whether an extension wants the model to answer it.
    pub(crate) fn wants_turn(&self) -> bool {
        self.of_extension().is_some_and(|details| details["turn"] == true)
    }
}
