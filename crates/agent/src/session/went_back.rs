//! Going back in a conversation, and closing work that was cut. Both only append: what was left
//! stays in the file, and other readers of the format see a branch.

use super::{
    entry::{Body, Entry, Extra, custom},
    file::{Session, SessionError},
    step::Step,
};
use serde::{Deserialize, Serialize};
use toft_model::{
    checkpoint::CheckpointId,
    id::random_hex,
    message::{AssistantMessage, Block, Message, StopReason, ToolResultMessage, Usage},
};

/// Begins the ticket of a move that a person made within the conversation.
const NAVIGATION: &str = "navigate:";

/// What a moved leaf says of itself: the data of a `toft.leaf` entry that a restore, a fork or a person
/// made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WentBack {
    /// The entry that the conversation stands at now; `None`: before its first one.
    #[serde(default)]
    pub entry_id: Option<String>,
    /// Where it stood.
    #[serde(default)]
    pub from: Option<String>,
    /// Names the restore, fork or navigation: the same one moves a conversation once.
    pub ticket: String,
    /// To which checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_id: Option<CheckpointId>,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Unix milliseconds of the checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<u64>,
    /// Unix milliseconds of the restore, fork or navigation.
    pub at: u64,
    /// Work was cut at that place: what closes it follows.
    #[serde(default)]
    pub cut: bool,
}

impl WentBack {
    /// A person goes to an entry.
    pub fn navigation(from: Option<String>, entry_id: Option<String>, now_ms: u64) -> Self {
        Self {
            entry_id,
            from,
            ticket: format!("{NAVIGATION}{}", random_hex(8)),
            checkpoint_id: None,
            label: None,
            taken_at: None,
            at: now_ms,
            cut: false,
        }
    }

    /// Whether a person made it, not a change of disks.
    pub fn is_navigation(&self) -> bool {
        self.ticket.starts_with(NAVIGATION)
    }

    /// What an entry says, if it is such a move.
    pub fn of(entry: &Entry) -> Option<Self> {
        match &entry.body {
            Body::Custom { custom_type, data } if custom_type == custom::LEAF => {
                Self::deserialize(data).ok()
            }
            _ => None,
        }
    }
}

impl Session {
    /// The move that this ticket made.
    pub fn move_of(&self, ticket: &str) -> Option<(&Entry, WentBack)> {
        self.entries().iter().rev().find_map(|entry| {
            let went = WentBack::of(entry).filter(|went| went.ticket == ticket)?;
            Some((entry, went))
        })
    }

    /// The last message of the branch that ends at an entry.
    pub fn message_at(&self, entry_id: Option<&str>) -> Option<String> {
        let mut above = self.up_from(self.entry(entry_id?));
        let message = above.find(|entry| matches!(entry.body, Body::Message(_)))?;
        Some(message.id.clone())
    }

    /// Moves the leaf to `mark.entry_id` by appending a line that says so. Work that was cut there
    /// is noted, for [`Session::close_cut`].
    pub fn go_back(&mut self, mut mark: WentBack, now_ms: u64) -> Result<(), SessionError> {
        let before = self.stand_at(mark.entry_id.as_deref());
        mark.cut = self.step() != Step::Rest || self.is_cut_by_move();
        let data = serde_json::to_value(&mark).expect("a mark is plain data");
        let body = Body::Custom { custom_type: custom::LEAF.into(), data };
        let id = self.fresh_id();
        if let Err(error) = self.append(id, body, Extra::default(), now_ms) {
            self.stand_at(before.as_deref());
            return Err(error);
        }
        Ok(())
    }

    /// Stands in memory where the conversation stood before this line was appended, to tell what
    /// was there. Changes nothing in the file.
    pub fn stand_before(&mut self, line: u64) {
        let before = self.entries().iter().rev().find(|entry| entry.line < line);
        let id = before.map(|entry| entry.id.clone());
        self.stand_at(id.as_deref());
    }

    /// Closes work that was cut: open calls get results that say why, and an answer of ours says it
    /// again. Nothing that rests is touched. Says whether anything was appended.
    pub fn close_cut(&mut self, why: &str, now_ms: u64) -> Result<bool, SessionError> {
        if self.step() == Step::Rest && !self.is_cut_by_move() {
            return Ok(false);
        }
        for (_, call) in self.open_calls().1 {
            let result = ToolResultMessage {
                tool_call_id: call.id,
                tool_name: call.name,
                content: vec![Block::text(why)],
                details: None,
                is_error: true,
                timestamp: now_ms,
            };
            let extra = Extra { duration_ms: Some(0), ..Extra::default() };
            let id = self.fresh_id();
            self.append(id, Body::Message(Message::ToolResult(result)), extra, now_ms)?;
        }
        let (api, provider, model) = self.last_model();
        let answer = AssistantMessage {
            content: Vec::new(),
            api,
            provider,
            model,
            usage: Usage::default(),
            stop_reason: StopReason::Aborted,
            error_message: Some(why.to_owned()),
            timestamp: now_ms,
        };
        let id = self.fresh_id();
        let body = Body::Message(Message::Assistant(answer));
        self.append(id, body, Extra::default(), now_ms)?;
        Ok(true)
    }

    /// Whether the newest thing but results is a move to a place where work was cut.
    fn is_cut_by_move(&self) -> bool {
        for entry in self.ancestors() {
            if let Some(went) = WentBack::of(entry) {
                return went.cut;
            }
            if matches!(entry.body, Body::Message(Message::Assistant(_) | Message::User(_))) {
                return false;
            }
        }
        false
    }

    /// API, provider and model of the newest answer, or of the choice for this session.
    fn last_model(&self) -> (String, String, String) {
        let answered = self.ancestors().find_map(|entry| match &entry.body {
            Body::Message(Message::Assistant(m)) if !m.model.is_empty() => {
                Some((m.api.clone(), m.provider.clone(), m.model.clone()))
            }
            _ => None,
        });
        answered.unwrap_or_else(|| match self.model() {
            Some(chosen) => (String::new(), chosen.provider.clone(), chosen.id.clone()),
            None => Default::default(),
        })
    }
}
