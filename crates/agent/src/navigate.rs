//! Going to an entry of the conversation: its leaf moves by an appended line, as a restore moves it, and
//! is told in the same way. What is left behind can be summarised by the model first.

use crate::{
    compaction::branch,
    conversation::Conversation,
    session::{Body, BranchSummary, Extra, Place, SessionError, WentBack},
};

/// Closes work that nobody goes on with where the conversation stood.
const LEFT: &str = "Not finished: the conversation went on from another place.";

/// Closes work that was under way at the place that the conversation goes to.
const CUT: &str =
    "Not finished here: this is an earlier place of the conversation. Say \"go on\" to continue.";

/// Where a conversation stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The entry that it went to; `None`: before the first.
    pub entry_id: Option<String>,
    /// What was said there, to be said anew.
    pub text: Option<String>,
    /// The entry with the summary of what was left.
    pub summary_entry_id: Option<String>,
}

impl Conversation {
    /// Whether the conversation stands there already.
    pub(crate) fn stands_at(&self, place: &Place) -> bool {
        self.session().leaf().map(|leaf| &leaf.id) == place.leaf.as_ref()
    }

    /// Moves there; on disk and told when this returns.
    pub(crate) async fn go_to(
        &self,
        place: Place,
        summary: Option<BranchSummary>,
    ) -> Result<Arrived, SessionError> {
        let moved = self.write_move(&place, summary);
        let synced = self.sync().await;
        // Also what was written of a move that the disk refused in the middle.
        self.catch_up();
        self.settle();
        let summary_entry_id = moved?;
        synced?;
        Ok(Arrived { entry_id: place.leaf, text: place.text, summary_entry_id })
    }

    fn write_move(
        &self,
        place: &Place,
        summary: Option<BranchSummary>,
    ) -> Result<Option<String>, SessionError> {
        let now = self.now_ms();
        let mut session = self.session();
        session.close_cut(LEFT, now)?;
        let from = session.leaf().map(|leaf| leaf.id.clone());
        session.go_back(WentBack::navigation(from, place.leaf.clone(), now), now)?;
        session.close_cut(CUT, now)?;
        let Some(summary) = summary else { return Ok(None) };
        let id = session.fresh_id();
        session.append(id.clone(), Body::BranchSummary(summary), Extra::default(), now)?;
        Ok(Some(id))
    }

    /// What the model is to be told of the branch that a move leaves, if it says anything.
    pub(crate) fn branch_left(&self, place: &Place, token_budget: u64) -> Option<branch::Left> {
        let session = self.session();
        let from_id = session.leaf().map_or_else(|| "root".into(), |leaf| leaf.id.clone());
        branch::Left::of(from_id, &session.left_behind(place.leaf.as_deref()), token_budget)
    }
}
